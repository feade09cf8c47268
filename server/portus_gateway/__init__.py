"""portus-gateway: a typed gRPC API to a Docker Distribution (OCI) registry."""

__version__: str


def __getattr__(name: str) -> str:
    """Finds the version out when somebody asks: to load importlib.metadata takes a fifth of a health check's time."""
    if name != "__version__":
        raise AttributeError(name)
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("portus-gateway")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "0+source"
