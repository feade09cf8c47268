"""The registries that the acceptance tests run over: the development registry in its flavours, and real ones.

Most of them ask for tokens. Each of those has a token service of its own, which answers as Portus does.
"""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import pytest

from portus_gateway.devregistry import Content, DevRegistry, TokenService, User
from portus_gateway.devregistry.flavours import Flavour
from portus_gateway.distribution import Configuration, Credentials, StaticPassword
from tests import programs
from tests.real.registry_process import Settings, running, serving, storage_of
from tests.real.registry_push import push_unchecked
from tests.real.storage_files import plant

PUSHER = "pusher"
_SERVICE = "registry.test"
# Real registries accept a token for this long after its end.
_LEEWAY_SECONDS = 60
_GO_CONTAINERREGISTRY_LISTENS = re.compile(r"serving on port ([0-9]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A registry that runs, and the token service that it trusts."""

    name: str
    url: str
    token_service: TokenService | None = field(repr=False)
    """None for a registry that anybody may use."""
    plant: Callable[[str, str, Content], None] = field(repr=False)
    """Stores content under a repository and tag without the checks of a push."""
    log_tail: Callable[[], str] = field(repr=False)
    """The end of the registry's log."""

    @property
    def tokens(self) -> TokenService:
        """The token service. A test that needs one is skipped over a registry that has none."""
        if self.token_service is None:
            pytest.skip(f"{self.name} asks for no tokens")
        return self.token_service

    @property
    def authority(self) -> str:
        return self.url.removeprefix("http://")

    @property
    def pusher(self) -> User:
        """The account that pushes the images. The gateway has another one."""
        return User(PUSHER, _pushers_password(self.token_service))

    def configuration(self) -> Configuration:
        """How the gateway reaches the registry, as `portus` where there are accounts."""
        if self.token_service is None:
            return Configuration(url=self.url)
        return Configuration(
            url=self.url,
            credentials=Credentials(self.tokens.username, StaticPassword(self.tokens.password)),
            token_realm=self.tokens.realm,
        )


class Kind(Protocol):
    """Starts one kind of registry, empty, with its content in `folder`."""

    @property
    def name(self) -> str: ...

    def serving(
        self, folder: Path, *, deletion_enabled: bool = True, largest_page: int = 1000
    ) -> AbstractAsyncContextManager[Backend]: ...


@dataclass(frozen=True, slots=True)
class InMemory:
    """The development registry, behaving as `flavour` does."""

    name: str
    flavour: Flavour

    @asynccontextmanager
    async def serving(
        self,
        folder: Path,
        *,
        deletion_enabled: bool = True,
        largest_page: int = 1000,
    ) -> AsyncIterator[Backend]:
        async with (
            token_service() as tokens,
            DevRegistry(
                flavour=self.flavour,
                deletion_enabled=deletion_enabled,
                token_service=tokens,
                token_leeway=_LEEWAY_SECONDS,
            ) as registry,
        ):
            registry.maximum_page = largest_page

            def push(repository: str, tag: str, content: Content) -> None:
                registry.push(repository, tag, content=content)

            def log_tail() -> str:
                shown = [f"{r.method} {r.target} {r.authorization} {r.status}" for r in registry.requests]
                return "\n".join(shown[-50:])

            yield Backend(name=self.name, url=registry.url, token_service=tokens, plant=push, log_tail=log_tail)


@dataclass(frozen=True, slots=True)
class Distribution:
    """A release of distribution.

    `auth` answers with the `auth` section of its configuration for a token service. It writes the key to the folder.
    """

    name: str
    program: Callable[[], str]
    auth: Callable[[TokenService, Path], Settings]

    @asynccontextmanager
    async def serving(
        self, folder: Path, *, deletion_enabled: bool = True, largest_page: int = 1000
    ) -> AsyncIterator[Backend]:
        program = self.program()
        async with (
            token_service() as tokens,
            serving(
                program,
                folder,
                auth=self.auth(tokens, folder),
                deletion_enabled=deletion_enabled,
                largest_page=largest_page,
            ) as registry,
        ):
            yield Backend(
                name=self.name,
                url=registry.url,
                token_service=tokens,
                plant=partial(plant, storage_of(folder)),
                log_tail=registry.log_tail,
            )


@dataclass(frozen=True, slots=True)
class GoContainerRegistry:
    """The registry of go-containerregistry: in memory, without accounts, without settings."""

    name: str

    @asynccontextmanager
    async def serving(
        self, folder: Path, *, deletion_enabled: bool = True, largest_page: int = 1000
    ) -> AsyncIterator[Backend]:
        if not deletion_enabled or largest_page != 1000:
            pytest.skip(f"{self.name} always deletes, and does not bound its pages")
        command = (programs.go_containerregistry(), "-port", "0")
        async with running(command, folder, listens=_GO_CONTAINERREGISTRY_LISTENS, answers=200) as registry:
            yield Backend(
                name=self.name,
                url=registry.url,
                token_service=None,
                plant=partial(push_unchecked, registry.authority),
                log_tail=registry.log_tail,
            )


def token_service() -> TokenService:
    """A token service with two accounts: `portus`, and the one that pushes."""
    tokens = TokenService(service=_SERVICE)
    tokens.users.add(User(PUSHER, _pushers_password(tokens)))
    return tokens


def _pushers_password(tokens: TokenService | None) -> str:
    return f"{tokens.password}-of-{PUSHER}" if tokens is not None else "unused"


def auth_by_certificate(tokens: TokenService, folder: Path) -> Settings:
    """The `auth` section of registry 2.8: the token service's key as a certificate."""
    certificate = tokens.write_certificate(folder / "token-service.pem")
    return {"token": {**_token_settings(tokens), "rootcertbundle": str(certificate)}}


def auth_by_key_set(tokens: TokenService, folder: Path) -> Settings:
    """The `auth` section of registry 3: the token service's key in a key set."""
    key_set = tokens.write_jwks(folder / "token-service.json")
    return {"token": {**_token_settings(tokens), "jwks": str(key_set)}}


def _token_settings(tokens: TokenService) -> dict[str, str]:
    return {"realm": tokens.realm, "service": tokens.service, "issuer": tokens.issuer}


DOCKER_REGISTRY = Distribution("docker-registry-2.8", programs.docker_registry, auth_by_certificate)
DISTRIBUTION = Distribution("distribution-3.1", programs.distribution, auth_by_key_set)
GO_CONTAINERREGISTRY = GoContainerRegistry("go-containerregistry")

DEV_2_8 = InMemory("dev-2.8", "2.8")
DEV_3_1 = InMemory("dev-3.1", "3.1")
DEV_OCI_1_1 = InMemory("dev-oci-1.1", "oci-1.1")

KINDS: tuple[Kind, ...] = (
    DEV_2_8,
    DEV_3_1,
    DEV_OCI_1_1,
    DOCKER_REGISTRY,
    DISTRIBUTION,
    GO_CONTAINERREGISTRY,
)
