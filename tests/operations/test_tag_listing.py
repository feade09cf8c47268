"""An empty page only where the repository is known to exist."""

import pytest

from portus_gateway.access.errors import Hidden
from portus_gateway.distribution.errors import NotFound, Unavailable
from portus_gateway.distribution.names import Repository
from portus_gateway.errors import GatewayError
from portus_gateway.operations.tag_listing import tag_page
from portus_gateway.registry.protocol import Page
from tests.scripted_registry import ScriptedRegistry

APP = Repository("team/app")
UNKNOWN = NotFound("no such repository", reason="NAME_UNKNOWN")


async def test_a_repository_that_the_catalog_lists_has_no_tags() -> None:
    registry = ScriptedRegistry({"team/app": {}})
    registry.failures["team/app"] = UNKNOWN
    assert await tag_page(registry, APP, 10, None) == Page((), None)


async def test_without_proof_the_registrys_word_stands() -> None:
    registry = ScriptedRegistry({"team/other": {}})
    registry.failures["team/app"] = UNKNOWN
    with pytest.raises(NotFound) as caught:
        await tag_page(registry, APP, 10, None)
    assert caught.value is UNKNOWN


@pytest.mark.parametrize(
    "failure",
    [
        Hidden("no", reason="NAME_UNKNOWN"),
        NotFound("no", reason="MANIFEST_UNKNOWN"),
        Unavailable("no", reason="NAME_UNKNOWN"),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_another_failure_is_passed_on_and_the_catalog_not_asked(failure: GatewayError) -> None:
    registry = ScriptedRegistry({"team/app": {}})
    registry.failures["team/app"] = failure
    with pytest.raises(GatewayError) as caught:
        await tag_page(registry, APP, 10, None)
    assert caught.value is failure
    assert registry.asked == ["tags of team/app"]


async def test_who_lists_what_has_tags_pays_nothing() -> None:
    registry = ScriptedRegistry({"team/app": {"1.0": "one"}})
    assert len((await tag_page(registry, APP, 10, None)).items) == 1
    assert registry.asked == ["tags of team/app"]
