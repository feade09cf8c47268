"""The exit statuses of the command. `portus-client --help` documents them."""

from enum import IntEnum

from portus_client.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    RegistryError,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)


class ExitCode(IntEnum):
    """The exit status, for scripts."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    UNAVAILABLE = 5
    PARTIAL = 6
    # 128 and the number of the signal, as shells report it: SIGINT, SIGPIPE.
    INTERRUPTED = 130
    BROKEN_PIPE = 141


def exit_code(error: RegistryError) -> ExitCode:
    """The exit status for a failed call."""
    match error:
        case NotFound():
            return ExitCode.NOT_FOUND
        case FailedPrecondition() | PermissionDenied() | Unauthenticated():
            return ExitCode.REFUSED
        case Unavailable() | DeadlineExceeded() | ResourceExhausted():
            return ExitCode.UNAVAILABLE
        case InvalidArgument():
            return ExitCode.USAGE
        case _:
            return ExitCode.FAILED
