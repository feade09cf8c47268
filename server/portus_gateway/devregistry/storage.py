"""What the registry stores, in memory: blobs, manifests, tags, and the order of the catalog."""

import zlib
from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from portus_gateway.devregistry.digests import digest_of
from portus_gateway.devregistry.flavours import Traits


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest's exact bytes and its media type."""

    content: bytes
    media_type: str


class Repository:
    """One repository. A delete leaves it in place, empty: it stays in the catalog."""

    __slots__ = ("_blobs", "_sorted_tags", "ever_tagged", "manifests", "tags")

    def __init__(self, manifests: Mapping[str, Manifest], tags: Mapping[str, str], blobs: Iterable[str]) -> None:
        self.manifests = dict(manifests)
        """By digest."""
        self.tags = dict(tags)
        """Tag to digest."""
        self.ever_tagged = bool(self.tags)
        # The digest by which the repository has a blob, to the digest under which the blob is stored.
        self._blobs = {digest: digest for digest in blobs}
        self._sorted_tags: list[str] | None = None

    def blob_target(self, digest: str) -> str | None:
        """The digest under which this blob is stored; None if the repository does not have it."""
        return self._blobs.get(digest)

    def has_blob(self, digest: str) -> bool:
        return digest in self._blobs

    def link_blob(self, digest: str, target: str) -> None:
        self._blobs[digest] = target

    def unlink_blob(self, digest: str) -> bool:
        """Returns whether there was one. Other repositories keep theirs."""
        return self._blobs.pop(digest, None) is not None

    def tag(self, tag: str, digest: str) -> None:
        self.tags[tag] = digest
        self.ever_tagged = True
        self._sorted_tags = None

    def untag(self, tag: str) -> bool:
        """Removes the tag and nothing else. Returns whether there was one."""
        self._sorted_tags = None
        return self.tags.pop(tag, None) is not None

    def delete_manifest(self, digest: str) -> bool:
        """Deletes the manifest with all of its tags. Returns whether there was one."""
        if self.manifests.pop(digest, None) is None:
            return False
        for tag in [tag for tag, target in self.tags.items() if target == digest]:
            del self.tags[tag]
        self._sorted_tags = None
        return True

    def tags_after(self, last: str, count: int | None) -> list[str]:
        """At most `count` tags, in order, from the first one that sorts after `last`."""
        if self._sorted_tags is None:
            self._sorted_tags = sorted(self.tags)
        start = bisect_right(self._sorted_tags, last) if last else 0
        return self._sorted_tags[start : None if count is None else start + count]

    def tags_unsorted(self) -> list[str]:
        """All tags, unsorted, in the same order each time."""
        return sorted(self.tags, key=lambda tag: zlib.crc32(tag.encode()))


class UnreadableBlob(Exception):
    """The repository has the blob by a digest whose target it does not have. Distribution answers UNKNOWN."""


class Storage:
    """All repositories. Content is stored once, by digest; a repository has links to it."""

    def __init__(self, traits: Traits) -> None:
        self._traits = traits
        self._repositories: dict[str, Repository] = {}
        self._blobs: dict[str, bytes] = {}
        self._catalog: list[str] = []

    def repository(self, name: str) -> Repository | None:
        return self._repositories.get(name)

    def blob(self, repository: str, digest: str) -> tuple[str, bytes] | None:
        """The digest under which the blob is stored, and its bytes; None if the repository does not have it.

        Raises `UnreadableBlob`.
        """
        found = self._repositories.get(repository)
        target = None if found is None else found.blob_target(digest)
        if found is None or target is None or not self.stores(target):
            return None
        if not found.has_blob(target):
            raise UnreadableBlob(target)
        return target, self._blobs[target]

    def put_blob(self, repository: str, digest: str, content: bytes) -> None:
        """Stores the blob under this digest, unchecked."""
        self._blobs[digest] = content
        self._link_blob(repository, digest, digest)

    def commit_blob(self, repository: str, digest: str, content: bytes) -> str:
        """Stores a blob that was pushed with this digest. Returns the digest under which it is stored."""
        stored = digest_of(content) if self._traits.digests_are_sha256 else digest
        self.put_blob(repository, stored, content)
        self._link_blob(repository, digest, stored)
        return stored

    def mount_blob(self, repository: str, digest: str, source: str) -> bool:
        """Links a blob of another repository. Returns whether the source has it."""
        if self.blob(source, digest) is None:
            return False
        # Distribution links to the digest that was asked for, even where the blob is stored under another one.
        self._link_blob(repository, digest, digest)
        return True

    def stores(self, digest: str | None) -> bool:
        """Whether a blob is stored under this digest, for whatever repository."""
        return digest in self._blobs

    def repositories_with_blob(self, digest: str) -> Iterator[str]:
        return (name for name, repository in self._repositories.items() if repository.has_blob(digest))

    def put_manifest(self, repository: str, digest: str, manifest: Manifest) -> None:
        self._repository(repository).manifests[digest] = manifest
        self._list(repository)

    def put_many(
        self,
        repositories: Iterable[str],
        manifests: Mapping[str, Manifest],
        tags: Mapping[str, str],
        blobs: Mapping[str, bytes],
    ) -> None:
        """Gives the same content to each of these repositories. Those that exist already are left as they are."""
        self._blobs.update(blobs)
        names = [name for name in dict.fromkeys(repositories) if name not in self._repositories]
        for name in names:
            self._repositories[name] = Repository(manifests, tags, blobs)
        self._catalog.extend(names)
        self._catalog.sort(key=_catalog_key)

    def catalog_after(self, last: str, count: int) -> list[str]:
        """At most `count` repositories, in the catalog's order, from the first one after `last`."""
        start = bisect_right(self._catalog, _catalog_key(last), key=_catalog_key) if last else 0
        return self._catalog[start : start + count]

    def catalog(self) -> list[str]:
        """The names of all repositories, in the catalog's order. Emptied ones are among them."""
        return list(self._catalog)

    def _link_blob(self, repository: str, digest: str, target: str) -> None:
        self._repository(repository).link_blob(digest, target)
        if self._traits.blob_makes_repository:
            self._list(repository)

    def _repository(self, name: str) -> Repository:
        found = self._repositories.get(name)
        if found is None:
            found = self._repositories[name] = Repository({}, {}, ())
        return found

    def _list(self, name: str) -> None:
        key = _catalog_key(name)
        position = bisect_right(self._catalog, key, key=_catalog_key)
        if position == 0 or self._catalog[position - 1] != name:
            insort(self._catalog, name, key=_catalog_key)


def _catalog_key(name: str) -> str:
    # Distribution compares names component by component: the slash sorts before every other character.
    return name.replace("/", "\0")
