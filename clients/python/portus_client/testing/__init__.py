"""A real gateway over a registry in memory, for your own tests.

    from portus_client import testing

    with testing.gateway() as gateway:
        digest = gateway.registry.push("team/app", "1.0")
        with gateway.client() as client:
            assert client.resolve("team/app", "1.0").digest == digest

It needs the gateway, which portus-gateway has with its extra `server`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portus_client.testing.block import GatewayBlock
    from portus_client.testing.gateway_under_test import GatewayUnderTest
    from portus_client.testing.registry_in_memory import RegistryInMemory

__all__ = ["GatewayBlock", "GatewayUnderTest", "RegistryInMemory", "gateway"]


def gateway(*, seed: bool = False, allow_delete: bool = True) -> "GatewayBlock":
    """A gateway that runs as long as a `with` or `async with` block, on a free port of this machine.

    In a `with`, it runs in its own thread; in an `async with`, in the running loop. Settings in the environment are
    ignored. Log messages go to the module `logging`.

    `seed`: begin with the demo images of `portus-gateway dev` instead of an empty registry. `allow_delete`: whether the
    gateway allows deletes. Raises `ImportError` if the gateway is not installed.
    """
    try:
        from portus_client.testing.block import GatewayBlock
    except ModuleNotFoundError as error:
        raise ImportError(
            f"portus_client.testing needs the gateway, but {error.name} is not installed:"
            " install portus-gateway with its extra 'server'"
        ) from error
    return GatewayBlock(seed=seed, allow_delete=allow_delete)


def __getattr__(name: str) -> object:
    # The classes are for annotations. They are imported on first use, because they need the gateway.
    if name in __all__:
        from portus_client.testing import block, gateway_under_test, registry_in_memory

        for module in (block, gateway_under_test, registry_in_memory):
            if name in vars(module):
                value: object = vars(module)[name]
                return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
