"""The messages between a gateway and its workers: JSON, each message after its length, over a pair of sockets.

Both ends are of the same version and on the same machine. The passwords do not go over it: a worker has the
environment.
"""

import asyncio
import socket
from contextlib import suppress
from types import TracebackType
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from portus_gateway.telemetry.figures import Figures

_LENGTH: Final = 4
_MESSAGE_LIMIT: Final = 64 * 1024 * 1024


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class Serve(_Message):
    """To a worker, first of all: serve with these settings, by field name, over those of the environment."""

    kind: Literal["serve"] = "serve"
    flags: dict[str, str | bool | None]
    page_token_secret: str = Field(repr=False)
    """In hexadecimal digits. All workers of a gateway get the same, for page tokens that no setting has a key for."""
    keeps_index: bool
    """Whether this worker keeps the index up to date. One of them does."""


class Ping(_Message):
    """To a worker: answer."""

    kind: Literal["ping"] = "ping"


class Pong(_Message):
    """From a worker: its event loop runs."""

    kind: Literal["pong"] = "pong"


class Collect(_Message):
    """To a worker: send your figures."""

    kind: Literal["collect"] = "collect"


class Drain(_Message):
    """To a worker: let running calls finish, then end. The end of the channel means the same."""

    kind: Literal["drain"] = "drain"


class Health(_Message):
    """From a worker: what prevents it from serving its callers. Sent after `Serving`, and on each change."""

    kind: Literal["health"] = "health"
    problems: tuple[str, ...]


class Serving(_Message):
    """From a worker: it listens."""

    kind: Literal["serving"] = "serving"


class SettingsInvalid(_Message):
    """From a worker that ends: these settings, by field name, cannot be used."""

    kind: Literal["settings invalid"] = "settings invalid"
    problems: list[tuple[str, str]]


class AccessFileInvalid(_Message):
    """From a worker that ends: this file of access control cannot be used."""

    kind: Literal["access file invalid"] = "access file invalid"
    path: str
    problems: list[str]


class CannotServe(_Message):
    """From a worker that ends: the system does not let it serve."""

    kind: Literal["cannot serve"] = "cannot serve"
    message: str


Message = (
    Serve
    | Ping
    | Pong
    | Collect
    | Drain
    | Serving
    | Health
    | SettingsInvalid
    | AccessFileInvalid
    | CannotServe
    | Figures
)
_MESSAGES: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="kind")])


class WorkerChannel:
    """One end of such a pair; an async context manager that closes it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, end: socket.socket) -> Self:
        """Takes over `end`."""
        return cls(*await asyncio.open_unix_connection(sock=end))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def send(self, message: Message) -> bool:
        """Sends a message. False if the other side is gone, as `receive` tells too."""
        if self._writer.is_closing():
            return False
        text = message.model_dump_json().encode()
        try:
            self._writer.write(len(text).to_bytes(_LENGTH) + text)
            await self._writer.drain()
        except OSError:
            return False
        return True

    async def receive(self) -> Message | None:
        """The next message, None once the other side is gone. Raises `ValueError` for what is not a message."""
        try:
            length = int.from_bytes(await self._reader.readexactly(_LENGTH))
            if length > _MESSAGE_LIMIT:
                raise ValueError(f"a message of {length} bytes is over the limit of {_MESSAGE_LIMIT}")
            return _MESSAGES.validate_json(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, OSError):
            return None
