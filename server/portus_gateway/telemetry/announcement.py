"""The log line that says where the gateway serves, and warnings about insecure settings."""

import structlog

from portus_gateway import __version__
from portus_gateway.listen_address import ListenAddress
from portus_gateway.settings import Settings

_log = structlog.get_logger(__name__)


def announce(
    settings: Settings,
    address: ListenAddress,
    *,
    metrics: ListenAddress | None,
    mtls: ListenAddress | None,
    workers: int = 1,
) -> None:
    """Logs that `address` is served, and `metrics` and `mtls` if they are. To be called once they are."""
    addresses = {"metrics": metrics, "mtls": mtls}
    _log.info(
        "listening",
        address=str(address),
        **{name: str(other) for name, other in addresses.items() if other is not None},
        **({"workers": workers} if workers > 1 else {}),
        tls=settings.tls_certificate_file is not None,
        registry=settings.registry_url,
        username=None if settings.registry_anonymous else settings.username,
        deletes=settings.allow_delete,
        version=__version__,
    )
    if address.is_loopback:
        return
    if settings.allow_anonymous or not settings.authenticates:
        rights = "has what the policy allows to anonymous" if settings.policy_file else "has the gateway's powers"
        _log.warning(f"callers need no credential: whoever reaches this address {rights}", address=str(address))
    if settings.tls_certificate_file is None:
        _log.warning("no TLS: credentials and contents go over the wire open", address=str(address))
