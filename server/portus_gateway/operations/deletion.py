"""What a caller wants deleted, and what was deleted."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.names import Repository, Tag


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestDeletion:
    """The delete of a manifest, with `expected_tags`; with all its tags, and whatever needs it, if `force`."""

    repository: Repository
    digest: Digest
    expected_tags: frozenset[Tag] = frozenset()
    force: bool = False
    validate_only: bool = False
    """Whether to make all checks and delete nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobDeletion:
    """The delete of a blob."""

    repository: Repository
    digest: Digest
    validate_only: bool = False
    """Whether to make all checks and delete nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TagDeletion:
    """The delete of a tag alone. Its manifest stays."""

    repository: Repository
    tag: Tag
    expected_digest: Digest | None = None
    """What the tag has to point to. None: anything."""
    validate_only: bool = False
    """Whether to make all checks and delete nothing."""


AnyDeletion: TypeAlias = ManifestDeletion | BlobDeletion | TagDeletion


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """What was deleted, or would be. The tuples are in lexical order."""

    digest: Digest
    """The manifest or blob. For a tag, what it pointed to."""
    tags: tuple[Tag, ...] = ()
    """Tags that are gone, or would be."""
    emulated: bool = False
    """Whether a tag was deleted by the delete of a manifest that it was moved to."""
    remaining_tags: tuple[Tag, ...] = ()
    """Tags that still lead to a manifest."""


@dataclass(frozen=True, slots=True)
class BatchDeletion:
    """Deletes of manifests of one repository, at least one, and each manifest once. `validate_only` is for all."""

    parts: tuple[ManifestDeletion, ...]

    def __post_init__(self) -> None:
        if len({(part.repository, part.validate_only) for part in self.parts}) != 1:
            raise ValueError("a batch has one repository, and validate_only is the same for all of it")
        if len({part.digest for part in self.parts}) != len(self.parts):
            raise ValueError("a digest occurs twice")

    @property
    def repository(self) -> Repository:
        return self.parts[0].repository

    @property
    def validate_only(self) -> bool:
        return self.parts[0].validate_only


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a part of a batch."""

    part: int
    """Its position in the batch."""
    result: Deleted | Exception


class Approval(Protocol):
    """Is awaited when the checks of a delete have passed, before anything is changed. Its errors end the delete."""

    async def __call__(self, *, emulated: bool = False) -> None:
        """`emulated`: a tag will be moved to a manifest of its own, and that manifest deleted."""
        ...


async def no_approval(*, emulated: bool = False) -> None:
    """Approves every delete that passed its checks."""


async def no_approval_of_part(part: int) -> None:
    """Approves a part of a batch in the same way."""


class Deletion(Protocol):
    """Carries out deletes. `GuardedDeletion` does it, and the others are decorators of it."""

    async def delete(self, wanted: AnyDeletion, approved: Approval = no_approval) -> Deleted:
        """Deletes what is wanted. Raises `DeletionRefused`, `NotFound`, and what the registry raises."""
        ...

    def delete_batch(
        self, wanted: BatchDeletion, approved: Callable[[int], Awaitable[None]] = no_approval_of_part
    ) -> AsyncGenerator[Sequence[Outcome], None]:
        """The outcomes of a batch as they become known, each once. What a single delete would raise is an outcome.

        `approved` is awaited for each part as for a single delete. Raises `DeletionDisabled`, `DeadlineExceeded`. A
        delete that was sent has its outcome even if the caller is cancelled: that is raised after it.
        """
        ...
