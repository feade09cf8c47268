"""The registry behind the gateway: what a test puts there, and what it makes go wrong."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from portus_gateway.devregistry import Content, DevRegistry, Fault

Answer = TypeVar("Answer")


class RegistryInMemory:
    """A registry in memory. Its methods can be called from any thread; `portus_gateway.devregistry` makes content."""

    def __init__(self, registry: DevRegistry, loop: asyncio.AbstractEventLoop) -> None:
        self._registry = registry
        self._loop = loop

    def push(self, repository: str, *tags: str, content: Content | None = None) -> str:
        """Stores an image and tags it; returns its digest. Without `content` it is one of its own, with one layer.

        `portus_gateway.devregistry` has `image`, `index` and `artifact`, which make content.
        """
        return self._call(lambda: self._registry.push(repository, *tags, content=content))

    def tag(self, repository: str, tag: str, digest: str) -> None:
        """Points a tag at a manifest of the repository. Raises `KeyError` if that is not there."""
        self._call(lambda: self._registry.tag(repository, tag, digest))

    def untag(self, repository: str, tag: str) -> bool:
        """Takes a tag away; says whether there was one."""
        return self._call(lambda: self._registry.untag(repository, tag))

    def delete(self, repository: str, digest: str) -> bool:
        """Deletes a manifest with every tag on it; says whether there was one."""
        return self._call(lambda: self._registry.delete(repository, digest))

    def repositories(self) -> list[str]:
        """The names of all repositories."""
        return self._call(self._registry.repositories)

    def tags(self, repository: str) -> dict[str, str]:
        """A repository's tags and their digests; empty for an unknown one."""
        return self._call(lambda: self._registry.tags(repository))

    @contextmanager
    def fault(self, text: str) -> Iterator[None]:
        """Makes the registry fail for as long as the block runs: `manifests:status=503`, `tags:delay=2`.

        The text is that of `portus-gateway dev --fault`. Raises `ValueError` where it is none.
        """
        fault = Fault.parse(text)
        injection = self._call(lambda: self._registry.inject(fault))
        try:
            yield
        finally:
            self._call(injection.remove)

    def _call(self, function: Callable[[], Answer]) -> Answer:
        """Calls `function` in the registry's loop: nothing there expects another thread to change the content."""

        async def call() -> Answer:
            return function()

        try:
            if asyncio.get_running_loop() is self._loop:
                return function()
        except RuntimeError:
            # No loop runs in this thread.
            pass
        return asyncio.run_coroutine_threadsafe(call(), self._loop).result()
