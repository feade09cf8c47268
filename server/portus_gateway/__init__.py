"""portus-gateway: a typed gRPC API to a Docker Distribution (OCI) registry."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("portus-gateway")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+source"
