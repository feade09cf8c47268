"""A registry in memory and a token service like Portus', over real HTTP.

For `portus-gateway dev`, for this project's tests, and for tests of other projects that use a registry. It shares no
code with the gateway, which is tested against it.

    async with DevRegistry() as registry:
        digest = registry.push("team/app", "1.0", "latest")
        with registry.inject(Fault.parse("manifests:status=503,times=2")):
            ...
        assert registry.requests.count(route="manifests", status=503) == 2
"""

from portus_gateway.devregistry.authorization import Auth
from portus_gateway.devregistry.demo_content import seed_demo
from portus_gateway.devregistry.fault_set import Injection
from portus_gateway.devregistry.faults import Fault
from portus_gateway.devregistry.flavours import Flavour
from portus_gateway.devregistry.images import Content, artifact, image, index, multi_platform, raw_manifest
from portus_gateway.devregistry.notifications import NotificationEndpoint
from portus_gateway.devregistry.request_log import RequestLog, RequestRecord
from portus_gateway.devregistry.server import DevRegistry
from portus_gateway.devregistry.signing_key import SigningKey
from portus_gateway.devregistry.token_service import TokenService
from portus_gateway.devregistry.users import EVERYTHING, User

__all__ = [
    "EVERYTHING",
    "Auth",
    "Content",
    "DevRegistry",
    "Fault",
    "Flavour",
    "Injection",
    "NotificationEndpoint",
    "RequestLog",
    "RequestRecord",
    "SigningKey",
    "TokenService",
    "User",
    "artifact",
    "image",
    "index",
    "multi_platform",
    "raw_manifest",
    "seed_demo",
]
