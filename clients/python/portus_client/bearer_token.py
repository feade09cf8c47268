"""The bearer token that a client sends with every call."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import grpc

from portus_client import errors
from portus_client.file_path import FilePath

TokenSource: TypeAlias = Callable[[], str]


def source(token: str | None, token_file: FilePath | None) -> TokenSource | None:
    """A function that returns the token for the next call, or None without a token.

    The file is read for every call, because Kubernetes and others renew such files. Raises `ValueError` if both are
    given or the token is not valid, `OSError` if the file cannot be read.
    """
    if token is not None and token_file is not None:
        raise ValueError("a token and a token file exclude each other: leave one of them out")
    if token is not None:
        checked = _checked(token)
        return lambda: checked
    if token_file is None:
        return None
    path = Path(token_file)
    _read(path)
    return lambda: _read_for_call(path)


def _read_for_call(path: Path) -> str:
    try:
        return _read(path)
    except OSError as error:
        raise errors.client_error(
            grpc.StatusCode.UNAUTHENTICATED, f"cannot read the token file {path}: {error.strerror}"
        ) from error
    except ValueError as error:
        raise errors.client_error(grpc.StatusCode.UNAUTHENTICATED, str(error)) from None


def _read(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        raise ValueError(f"the token file {path} is not text") from None
    try:
        return _checked(text)
    except ValueError:
        raise ValueError(f"the token in {path} is empty or has a character that is not visible ASCII") from None


def _checked(token: str) -> str:
    # gRPC's own error message would contain the token.
    if not token or not all("!" <= character <= "~" for character in token):
        raise ValueError("the token is empty or has a character that is not visible ASCII")
    return token
