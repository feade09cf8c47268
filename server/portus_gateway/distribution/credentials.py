"""The account that the client uses. Its password is never shown."""

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from portus_gateway.distribution.concern import Concern
from portus_gateway.distribution.errors import CredentialsRejected, TooManyOpenFiles


class Password(Protocol):
    """Where a password comes from."""

    def read(self) -> str:
        """The current password. Raises `OSError` or `UnicodeError` if it cannot be read."""
        ...


@dataclass(frozen=True, slots=True)
class StaticPassword:
    """A password that does not change."""

    secret: str = field(repr=False)

    def read(self) -> str:
        return self.secret


@dataclass(frozen=True, slots=True)
class PasswordFile:
    """A password in a file, which may change, such as a mounted secret. A trailing newline is not part of it."""

    path: Path

    def read(self) -> str:
        return self.path.read_text(encoding="utf-8").rstrip("\r\n")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name, and where the password comes from."""

    username: str
    password: Password

    def basic_authorization(self) -> str:
        """The `Authorization` field of Basic authentication (RFC 7617, UTF-8), with the current password.

        Raises `CredentialsRejected` if the password cannot be read.
        """
        return "Basic " + base64.b64encode(f"{self.username}:{self.current_password()}".encode()).decode("ascii")

    def current_password(self) -> str:
        """The current password. Raises `CredentialsRejected` if it cannot be read."""
        try:
            return self.password.read()
        except (OSError, UnicodeError) as error:
            if isinstance(error, OSError) and TooManyOpenFiles.is_cause_of(error):
                raise TooManyOpenFiles from error
            problem = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise CredentialsRejected(
                "the file with the gateway's own password cannot be read",
                operator_detail=f"account {self.username!r}: {problem}",
                concern=Concern.PASSWORD_FILE,
            ) from error


def account_of(credentials: Credentials | None) -> str:
    """The account, for `operator_detail`."""
    return f"account {credentials.username!r}" if credentials else "no account"
