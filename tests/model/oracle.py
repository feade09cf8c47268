"""Decides whether the answers that callers got were true.

- An answer was true at some instant of its call; with `max_staleness`, or so long before it.
- 'Not there' was true at some instant too: no fault excuses it.
- A refusal had its reason at some instant. Any other error had its fault.
- A delete took what its caller had named, or what came between the look and the delete, and nothing else. A trial took
  nothing. Whatever went was deleted by somebody who had asked for it.
"""

from collections.abc import Iterable, Iterator, Sequence

import grpc

from tests.model.calls import CallRecord, Failure, Page, Tagged
from tests.model.content import CHILDREN, FOR_AMD64, SIGNATURE_TAG, WITH_BLOB
from tests.model.faults import FaultLog
from tests.model.history import NOTHING, Contents, Delete, History, State, Untag

Code = grpc.StatusCode
ABSENT = frozenset({"MANIFEST_UNKNOWN", "NAME_UNKNOWN", "BLOB_UNKNOWN"})
# A delete that was sent is carried through though its caller has gone, and may take as long as a fault holds it up.
CARRIED_THROUGH = 5.0


class Oracle:
    def __init__(self, history: History, faults: FaultLog) -> None:
        self._history = history
        self._faults = faults
        self._deletes: list[CallRecord] = []

    def violations(self, calls: Sequence[CallRecord]) -> list[str]:
        """Everything that was not as it must be."""
        self._deletes = [call for call in calls if _deleted(call)]
        found = [f"{call}: {problem}" for call in calls for problem in (*call.notes, *self._problems(call))]
        deletes = [call for call in calls if call.delete is not None]
        tag_deletes = [call for call in calls if call.tag_delete is not None]
        return [*found, *self._wrong_deletes(deletes), *self._wrong_untags(tag_deletes, deletes)]

    def _problems(self, call: CallRecord) -> Iterator[str]:
        if call.given_up or call.end == float("inf"):
            return
        if isinstance(call.answer, Failure):
            yield from self._failure(call, call.answer)
            return
        states = self._history.between(call.start, call.end)
        match call.rpc:
            case "ResolveManifest" | "BatchResolveManifests" | "GetManifest" | "BatchGetManifests" | "details":
                states = self._history.between(self._oldest(call), call.end)
                if not any(_target(state, call) == call.answer for state in states):
                    yield "was not there at any instant of the call"
            case "GetImageConfig":
                states = self._history.between(self._oldest(call), call.end)
                if not any(_image_for_amd64(state, call) == call.answer for state in states):
                    yield "names a manifest that the reference did not lead to at any instant of the call"
            case "ReadBlob":
                # Nothing verifies a part.
                if call.answer == "wrong" or (call.answer == "wrong part" and not self._excused(call)):
                    yield "the bytes are not those of the digest"
            case "ListReferrers":
                tagged = [_of(state, call).tags.get(SIGNATURE_TAG) for state in states]
                if not any(call.answer == frozenset(filter(None, [digest])) for digest in tagged):
                    yield "is not what the signature's tag pointed to at any instant of the call"
            case "ListTags":
                if not any(_is_page(sorted(_of(state, call).tags), call.answer) for state in states):
                    yield "is not what was tagged at any instant of the call"
            case "ListTags of a digest":
                yield from self._tags_on_digest(call, states)
            case "catalog page":
                if not any(_is_page(sorted(state), call.answer) for state in states):
                    yield "is not what the catalog held at any instant of the call"
            case "Catalog" | "StreamCatalog":
                yield from self._tags_of_all(call, states)
            case "DeleteManifest" | "BatchDeleteManifests":
                yield from self._success(call, states)
            case "DeleteTag":
                yield from self._tag_success(call, states)
            case "DeleteBlob":
                yield "a manifest was deleted as a blob"
            case "GetRegistryInfo":
                if call.answer != "reachable" and not self._excused(call):
                    yield "there was no fault"

    def _tags_on_digest(self, call: CallRecord, states: Sequence[State]) -> Iterator[str]:
        """Tags are asked one after the other, so each counts for itself."""
        assert isinstance(call.answer, frozenset)
        on_it = [_of(state, call).tags_on(call.reference) for state in states]
        if not call.answer <= frozenset[str]().union(*on_it):
            yield "names tags that were not on it at any instant of the call"
        if not frozenset.intersection(*on_it) <= call.answer and not self._excused(call):
            yield "leaves out a tag that was on it at every instant of the call"

    def _oldest(self, call: CallRecord) -> float:
        """How old an answer may be. What the gateway itself has deleted before the call is not remembered."""
        deletes = [
            delete.end
            for delete in self._deletes
            if (delete.repository, delete.reference) == (call.repository, call.answer) and delete.end <= call.start
        ]
        return max(call.start - call.max_staleness, *deletes) if deletes else call.start - call.max_staleness

    def _tags_of_all(self, call: CallRecord, states: Sequence[State]) -> Iterator[str]:
        entries = call.answer if isinstance(call.answer, tuple) else ()
        for entry in entries:
            assert isinstance(entry, Tagged)
            if isinstance(entry.tags, Failure):
                if not self._excused(call):
                    yield f"{entry}: there was no fault"
            elif not any(tuple(sorted(state.get(entry.repository, NOTHING).tags)) == entry.tags for state in states):
                yield f"{entry}: is not what was tagged at any instant of the call"

    def _failure(self, call: CallRecord, failure: Failure) -> Iterator[str]:
        if failure.reason is None:
            yield "a failure without a reason"
            return
        states = self._history.between(call.start - call.max_staleness, call.end)
        if failure.code is Code.NOT_FOUND:
            if failure.reason not in ABSENT:
                yield "an unknown reason for 'not there'"
            elif call.rpc == "ReadBlob":
                if any(_has_blob(state, call) for state in self._history.between(0, call.start)):
                    yield "was there before the call"
            elif call.rpc == "ListReferrers":
                if any(_of(state, call).manifests for state in self._history.between(0, call.start)):
                    yield "the repository was there before the call"
            elif not any(_target(state, call) is None for state in states) and not _lost_its_image(states, call):
                yield "was there at every instant of the call"
        elif failure.reason in ("TAGGED", "REFERENCED"):
            # An index that cannot be read refuses a delete as well.
            if not any(_needed(state, call) for state in states) and not self._excused(call):
                yield "nothing needed it at any instant of the call"
        elif failure.reason == "TAG_MOVED":
            assert call.tag_delete is not None
            if all(_target(state, call) in (None, call.tag_delete.expected) for state in states):
                yield "pointed to what was expected at every instant of the call"
        elif failure.reason == "MANIFEST_DELETED_TOO":
            # Somebody else deleted the manifest at the same moment.
            if not any(call.start <= delete.at <= call.end for delete in self._history.deletes):
                yield "no manifest was deleted"
        elif failure.reason == "IS_MANIFEST":
            if not any(_target(state, call) for state in states):
                yield "was no manifest at any instant of the call"
        elif not self._excused(call):
            yield "there was no fault"

    def _success(self, call: CallRecord, states: Sequence[State]) -> Iterator[str]:
        assert call.delete is not None
        assert isinstance(call.answer, frozenset)
        if not call.answer <= frozenset[str]().union(*(_of(state, call).tags_on(call.reference) for state in states)):
            yield "names tags that were not on it at any instant of the call"
        if call.delete.validate_only:
            if not any(_target(state, call) for state in states):
                yield "would delete what was not there at any instant of the call"
        elif not any(
            delete.repository == call.repository
            and delete.digest == call.reference
            and call.start <= delete.at <= call.end
            for delete in self._history.deletes
        ):
            yield "nothing was deleted"

    def _tag_success(self, call: CallRecord, states: Sequence[State]) -> Iterator[str]:
        assert call.tag_delete is not None
        if not any(_of(state, call).tags.get(call.reference) == call.answer for state in states):
            yield "did not point to this at any instant of the call"
        if call.tag_delete.expected not in ("", call.answer):
            yield "is not what the caller expected"
        gone = any(call.reference not in _of(state, call).tags for state in states)
        if not call.tag_delete.validate_only and not gone:
            yield "was there at every instant of the call"

    def _wrong_untags(self, calls: Sequence[CallRecord], deletes: Sequence[CallRecord]) -> Iterator[str]:
        for untag in self._history.untags:
            if untag.by_mutator:
                continue
            asked = [call for call in calls if _may_have_untagged(call, untag)]
            # After the delete of a manifest, tags that point to it again are deleted by their names.
            after = any(_may_have_caused(call, untag) for call in deletes)
            if not asked and not after:
                yield f"{untag}: nobody had asked for it"
            elif not after and not any(self._named(call, untag) for call in asked):
                yield f"{untag}: it did not point to what anybody had named: {'; '.join(map(str, asked))}"

    def _named(self, call: CallRecord, untag: Untag) -> bool:
        """Whether the tag pointed to what the caller expected, at some instant before it went."""
        assert call.tag_delete is not None
        states = self._history.between(call.start, untag.at)
        return not call.tag_delete.expected or any(
            _of(state, call).tags.get(untag.tag) == call.tag_delete.expected for state in states
        )

    def _wrong_deletes(self, calls: Sequence[CallRecord]) -> Iterator[str]:
        for delete in self._history.deletes:
            if delete.by_mutator:
                continue
            asked = [call for call in calls if _may_have_caused(call, delete)]
            if not asked:
                yield f"{delete}: nobody had asked for it"
            elif not any(self._allowed(call, delete) for call in asked):
                yield f"{delete}: it took more than anybody had named: {'; '.join(map(str, asked))}"

    def _allowed(self, call: CallRecord, delete: Delete) -> bool:
        assert call.delete is not None
        if call.delete.force:
            return True
        states = self._history.between(call.start, delete.at)[:-1] or self._history.between(call.start, delete.at)
        # What was there at every instant since the call came was there when the guard looked.
        always = frozenset.intersection(*(_of(state, call).tags_on(delete.digest) for state in states))
        referenced = all(_is_referenced(_of(state, call), delete.digest) for state in states)
        return delete.tags & always <= call.delete.expected_tags and not referenced

    def _excused(self, call: CallRecord) -> bool:
        return self._faults.any_between(call.start, call.end)


def _deleted(call: CallRecord) -> bool:
    return call.delete is not None and not call.delete.validate_only and isinstance(call.answer, frozenset)


def _may_have_untagged(call: CallRecord, untag: Untag) -> bool:
    assert call.tag_delete is not None
    unsettled = call.given_up or (isinstance(call.answer, Failure) and call.answer.reason in _UNSETTLED)
    end = call.end + CARRIED_THROUGH if unsettled else call.end
    return (
        not call.tag_delete.validate_only
        and (call.repository, call.reference) == (untag.repository, untag.tag)
        and call.start <= untag.at <= end
    )


def _may_have_caused(call: CallRecord, delete: Delete | Untag) -> bool:
    if call.delete is None or call.delete.validate_only:
        return False
    unsettled = call.given_up or (isinstance(call.answer, Failure) and call.answer.reason in _UNSETTLED)
    end = call.end + CARRIED_THROUGH if unsettled else call.end
    return (
        (call.repository, call.reference) == (delete.repository, delete.digest)
        and call.start <= delete.at <= end
        and (unsettled or not isinstance(call.answer, Failure))
    )


_UNSETTLED = frozenset({"DELETE_OUTCOME_UNKNOWN", "DEADLINE_EXCEEDED", None})


def _of(state: State, call: CallRecord) -> Contents:
    return state.get(call.repository, NOTHING)


def _target(state: State, call: CallRecord) -> str | None:
    contents = _of(state, call)
    digest = call.reference if ":" in call.reference else contents.tags.get(call.reference)
    return digest if digest in contents.manifests else None


def _has_blob(state: State, call: CallRecord) -> bool:
    """Whether the blob came into the repository with a manifest. Blobs stay when their manifests go."""
    return bool(WITH_BLOB[call.reference] & _of(state, call).manifests)


def _image_for_amd64(state: State, call: CallRecord) -> str | None:
    target = _target(state, call)
    return None if target is None else FOR_AMD64.get(target, target)


def _lost_its_image(states: Sequence[State], call: CallRecord) -> bool:
    """Whether a configuration was not there because an index outlived its image."""
    images = {_image_for_amd64(state, call) for state in states} if call.rpc == "GetImageConfig" else set()
    return any(image not in _of(state, call).manifests for state in states for image in images)


def _needed(state: State, call: CallRecord) -> bool:
    contents = _of(state, call)
    expected: Iterable[str] = call.delete.expected_tags if call.delete else ()
    return bool(contents.tags_on(call.reference) - frozenset(expected)) or _is_referenced(contents, call.reference)


def _is_referenced(contents: Contents, digest: str) -> bool:
    return any(digest in CHILDREN.get(target, ()) for target in contents.tags.values())


def _is_page(everything: list[str], page: object) -> bool:
    assert isinstance(page, Page)
    rest = [name for name in everything if not page.after or name > page.after]
    held = list(page.items)
    return held == rest if page.last else held == rest[: len(held)]
