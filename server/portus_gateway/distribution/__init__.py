"""A client of the Distribution HTTP API (Docker Registry V2, OCI distribution 1.1). Knows nothing of gRPC.

    async with DistributionClient(Configuration(url="https://registry.example")) as registry:
        manifest = await registry.get_manifest(Repository("team/app"), Tag("v1"))

The errors are in `errors`. `portus_gateway.aio.deadline` bounds calls in time.
"""

from portus_gateway.distribution.client import DistributionClient
from portus_gateway.distribution.configuration import Authentication, Configuration, RetryPolicy, Timeouts
from portus_gateway.distribution.credentials import Credentials, Password, PasswordFile, StaticPassword
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.manifest import Descriptor, Image, Index, Manifest, Platform
from portus_gateway.distribution.names import Repository, Tag, UnusableName
from portus_gateway.distribution.observer import NotObserved, UpstreamObserver
from portus_gateway.distribution.page import Cursor, Page
from portus_gateway.distribution.ping import RegistryVersion
from portus_gateway.distribution.reference import Reference

__all__ = [
    "Authentication",
    "Configuration",
    "Credentials",
    "Cursor",
    "Descriptor",
    "Digest",
    "DistributionClient",
    "Image",
    "Index",
    "Manifest",
    "NotObserved",
    "Page",
    "Password",
    "PasswordFile",
    "Platform",
    "Reference",
    "RegistryVersion",
    "Repository",
    "RetryPolicy",
    "StaticPassword",
    "Tag",
    "Timeouts",
    "UnusableName",
    "UpstreamObserver",
]
