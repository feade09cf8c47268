"""The registry behind the gateway, with its content and its faults."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from portus_gateway.devregistry import Content, DevRegistry, Fault

Answer = TypeVar("Answer")


class RegistryInMemory:
    """A registry in memory. Every thread can call its methods. `portus_gateway.devregistry` makes content."""

    def __init__(self, registry: DevRegistry, loop: asyncio.AbstractEventLoop) -> None:
        self._registry = registry
        self._loop = loop

    def push(self, repository: str, *tags: str, content: Content | None = None) -> str:
        """Stores an image with these tags and returns its digest. The default is a new image with one layer.

        `portus_gateway.devregistry` has `image`, `index` and `artifact` to make other content.
        """
        return self._call(lambda: self._registry.push(repository, *tags, content=content))

    def tag(self, repository: str, tag: str, digest: str) -> None:
        """Points a tag to a manifest of the repository. Raises `KeyError` if there is no such manifest."""
        self._call(lambda: self._registry.tag(repository, tag, digest))

    def untag(self, repository: str, tag: str) -> bool:
        """Removes a tag. Returns whether it existed."""
        return self._call(lambda: self._registry.untag(repository, tag))

    def delete(self, repository: str, digest: str) -> bool:
        """Deletes a manifest with every tag that points to it. Returns whether it existed."""
        return self._call(lambda: self._registry.delete(repository, digest))

    def repositories(self) -> list[str]:
        """The names of all repositories."""
        return self._call(self._registry.repositories)

    def tags(self, repository: str) -> dict[str, str]:
        """The tags of a repository with their digests. Empty for an unknown repository."""
        return self._call(lambda: self._registry.tags(repository))

    @contextmanager
    def fault(self, text: str) -> Iterator[None]:
        """Makes the registry fail as long as the block runs: `manifests:status=503`, `tags:delay=2`.

        `text` is as for `portus-gateway dev --fault`. Raises `ValueError` if it is not valid.
        """
        fault = Fault.parse(text)
        injection = self._call(lambda: self._registry.inject(fault))
        try:
            yield
        finally:
            self._call(injection.remove)

    def _call(self, function: Callable[[], Answer]) -> Answer:
        """Calls `function` in the loop of the registry, which is not safe for other threads."""

        async def call() -> Answer:
            return function()

        try:
            if asyncio.get_running_loop() is self._loop:
                return function()
        except RuntimeError:
            # This thread has no running loop.
            pass
        return asyncio.run_coroutine_threadsafe(call(), self._loop).result()
