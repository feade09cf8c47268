"""A real gateway over a registry in memory, for the tests of whoever uses this client.

    from portus_client import testing

    with testing.gateway() as gateway:
        digest = gateway.registry.push("team/app", "1.0")
        with gateway.client() as client:
            assert client.resolve("team/app", "1.0").digest == digest

It needs the gateway itself: `pip install "portus-gateway[server]"`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portus_client.testing.block import GatewayBlock
    from portus_client.testing.gateway_under_test import GatewayUnderTest
    from portus_client.testing.registry_in_memory import RegistryInMemory

__all__ = ["GatewayBlock", "GatewayUnderTest", "RegistryInMemory", "gateway"]


def gateway(*, seed: bool = False, allow_delete: bool = True) -> "GatewayBlock":
    """A gateway that serves for as long as a `with` or an `async with` block runs, on a free port of this machine.

    In a `with` it runs in a thread of its own, in an `async with` in the loop of the block. Settings in the
    environment do not count. What it logs goes to the standard library's logging.

    `seed`: whether the registry begins with the images of `portus-gateway dev`, or empty. `allow_delete`: whether the
    gateway deletes. Raises `ImportError` where the gateway is not installed.
    """
    try:
        from portus_client.testing.block import GatewayBlock
    except ModuleNotFoundError as error:
        raise ImportError(
            f"portus_client.testing runs the gateway itself, which needs {error.name}:"
            ' pip install "portus-gateway[server]"'
        ) from error
    return GatewayBlock(seed=seed, allow_delete=allow_delete)


def __getattr__(name: str) -> object:
    # The classes are here for annotations; only who names them needs the gateway.
    if name in __all__:
        from portus_client.testing import block, gateway_under_test, registry_in_memory

        for module in (block, gateway_under_test, registry_in_memory):
            if name in vars(module):
                value: object = vars(module)[name]
                return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
