"""The same scenario in five languages prints the same text."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager

import pytest

from portus_gateway.devregistry import DevRegistry, image, index
from tests.clients.interop import real_registry
from tests.clients.interop.background import running
from tests.clients.interop.conftest import Gateways
from tests.clients.interop.gateways import configuration_of, gateway, indexed_gateway
from tests.clients.interop.programs import Program
from tests.clients.interop.scenario_output import APP, APP_SBOM, DEMO, OLD, expected

FALLBACK_TAG = APP.digest.replace(":", "-")


def test_prints_the_same_over_the_in_memory_registry(program: Program, gateways: Gateways) -> None:
    outcome = program.run(gateways.plaintext, "team/app", "latest")
    assert (outcome.code, outcome.error) == (0, "")
    assert outcome.output == DEMO


def test_prints_the_same_over_tls_with_a_token(program: Program, gateways: Gateways) -> None:
    outcome = program.run(gateways.tls, "team/app", "latest", ca_file=gateways.ca_file, token_file=gateways.token_file)
    assert (outcome.code, outcome.error) == (0, "")
    assert outcome.output == DEMO


@pytest.fixture(scope="module")
def over_a_real_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ExitStack() as stack:
        url = stack.enter_context(real_registry.serving(tmp_path_factory.mktemp("registry")))
        real_registry.push(
            url, "library/alpine", index([image("alpine"), image("arm", platform="linux/arm64")]), "3.20"
        )
        real_registry.push(url, "team/app", OLD, "1.0.0")
        real_registry.push(url, "team/app", APP, "1.1.0", "latest", "stable")
        # Distribution has no referrers API. This is what clients write there.
        real_registry.push(url, "team/app", index([APP_SBOM]), FALLBACK_TAG)
        yield stack.enter_context(running(indexed_gateway(url, tmp_path_factory.mktemp("index"))))


def test_prints_the_same_over_a_real_registry(program: Program, over_a_real_registry: str) -> None:
    outcome = program.run(over_a_real_registry, "team/app", "latest")
    assert (outcome.code, outcome.error) == (0, "")
    assert outcome.output == expected(
        f"""\
  library/alpine: 3.20
  team/app: 1.0.0, 1.1.0, latest, {FALLBACK_TAG}, stable
""",
        {"1.0.0": OLD, "1.1.0": APP, "latest": APP, "stable": APP},
        refusing="1.1.0, stable",
        referrers=[APP_SBOM],
        tag_deletion="  code: FAILED_PRECONDITION\n  reason: UNSUPPORTED\n  manifest: team/app:latest\n",
        on_digest="".join(f"  team/app:{tag}\n" for tag in ("1.1.0", "latest", "stable")),
        history=f"  TAG_CREATED: {APP.digest}\n",
        current_state="  REPOSITORY_CREATED: team/app\n"
        + "".join(f"  TAG_CREATED: {tag}\n" for tag in ("1.0.0", "1.1.0", "latest", FALLBACK_TAG, "stable")),
    )


# A page has 100 items.
MANY = [f"many/repository-{number:03}" for number in range(230)]


@pytest.fixture(scope="module")
def over_many_repositories() -> Iterator[str]:
    @asynccontextmanager
    async def serving() -> AsyncIterator[str]:
        async with DevRegistry() as registry:
            registry.push_many(MANY)
            registry.push("team/app", "latest", "stable", content=APP)
            async with gateway(configuration_of(registry)) as address:
                yield address

    with running(serving()) as address:
        yield address


def test_lists_all_pages(program: Program, over_many_repositories: str) -> None:
    outcome = program.run(over_many_repositories, "team/app", "latest")
    assert (outcome.code, outcome.error) == (0, "")
    listed = outcome.output.partition("manifest ")[0].splitlines()[1:]
    assert listed == [*(f"  {name}: latest" for name in MANY), "  team/app: latest, stable"]
