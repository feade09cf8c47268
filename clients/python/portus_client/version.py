"""Which version of the client this is."""

from importlib import metadata

_DISTRIBUTION = "portus-gateway"


def version() -> str:
    """The installed version, such as `1.0.0`; `unknown` where the package runs without being installed."""
    try:
        return metadata.version(_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"
