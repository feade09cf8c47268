"""The text of an error for the operator: with addresses and account, and with the setting to look at.

The Distribution client says by a `Concern` which part of its configuration an error is about. Only this module knows
which settings that part comes from.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from portus_gateway.distribution.concern import Concern
from portus_gateway.distribution.errors import DistributionError, Unreachable, UpstreamTimeout
from portus_gateway.errors import GatewayError

ADVICE: Mapping[Concern, str] = MappingProxyType(
    {
        Concern.REGISTRY_URL: "Check PORTUS_REGISTRY_URL: scheme (http or https), host name and port of the registry."
        " With https, its certificate must have that name.",
        Concern.ACCOUNT: "Check PORTUS_USERNAME and PORTUS_PASSWORD or PORTUS_PASSWORD_FILE.",
        Concern.NO_ACCOUNT: "Set PORTUS_USERNAME and PORTUS_PASSWORD_FILE, and unset PORTUS_REGISTRY_ANONYMOUS.",
        Concern.PASSWORD_FILE: "Check PORTUS_PASSWORD_FILE.",
        Concern.AUTHENTICATION: "Check PORTUS_REGISTRY_AUTH, and PORTUS_REGISTRY_ANONYMOUS if no account is needed.",
        Concern.TOKEN_REALM: "Check PORTUS_TOKEN_REALM: set it to the realm in the registry's auth.token settings.",
        Concern.BLOB_ORIGINS: "Check PORTUS_BLOB_ORIGINS: it must have the origin of the registry's storage.",
        Concern.CA_FILE: "PORTUS_CA_FILE can name CA certificates to trust in addition to those of the system.",
        Concern.OPEN_FILES: "Raise the process's limit of open files: ulimit -n, or LimitNOFILE= of systemd.",
        Concern.ENVIRONMENT_PROXY: "Check PORTUS_USE_ENVIRONMENT_PROXY and the variables that name the proxy.",
    }
)


NOT_CONNECTED: Final = (
    "Check that the server runs, that this machine can reach it, and that its address and scheme (http or https) are"
    " right: PORTUS_REGISTRY_URL, or PORTUS_TOKEN_REALM for the token service."
)
"""For a server that may only be down for a short time: the error for callers does not name the operator."""


def operator_text(error: GatewayError) -> str:
    """What the log says about `error`: its message, the details of it and of its causes, and advice."""
    details = "; ".join(dict.fromkeys(each.operator_detail for each in _with_causes(error) if each.operator_detail))
    return _with_advice(f"{error} ({details})" if details else str(error), error)


def public_text(error: GatewayError) -> str:
    """The same without addresses and account names, for places that are not protected as a log is."""
    return _with_advice(str(error), error)


def concerns_settings(error: GatewayError) -> bool:
    """Whether the operator may have to change a setting because of `error`."""
    return any(_concern_of(each) is not None for each in _with_causes(error))


def _with_advice(text: str, error: GatewayError) -> str:
    errors = list(_with_causes(error))
    advice = [ADVICE[concern] for concern in dict.fromkeys(map(_concern_of, errors)) if concern is not None]
    if not advice and any(map(_never_connected, errors)):
        advice = [NOT_CONNECTED]
    return " ".join([f"{text}.", *advice]) if advice else text


def _with_causes(error: GatewayError) -> Iterator[GatewayError]:
    cause: BaseException | None = error
    while isinstance(cause, GatewayError):
        yield cause
        cause = cause.__cause__


def _never_connected(error: GatewayError) -> bool:
    return isinstance(error, Unreachable) or (isinstance(error, UpstreamTimeout) and not error.sent)


def _concern_of(error: GatewayError) -> Concern | None:
    return error.concern if isinstance(error, DistributionError) else None
