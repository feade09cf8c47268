"""What a caller gets of a registry that it may see only some of."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from portus_gateway.access.caller import Caller
from portus_gateway.access.errors import PermissionDenied
from portus_gateway.access.page_token_keys import SecretKey
from portus_gateway.access.policy import Policy
from portus_gateway.devregistry import DevRegistry
from portus_gateway.distribution import Configuration, Credentials, DistributionClient, StaticPassword
from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import NotFound, RegistryFault
from portus_gateway.distribution.manifest import Descriptor, Manifest
from portus_gateway.distribution.names import Repository, Tag, UnusableName
from portus_gateway.operations import catalog_listing
from portus_gateway.operations.catalog_listing import CatalogEntry, CatalogListing
from portus_gateway.operations.deletion import BatchDeletion, BlobDeletion, Deleted, ManifestDeletion, TagDeletion
from portus_gateway.operations.guarded_deletion import GuardedDeletion
from portus_gateway.registry.authorized import AuthorizedRegistry
from portus_gateway.registry.protocol import Cursor, OpenBlob, Page, Part, Reference
from portus_gateway.rpc.page_tokens import PageTokens
from tests.access.calls import calling
from tests.access.fake_registry import FakeRegistry
from tests.access.policies import ROOT, TEAM_A, A, Fixed, parsed
from tests.open_blobs import BlobInMemory
from tests.scripted_registry import manifest_of

TOKENS = PageTokens(SecretKey.random())
ABSENT = Digest("sha256:" + "0" * 64)


def authorized(registry: FakeRegistry, policy: str = TEAM_A) -> AuthorizedRegistry:
    return AuthorizedRegistry(registry, Fixed(parsed(policy)))


async def pages_of(
    registry: AuthorizedRegistry, size: int, prefix: str = "", caller: Caller = A
) -> list[Page[CatalogEntry]]:
    """The pages that a caller of Catalog gets, with a page token between each two."""
    listing = CatalogListing(registry, 4)
    pages = []
    after: Cursor | None = None
    with calling(caller, "Catalog"):
        while True:
            page = await listing.page(size, after, include_tags=False, prefix=prefix)
            pages.append(page)
            if page.next is None:
                return pages
            token = TOKENS.encode(page.next, "Catalog")
            # It is as long as any other, and encrypted.
            assert len(token) == len(TOKENS.encode(Cursor("after", "x"), "Catalog"))
            after = TOKENS.decode(token, "Catalog")


def names_of(pages: list[Page[CatalogEntry]]) -> list[str]:
    return [str(entry.name) for page in pages for entry in page.items]


CATALOGS = st.lists(st.booleans(), max_size=40).map(
    lambda visible: [f"team-a/r{n:02}" if seen else f"hidden/r{n:02}" for n, seen in enumerate(visible)]
)


@settings(deadline=None)
@given(CATALOGS, st.integers(1, 12), st.integers(1, 12), st.sampled_from(["", "team-a/", "team-a/r0", "hidden/"]))
def test_pages_hold_what_is_visible_and_depend_on_nothing_else(
    catalog: list[str], size: int, upstream_size: int, prefix: str
) -> None:
    visible = [name for name in catalog if name.startswith("team-a/")]
    pages = asyncio.run(pages_of(authorized(FakeRegistry(catalog, upstream_size)), size, prefix))
    assert names_of(pages) == [name for name in visible if name.startswith(prefix)]
    # They are the pages of a registry that has nothing else: as many, as full, with the same positions between them.
    assert pages == asyncio.run(pages_of(authorized(FakeRegistry(visible, upstream_size)), size, prefix))


@settings(deadline=None)
@given(CATALOGS, st.integers(1, 12))
def test_a_search_for_a_prefix_gives_up_after_names_that_are_visible(catalog: list[str], size: int) -> None:
    visible = [name for name in catalog if name.startswith("team-a/")]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(catalog_listing, "_MOST_NAMES_LOOKED_AT", 5)
        pages = asyncio.run(pages_of(authorized(FakeRegistry(catalog, size)), 2, "team-a/r3"))
        assert pages == asyncio.run(pages_of(authorized(FakeRegistry(visible, size)), 2, "team-a/r3"))


@settings(deadline=None)
@given(CATALOGS, st.integers(1, 12))
def test_a_stream_gets_what_is_visible(catalog: list[str], size: int) -> None:
    async def streamed() -> list[str]:
        listing = CatalogListing(authorized(FakeRegistry(catalog, size)), 4)
        with calling(A, "StreamCatalog"):
            return [str(entry.name) async for known in listing.stream(include_tags=False, prefix="") for entry in known]

    assert asyncio.run(streamed()) == [name for name in catalog if name.startswith("team-a/")]


async def test_a_stream_answers_with_the_first_that_is_visible() -> None:
    registry = FakeRegistry([f"hidden/{n:04}" for n in range(1500)] + ["team-a/x"] + [f"z/{n:04}" for n in range(5000)])
    with calling(A, "StreamCatalog"):
        page = await authorized(registry).list_repositories(None)
    assert [str(name) for name in page.items] == ["team-a/x"]
    assert len(registry.asked) == 2


async def test_who_sees_everything_costs_nothing() -> None:
    registry = FakeRegistry(["a", "b", "c"])
    with calling(ROOT, "Catalog"):
        page = await authorized(registry).list_repositories(2)
    assert page.next == Cursor("after", "b")
    assert registry.asked == ["list_repositories 2 "]


async def test_a_registry_whose_pages_repeat_is_an_error() -> None:
    class Circling(FakeRegistry):
        async def list_repositories(
            self, size: int | None, after: Cursor | None = None
        ) -> Page[Repository | UnusableName]:
            following = Cursor("after", "b" if after == Cursor("after", "a") else "a")
            return Page((Repository("hidden/x"),), following)

    with calling(A, "Catalog"), pytest.raises(RegistryFault, match="pages repeat"):
        await authorized(Circling([])).list_repositories(10)


async def test_a_catalog_that_changes_between_pages_never_shows_a_hidden_name() -> None:
    registry = FakeRegistry(["team-a/1", "team-a/2", "hidden/1", "team-a/3"], page_size=2)
    listing = CatalogListing(authorized(registry), 4)
    with calling(A, "Catalog"):
        first = await listing.page(2, None, include_tags=False, prefix="")
        registry.names = ["team-a/1", "hidden/0", "team-a/2", "hidden/1", "hidden/2", "team-a/3"]
        second = await listing.page(2, first.next, include_tags=False, prefix="")
    assert names_of([first, second]) == ["team-a/1", "team-a/2", "team-a/3"]
    assert first.next == Cursor("after", "team-a/2")


async def test_outside_of_a_call_everything_is_refused() -> None:
    registry = FakeRegistry(["team-a/x"])
    with pytest.raises(LookupError):
        await authorized(registry).list_repositories(10)
    with pytest.raises(LookupError):
        await authorized(registry).list_tags(Repository("team-a/x"), 10)
    assert registry.asked == []


Method = Callable[[AuthorizedRegistry, Repository], Awaitable[object]]
METHODS: dict[str, tuple[str, Method]] = {
    "list_tags": ("ListTags", lambda registry, name: registry.list_tags(name, 10)),
    "resolve_manifest": ("ResolveManifest", lambda registry, name: registry.resolve_manifest(name, Tag("v1"))),
    "get_manifest": ("GetManifest", lambda registry, name: registry.get_manifest(name, Tag("v1"))),
    "get_manifest of a batch": (
        "BatchGetManifests",
        lambda registry, name: registry.get_manifest(name, Tag("v1")),
    ),
    "get_image_config": (
        "GetImageConfig",
        lambda registry, name: registry.get_image_config(name, Descriptor("application/x", ABSENT)),
    ),
    "delete_manifest": ("DeleteManifest", lambda registry, name: registry.delete_manifest(name, ABSENT)),
    "delete_tag": ("DeleteManifest", lambda registry, name: registry.delete_tag(name, Tag("v1"))),
    "delete_blob": ("DeleteBlob", lambda registry, name: registry.delete_blob(name, ABSENT)),
    "push_blob": ("DeleteTag", lambda registry, name: registry.push_blob(name, b"{}")),
    "push_manifest": (
        "DeleteTag",
        lambda registry, name: registry.push_manifest(name, Tag("v1"), b"{}", "application/x"),
    ),
    "list_referrers": ("ListReferrers", lambda registry, name: registry.list_referrers(name, ABSENT, "", "")),
}
CHECKS: dict[str, tuple[str, Method]] = {
    "check_tag_deletion": ("DeleteTag", lambda registry, name: registry.check_tag_deletion(name)),
    "check_deletion": ("DeleteManifest", lambda registry, name: registry.check_deletion(name)),
}
"""What asks whether the registry deletes."""
SCRATCH = TEAM_A.replace('rpcs = ["read"]', 'rpcs = ["read", "delete"]')


@pytest.mark.parametrize("method", METHODS)
async def test_a_hidden_repository_is_answered_like_an_absent_one_without_a_request(method: str) -> None:
    rpc, call = METHODS[method]
    registry = FakeRegistry([])
    answers = []
    # Hidden, whether it is there or not; and within what the caller may see, but not there.
    for name in ("team-b/app", "team-a/app"):
        with calling(A, rpc), pytest.raises(NotFound) as caught:
            await call(authorized(registry, SCRATCH), Repository(name))
        error = caught.value
        answers.append((error.reason, str(error).replace(name, "NAME")))
    assert answers[0] == answers[1]
    assert registry.asked == [f"{method.partition(' ')[0]} team-a/app"]


@pytest.mark.parametrize("check", CHECKS)
async def test_whether_a_registry_deletes_is_not_asked_about_a_hidden_repository(check: str) -> None:
    rpc, call = CHECKS[check]
    registry = FakeRegistry([])
    with calling(A, rpc):
        with pytest.raises(NotFound, match="does not exist, or token:a may not see it"):
            await call(authorized(registry, SCRATCH), Repository("team-b/app"))
        await call(authorized(registry, SCRATCH), Repository("team-a/app"))
    assert registry.asked == [f"{check} team-a/app"]


@pytest.mark.parametrize(
    "method", [name for name in (*METHODS, *CHECKS) if name.startswith(("delete", "push", "check"))]
)
async def test_who_may_only_read_may_not_change_anything(method: str) -> None:
    rpc, call = (METHODS | CHECKS)[method]
    registry = FakeRegistry([])
    with calling(A, rpc), pytest.raises(PermissionDenied):
        await call(authorized(registry), Repository("team-a/app"))
    assert registry.asked == []


COMPOSED = {
    "ResolveManifest": METHODS["resolve_manifest"][1],
    "GetManifest": METHODS["get_manifest"][1],
    "GetImageConfig": METHODS["get_image_config"][1],
}


@pytest.mark.parametrize("needed", COMPOSED)
async def test_a_listing_with_details_needs_the_right_for_each_kind_of_detail(needed: str) -> None:
    others = ", ".join(f'"{rpc}"' for rpc in ("ListTags", *COMPOSED) if rpc != needed)
    registry = FakeRegistry([])
    narrow = authorized(registry, TEAM_A.replace('rpcs = ["read"]', f"rpcs = [{others}]"))
    app = Repository("team-a/app")
    with calling(A, "ListTags"):
        with pytest.raises(PermissionDenied) as caught:
            await COMPOSED[needed](narrow, app)
        assert str(caught.value) == f"token:a may not call {needed} on team-a/app"
        assert registry.asked == []
        for rpc, call in COMPOSED.items():
            if rpc != needed:
                with pytest.raises(NotFound):
                    await call(narrow, app)
    assert len(registry.asked) == 2


async def test_a_hidden_blob_is_absent() -> None:
    registry = FakeRegistry([])
    with calling(A, "DeleteBlob"):
        for name in ("team-b/app", "team-a/app"):
            assert not await authorized(registry, SCRATCH).blob_exists(Repository(name), ABSENT)
            with pytest.raises(NotFound, match="does not exist, or token:a may not see it"):
                await authorized(registry, SCRATCH).get_blob(Repository(name), ABSENT)
    assert registry.asked == ["blob_exists team-a/app", "get_blob team-a/app"]


async def test_a_caller_who_sees_everything_gets_the_registrys_words() -> None:
    registry = authorized(FakeRegistry([]))
    with calling(ROOT, "GetManifest"), pytest.raises(NotFound, match="the registry answered 404 MANIFEST_UNKNOWN"):
        await registry.get_manifest(Repository("x"), Tag("v1"))
    with calling(ROOT, "DeleteBlob"), pytest.raises(NotFound, match="the registry answered 404 NAME_UNKNOWN"):
        await registry.blob_exists(Repository("x"), ABSENT)


@pytest.mark.parametrize("method", ["delete_manifest", "delete_tag", "delete_blob"])
async def test_a_caller_who_may_only_read_gets_policy_denied(method: str) -> None:
    rpc, call = METHODS[method]
    registry = FakeRegistry([])
    with calling(A, rpc), pytest.raises(PermissionDenied) as caught:
        await call(authorized(registry), Repository("team-a/app"))
    assert str(caught.value) == f"token:a may not call {rpc} on team-a/app"
    assert caught.value.reason == "POLICY_DENIED"
    assert registry.asked == []


async def test_the_catalog_is_not_asked_about_what_is_hidden() -> None:
    registry = FakeRegistry(["team-a/app", "team-b/app"])
    with calling(A, "ListTags"):
        assert await authorized(registry).is_in_catalog(Repository("team-a/app"))
        with pytest.raises(NotFound):
            await authorized(registry).is_in_catalog(Repository("team-b/app"))
    assert registry.asked == ["is_in_catalog team-a/app"]


async def test_whether_deletes_are_possible_is_not_asked_about_what_is_hidden() -> None:
    registry = FakeRegistry([])
    with calling(A, "DeleteManifest"):
        await authorized(registry, SCRATCH).check_deletion(Repository("team-a/app"))
        with pytest.raises(NotFound):
            await authorized(registry, SCRATCH).check_deletion(Repository("team-b/app"))
    assert registry.asked == ["check_deletion team-a/app"]


@pytest.mark.parametrize(
    ("rpc", "reference", "named"),
    [
        ("ListTags", None, "team-b/app"),
        ("GetManifest", Tag("v1"), "team-b/app:v1"),
        ("GetManifest", ABSENT, f"team-b/app@{ABSENT}"),
    ],
)
async def test_the_error_names_what_the_caller_asked_for(rpc: str, reference: Tag | Digest | None, named: str) -> None:
    registry, app = authorized(FakeRegistry([])), Repository("team-b/app")
    with calling(A, rpc), pytest.raises(NotFound) as caught:
        await (registry.list_tags(app, 10) if reference is None else registry.get_manifest(app, reference))
    assert str(caught.value) == f"{named} does not exist, or token:a may not see it"


async def test_the_log_says_who_was_refused_what_and_by_which_rule() -> None:
    denied = (
        TEAM_A
        + """
[[deny]]
name = "not this one"
principals = ["token:a"]
rpcs = ["GetManifest"]
repositories = ["team-a/secret"]
"""
    )
    with capture_logs() as logs, calling(A, "BatchGetManifests"), pytest.raises(PermissionDenied):
        await authorized(FakeRegistry([]), denied).get_manifest(Repository("team-a/secret"), Tag("v1"))
    (line,) = logs
    assert line == {
        "log_level": "info",
        "event": "refused",
        "caller": "token:a",
        "rpc": "GetManifest",
        "repository": "team-a/secret",
        "decision": "denied by deny rule 'not this one' (line 20)",
    }


async def test_a_read_that_names_no_age_gets_what_is_there_now() -> None:
    class Noting(FakeRegistry):
        staleness: float | None = None

        async def get_manifest(
            self,
            repository: Repository,
            reference: Reference,
            max_staleness: float = 0,
            known: Manifest | None = None,
        ) -> Manifest:
            self.staleness = max_staleness
            return manifest_of("x")

        async def resolve_manifest(
            self, repository: Repository, reference: Reference, max_staleness: float = 0
        ) -> Descriptor:
            self.staleness = max_staleness
            return manifest_of("x").descriptor

    for rpc in ("GetManifest", "ResolveManifest"):
        registry = Noting([])
        with calling(A, rpc):
            if rpc == "GetManifest":
                await authorized(registry).get_manifest(Repository("team-a/app"), Tag("v1"))
            else:
                await authorized(registry).resolve_manifest(Repository("team-a/app"), Tag("v1"))
        assert registry.staleness == 0


async def test_a_name_that_is_no_repository_name_is_hidden_like_others() -> None:
    class Unusable(FakeRegistry):
        async def list_repositories(
            self, size: int | None, after: Cursor | None = None
        ) -> Page[Repository | UnusableName]:
            return Page((UnusableName("team-a/X", "upper case"), UnusableName("team-b/X", "upper case")), None)

    with calling(A, "Catalog"):
        page = await authorized(Unusable([])).list_repositories(10)
    assert [name.text for name in page.items if isinstance(name, UnusableName)] == ["team-a/X"]


async def test_a_page_has_no_more_names_than_were_asked_for() -> None:
    with calling(A, "Catalog"):
        page = await authorized(FakeRegistry([f"team-a/{n}" for n in range(5)])).list_repositories(2)
    assert [str(name) for name in page.items] == ["team-a/0", "team-a/1"]


async def test_a_delete_looks_by_the_right_to_delete() -> None:
    only_delete = TEAM_A.replace('rpcs = ["read"]', 'rpcs = ["DeleteManifest"]')
    registry = FakeRegistry([])
    looking = authorized(registry, only_delete)
    with calling(A, "DeleteManifest"):
        with pytest.raises(NotFound):
            await looking.list_tags(Repository("team-a/app"), 10)
        with pytest.raises(NotFound):
            await looking.get_manifest(Repository("team-a/app"), ABSENT)
    assert registry.asked == ["list_tags team-a/app", "get_manifest team-a/app"]


async def test_tags_in_a_catalog_need_the_right_to_list_tags() -> None:
    names_only = TEAM_A.replace('rpcs = ["read"]', 'rpcs = ["Catalog", "StreamCatalog"]')
    registry = FakeRegistry(["team-a/app"])
    with calling(A, "Catalog"):
        page = await CatalogListing(authorized(registry, names_only), 4).page(10, None, include_tags=True, prefix="")
    (entry,) = page.items
    assert isinstance(entry.tags, PermissionDenied)
    assert str(entry.tags) == "token:a may not call ListTags on team-a/app"


async def test_a_batch_reads_what_may_be_read_one_by_one() -> None:
    registry = FakeRegistry([])
    rule = '["read"]'
    for rpcs, expected in (('["BatchGetManifests"]', PermissionDenied), ('["GetManifest"]', NotFound)):
        with calling(A, "BatchGetManifests"), pytest.raises(expected):
            await authorized(registry, TEAM_A.replace(rule, rpcs)).get_manifest(Repository("team-a/app"), Tag("v1"))
    assert registry.asked == ["get_manifest team-a/app"]


async def test_a_failure_in_a_catalog_is_passed_on_unchanged() -> None:
    with calling(A, "Catalog"):
        listing = CatalogListing(authorized(FakeRegistry(["team-a/app"])), 4)
        page = await listing.page(10, None, include_tags=True, prefix="")
    assert str(page.items[0].tags) == "list_tags: the registry answered 404 NAME_UNKNOWN"


async def test_a_changed_policy_applies_from_the_next_call_on() -> None:
    source = Fixed(parsed(TEAM_A))
    registry = AuthorizedRegistry(FakeRegistry(["team-a/x", "team-b/x"]), source)
    assert names_of(await pages_of(registry, 10)) == ["team-a/x"]
    source.policy = parsed(TEAM_A.replace("team-a/", "team-b/"))
    assert names_of(await pages_of(registry, 10)) == ["team-b/x"]


async def test_a_changed_policy_applies_to_a_repository_that_was_allowed() -> None:
    source = Fixed(parsed(TEAM_A))
    fake = FakeRegistry(["team-a/x"])
    registry = AuthorizedRegistry(fake, source)
    asked = []
    for policy in (TEAM_A, TEAM_A.replace("team-a/", "team-b/"), TEAM_A):
        source.policy = parsed(policy)
        with calling(A, "GetManifest"), pytest.raises(NotFound):
            await registry.get_manifest(Repository("team-a/x"), Tag("v1"))
        asked.append(len(fake.asked))
    # Allowed, hidden, and allowed again.
    assert asked == [1, 1, 2]


async def test_a_changed_policy_applies_to_errors_for_absent_content() -> None:
    source = Fixed(parsed(TEAM_A))
    registry = AuthorizedRegistry(FakeRegistry([]), source)
    for policy, reported in (
        (TEAM_A, "does not exist"),
        (TEAM_A.replace("team-a/**", "**"), "the registry answered 404"),
        (TEAM_A, "does not exist"),
    ):
        source.policy = parsed(policy)
        with calling(A, "GetManifest"), pytest.raises(NotFound, match=reported):
            await registry.get_manifest(Repository("team-a/x"), Tag("v1"))


# Over a real client and registry: what it says is where names could leak.


@pytest.fixture(params=["2.8", "3.1"])
async def registry(request: pytest.FixtureRequest) -> AsyncIterator[DevRegistry]:
    async with DevRegistry(flavour=request.param) as served:
        yield served


@pytest.fixture
async def client(registry: DevRegistry) -> AsyncIterator[DistributionClient]:
    configuration = Configuration(
        url=registry.url,
        credentials=Credentials(registry.username, StaticPassword(registry.password)),
        token_realm=registry.realm,
    )
    async with DistributionClient(configuration) as opened:
        yield opened


@pytest.fixture
def policy() -> Policy:
    return parsed(TEAM_A)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
async def test_page_tokens_name_nothing_that_is_hidden(
    registry: DevRegistry, client: DistributionClient, policy: Policy, size: int
) -> None:
    registry.maximum_page = 7
    registry.push_many(f"{team}/secret-{n}" for team in ("team", "team-a-evil", "team-b", "z") for n in range(9))
    visible = sorted(f"team-a/open-{n}" for n in range(5))
    registry.push_many(visible)
    pages = await pages_of(AuthorizedRegistry(client, Fixed(policy)), size)
    assert names_of(pages) == visible
    assert [len(page.items) for page in pages[:-1]] == [size] * (len(pages) - 1)
    # No name that is hidden, and no number that counts hidden names.
    for page in pages[:-1]:
        assert page.next == Cursor("after", str(page.items[-1].name))


async def test_a_registry_that_does_not_page_leaks_nothing_either(policy: Policy) -> None:
    class Sliced(FakeRegistry):
        """Its cursors are those of a registry that has no pages."""

        async def list_repositories(
            self, size: int | None, after: Cursor | None = None
        ) -> Page[Repository | UnusableName]:
            page = await super().list_repositories(size, after)
            return replace(page, place=Cursor("sliced", ""))

    everything = [f"hidden/{n}" for n in range(5)] + [f"team-a/{n}" for n in range(5)] + ["z/secret"]
    pages = await pages_of(AuthorizedRegistry(Sliced(everything), Fixed(policy)), 2)
    assert names_of(pages) == [f"team-a/{n}" for n in range(5)]
    assert [page.next for page in pages] == [Cursor("sliced", "team-a/1"), Cursor("sliced", "team-a/3"), None]


async def test_a_guarded_delete_of_what_is_hidden_is_one_of_what_is_absent(
    registry: DevRegistry, client: DistributionClient
) -> None:
    digest = Digest(registry.push("team-b/app", "1.0", "latest"))
    deletion = GuardedDeletion(AuthorizedRegistry(client, Fixed(parsed(SCRATCH))), enabled=True, concurrency=2)
    answers = set()
    for rpc in ("DeleteManifest", "DeleteBlob"):
        for name in ("team-b/app", "team-b/none", "team-a/none"):
            repository = Repository(name)
            with calling(A, rpc), pytest.raises(NotFound) as caught:
                if rpc == "DeleteManifest":
                    await deletion.delete(ManifestDeletion(repository=repository, digest=digest, force=True))
                else:
                    await deletion.delete(BlobDeletion(repository=repository, digest=digest))
            answers.add((rpc, caught.value.reason, str(caught.value).replace(name, "NAME")))
    assert len(answers) == 2, answers
    assert registry.holds("team-b/app", digest.text)
    assert not registry.requests.select(repository="team-b/app")


async def test_a_delete_that_is_allowed_is_done(registry: DevRegistry, client: DistributionClient) -> None:
    digest = Digest(registry.push("team-a/scratch/app", "1.0"))
    deletion = GuardedDeletion(AuthorizedRegistry(client, Fixed(parsed(TEAM_A))), enabled=True, concurrency=2)
    with calling(A, "DeleteManifest"):
        wanted = ManifestDeletion(
            repository=Repository("team-a/scratch/app"), digest=digest, expected_tags=frozenset({Tag("1.0")})
        )
        assert await deletion.delete(wanted) == Deleted(digest=digest, tags=(Tag("1.0"),))
    assert not registry.holds("team-a/scratch/app", digest.text)


BATCH_ONLY = """
[[allow]]
name = "batches, and reads"
principals = ["token:a"]
rpcs = ["read", "BatchDeleteManifests"]
repositories = ["team-a/**"]
"""


async def outcomes_of_batch(
    policy: Policy, client: DistributionClient, repository: str, digest: Digest
) -> list[Deleted | Exception]:
    deletion = GuardedDeletion(AuthorizedRegistry(client, Fixed(policy)), enabled=True, concurrency=2)
    part = ManifestDeletion(repository=Repository(repository), digest=digest, force=True)
    with calling(A, "BatchDeleteManifests"):
        return [outcome.result async for known in deletion.delete_batch(BatchDeletion((part,))) for outcome in known]


async def test_a_batch_deletes_only_where_a_single_delete_is_allowed(
    registry: DevRegistry, client: DistributionClient
) -> None:
    digest = Digest(registry.push("team-a/scratch/app", "1.0"))
    (refused,) = await outcomes_of_batch(parsed(BATCH_ONLY), client, "team-a/scratch/app", digest)
    assert isinstance(refused, PermissionDenied)
    assert registry.holds("team-a/scratch/app", digest.text)
    (deleted,) = await outcomes_of_batch(parsed(TEAM_A), client, "team-a/scratch/app", digest)
    assert deleted == Deleted(digest=digest, tags=(Tag("1.0"),))


async def test_a_batch_in_a_hidden_repository_is_one_in_an_absent_one(
    registry: DevRegistry, client: DistributionClient
) -> None:
    digest = Digest(registry.push("team-b/app", "1.0"))
    answers = []
    for name in ("team-b/app", "team-b/none", "team-a/none"):
        (refused,) = await outcomes_of_batch(parsed(SCRATCH), client, name, digest)
        assert isinstance(refused, NotFound)
        answers.append((refused.reason, str(refused).replace(name, "NAME")))
    assert len(set(answers)) == 1
    assert not registry.requests.select(repository="team-b/app")


@pytest.mark.parametrize("emulated", [False, True])
async def test_the_delete_of_a_tag_needs_its_own_right(client: DistributionClient, emulated: bool) -> None:
    guarded = GuardedDeletion(
        AuthorizedRegistry(client, Fixed(parsed(BATCH_ONLY))),
        enabled=True,
        concurrency=2,
        emulate_tag_deletion=emulated,
    )
    with calling(A, "DeleteTag"), pytest.raises(PermissionDenied):
        await guarded.delete(TagDeletion(repository=Repository("team-a/app"), tag=Tag("1.0")))


@dataclass(frozen=True)
class Pausing(BlobInMemory):
    asked: list[str] = field(default_factory=list)

    def pause(self) -> None:
        self.asked.append("pause")


class WithBlob(FakeRegistry):
    """Each repository has one blob, of two chunks."""

    @asynccontextmanager
    async def open_blob(self, repository: Repository, digest: Digest, part: Part) -> AsyncIterator[OpenBlob]:
        self.asked.append(f"open_blob {repository}")
        yield Pausing(b"ab", part, chunk=1, asked=self.asked)


async def test_content_needs_the_right_to_pull() -> None:
    registry = WithBlob([])
    for rpcs, expected in (('["read", "delete"]', PermissionDenied), ('["pull"]', None)):
        admitted = authorized(registry, TEAM_A.replace('["read"]', rpcs))
        with calling(A, "ReadBlob"), nullcontext() if expected is None else pytest.raises(expected):
            async with admitted.open_blob(Repository("team-a/app"), ABSENT, Part()) as blob:
                assert [chunk async for chunk in blob.chunks()] == [b"a", b"b"]
    assert registry.asked == ["open_blob team-a/app"]


async def test_a_right_that_is_taken_away_ends_the_read_of_a_blob() -> None:
    source = Fixed(parsed(TEAM_A.replace('["read"]', '["pull"]')))
    registry = AuthorizedRegistry(WithBlob([]), source)
    received = []
    with calling(A, "ReadBlob"):
        async with registry.open_blob(Repository("team-a/app"), ABSENT, Part()) as blob:
            with pytest.raises(PermissionDenied):
                async for chunk in blob.chunks():
                    received.append(chunk)
                    source.policy = parsed(TEAM_A)
    assert received == [b"a"]


async def test_a_blob_that_nobody_reads_gives_its_connection_back() -> None:
    registry = WithBlob([])
    admitted = authorized(registry, TEAM_A.replace('["read"]', '["pull"]'))
    with calling(A, "ReadBlob"):
        async with admitted.open_blob(Repository("team-a/app"), ABSENT, Part()) as blob:
            blob.pause()
    assert registry.asked == ["open_blob team-a/app", "pause"]


async def test_layers_of_referrers_need_the_right_to_read_manifests() -> None:
    registry = FakeRegistry([])
    for rpcs, expected in (('["ListReferrers"]', PermissionDenied), ('["ListReferrers", "GetManifest"]', NotFound)):
        admitted = authorized(registry, TEAM_A.replace('["read"]', rpcs))
        with calling(A, "ListReferrers"):
            with pytest.raises(expected):
                await admitted.get_manifest(Repository("team-a/app"), ABSENT)
            # What names the referrers needs the right for ListReferrers alone.
            for ask in (admitted.get_manifest, admitted.resolve_manifest):
                with pytest.raises(NotFound):
                    await ask(Repository("team-a/app"), Tag("sha256-x"))
            with pytest.raises(NotFound):
                await admitted.list_referrers(Repository("team-a/app"), ABSENT, "", "")
