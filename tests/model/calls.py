"""What callers asked, and the answers that they got."""

from dataclasses import dataclass, field

import grpc


@dataclass(frozen=True, slots=True)
class Failure:
    """A status that is not OK. `reason` is that of its ErrorInfo; None where it has none."""

    code: grpc.StatusCode
    reason: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a listing: what it holds, behind which name it begins, and whether it says that there is no more."""

    items: tuple[str, ...]
    after: str
    last: bool


@dataclass(frozen=True, slots=True)
class Tagged:
    """A repository of the catalog: its tags, or why they are unknown."""

    repository: str
    tags: tuple[str, ...] | Failure


@dataclass(frozen=True, slots=True)
class DeleteRequest:
    digest: str
    expected_tags: frozenset[str]
    force: bool
    validate_only: bool


@dataclass(frozen=True, slots=True)
class TagDeleteRequest:
    """`expected` is a digest, empty for any."""

    expected: str
    validate_only: bool


Answer = str | Page | tuple[Tagged, ...] | frozenset[str] | Failure | None


@dataclass(slots=True)
class CallRecord:
    """One call: from `start` to `end`, by the event loop's clock. A call that was given up has no answer."""

    rpc: str
    start: float
    repository: str = ""
    reference: str = ""
    """A tag or a digest."""
    max_staleness: float = 0.0
    delete: DeleteRequest | None = None
    tag_delete: TagDeleteRequest | None = None
    end: float = float("inf")
    answer: Answer = None
    given_up: bool = False
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        what = self.delete or (f"{self.reference} {self.tag_delete}" if self.tag_delete else self.reference)
        return f"{self.rpc} {self.repository} {what} ({self.start:.4f} to {self.end:.4f}) -> {self.answer}"
