"""The version of the client."""

from importlib import metadata

_DISTRIBUTION = "portus-gateway"


def version() -> str:
    """The installed version, such as `1.0.0`, or `unknown` if the package is not installed."""
    try:
        return metadata.version(_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"
