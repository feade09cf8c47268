"""The registries that the acceptance tests run over: ours in memory, in both of its flavours, and two real ones.

Each asks for tokens of a token service of its own, which answers as Portus does.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from portus_gateway.devregistry import Content, DevRegistry, TokenService, User
from portus_gateway.devregistry.behaviour import Flavour
from portus_gateway.distribution import Configuration, Credentials, StaticPassword
from tests import programs
from tests.real.registry_process import Settings, serving
from tests.real.storage_files import plant

PUSHER = "pusher"
_SERVICE = "registry.test"
# What real registries forgive after a token's end.
_LEEWAY_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A registry that runs, and the token service that it trusts."""

    name: str
    url: str
    tokens: TokenService = field(repr=False)
    plant: Callable[[str, str, Content], None] = field(repr=False)
    """Puts content under a repository and tag, past all checks: what registries refuse to take, some hold."""
    log_tail: Callable[[], str] = field(repr=False)
    """What the registry logged last."""

    @property
    def authority(self) -> str:
        return self.url.removeprefix("http://")

    @property
    def pusher(self) -> User:
        """Whose images these are: another account than the gateway's."""
        return User(PUSHER, f"{self.tokens.password}-of-{PUSHER}")

    def configuration(self) -> Configuration:
        """How the gateway reaches the registry, as `portus`."""
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

            yield Backend(name=self.name, url=registry.url, tokens=tokens, plant=push, log_tail=log_tail)


@dataclass(frozen=True, slots=True)
class Real:
    """A real registry. `auth` writes, for a token service and a folder to keep its key in, the `auth` section."""

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
                tokens=tokens,
                plant=partial(plant, registry.storage),
                log_tail=registry.log_tail,
            )


def token_service() -> TokenService:
    """A token service that knows `portus` and whoever pushes."""
    tokens = TokenService(service=_SERVICE)
    tokens.users.add(User(PUSHER, f"{tokens.password}-of-{PUSHER}"))
    return tokens


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


DOCKER_REGISTRY = Real("docker-registry-2.8", programs.docker_registry, auth_by_certificate)
DISTRIBUTION = Real("distribution-3.1", programs.distribution, auth_by_key_set)

KINDS: tuple[Kind, ...] = (InMemory("dev-2.8", "2.8"), InMemory("dev-3.1", "3.1"), DOCKER_REGISTRY, DISTRIBUTION)
