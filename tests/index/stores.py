"""Stores for the tests, and short ways to fill them."""

from collections.abc import Mapping, Sequence

from portus_gateway.distribution.digest import Digest
from portus_gateway.index.store import Applied, Change, Claim, Hint, IndexStore, Notice, Reading, StoreLimits

REGISTRY = "http://registry.example:5000"
# Without delays, so that a test need not wait for the next look; and small, so that there is more than one part.
LIMITS = StoreLimits(repositories=4, unknown_repositories=3, hints=2, delays=(0.0, 0.0), marked_at_once=2)


def digest(content: str) -> Digest:
    return Digest.of(content.encode())


def reading(tags: Mapping[str, str | None] = {}, *, names: Sequence[str] = (), unread: int = 0) -> Reading:
    """A reading of these tags, each with the content that it points to; `names` are listed only."""
    return Reading(
        names=frozenset([*tags, *names]),
        digests={tag: None if content is None else digest(content) for tag, content in tags.items()},
        unread=unread,
    )


GONE = Reading(frozenset(), {}, exists=False)


async def claimed(store: IndexStore, repository: str) -> Claim:
    """Claims one repository, which has to be due."""
    # A repository is not due at once after a notification.
    for _ in range(1000):
        for claim in await store.claim(100, 60):
            if claim.repository == repository:
                return claim
            await store.failed(claim, "", 0)
    raise AssertionError(f"{repository} is not due")


async def write(store: IndexStore, repository: str, found: Reading, *hints: Hint) -> Applied:
    """Has the repository notified, read, and written."""
    await store.notify([Notice(repository), *(Notice(repository, hint) for hint in hints)])
    applied = await store.apply(await claimed(store, repository), found)
    assert applied is not None
    return applied


async def all_changes(store: IndexStore, after: int = 0) -> list[Change]:
    return list((await store.changes(after)).changes)


def told(changes: Sequence[Change]) -> list[tuple[str, str, str]]:
    return [(change.type.name, change.repository, change.tag) for change in changes]
