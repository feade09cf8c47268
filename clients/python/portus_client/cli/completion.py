"""Completion of repositories and tags. It asks the gateway.

A shell shows no messages of a completion. So every failure means that nothing is suggested; the command itself will
report it.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

import click

from portus_client.cli import completion_cache
from portus_client.cli.session import Session
from portus_client.client import RegistryClient
from portus_client.errors import RegistryError
from portus_client.image_name import ImageName, InvalidImageName, split_host

# Seconds for a call. Nobody waits longer for a completion.
_PATIENCE: Final = 2.0
# More suggestions are of no use. The shell asks again with more letters.
_MOST: Final = 1000


def images(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Names of repositories and, after a `:`, of tags."""
    host, rest = split_host(incomplete)
    repository, colon, tag = rest.partition(":")
    if not colon:
        return [f"{host}{name}" for name in _repositories(context, rest)]
    return [f"{host}{repository}:{name}" for name in _tags(context, repository) if name.startswith(tag)]


def repositories(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Names of repositories."""
    host, rest = split_host(incomplete)
    return [f"{host}{name}" for name in _repositories(context, rest)]


def prefixes(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Names of repositories, without a host before them."""
    return _repositories(context, incomplete)


def tags(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Tags of the argument IMAGE."""
    image = context.params.get("image")
    if not isinstance(image, ImageName):
        # click stops before the arguments because the option has no value yet.
        try:
            image = ImageName.parse(context.args[0])
        except (IndexError, InvalidImageName):
            return []
    return [name for name in _tags(context, image.repository) if name.startswith(incomplete)]


def _repositories(context: click.Context, prefix: str) -> list[str]:
    def listed(client: RegistryClient) -> Iterator[str]:
        catalog = client.catalog(prefix=prefix, timeout=_PATIENCE)
        yield from (repository.name for repository in catalog if _is_valid(repository.name))

    return _known(context, f"repositories {prefix}", listed)


def _tags(context: click.Context, repository: str) -> list[str]:
    return _known(context, f"tags {repository}", lambda client: client.tags(repository, timeout=_PATIENCE))


def _known(context: click.Context, what: str, listed: Callable[[RegistryClient], Iterator[str]]) -> list[str]:
    names: list[str] = []
    try:
        session = _session(context)
        key = f"{session!r} {what}"
        cached = completion_cache.load(key)
        if cached is not None:
            return cached
        with session.connect() as client:
            for name in islice(listed(client), _MOST):
                names.append(name)  # noqa: PERF402 -- what came before an error is suggested
        completion_cache.store(key, names)
    except (RegistryError, click.ClickException, OSError, ValueError):
        return names
    return names


def _session(context: click.Context) -> Session:
    return Session.of(context).or_else(Session.of(context.find_root())).with_profile()


def _is_valid(name: str) -> bool:
    """Whether it is a valid name, so that it cannot break the lines that the shell reads."""
    try:
        ImageName(repository=name)
    except InvalidImageName:
        return False
    return True
