"""What the registry holds, in memory: blobs, manifests, tags, and the catalog's order."""

import zlib
from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest's exact bytes and its media type."""

    content: bytes
    media_type: str


class Repository:
    """One repository. Deleting leaves it in place, empty: it stays in the catalog."""

    __slots__ = ("_sorted_tags", "blobs", "ever_tagged", "manifests", "tags")

    def __init__(self, manifests: Mapping[str, Manifest], tags: Mapping[str, str], blobs: Iterable[str]) -> None:
        self.manifests = dict(manifests)
        """By digest."""
        self.tags = dict(tags)
        """Tag to digest."""
        self.blobs = set(blobs)
        """The digests of the blobs that are linked here."""
        self.ever_tagged = bool(self.tags)
        """Without it the listing of tags answers that there is no such repository."""
        self._sorted_tags: list[str] | None = None

    def tag(self, tag: str, digest: str) -> None:
        self.tags[tag] = digest
        self.ever_tagged = True
        self._sorted_tags = None

    def untag(self, tag: str) -> bool:
        """Takes the tag away and nothing else; says whether there was one."""
        self._sorted_tags = None
        return self.tags.pop(tag, None) is not None

    def delete_manifest(self, digest: str) -> bool:
        """Deletes the manifest with every tag on it; says whether there was one."""
        if self.manifests.pop(digest, None) is None:
            return False
        for tag in [tag for tag, target in self.tags.items() if target == digest]:
            del self.tags[tag]
        self._sorted_tags = None
        return True

    def tags_after(self, last: str, count: int | None) -> list[str]:
        """The tags that sort after `last`, in order, at most `count` of them."""
        if self._sorted_tags is None:
            self._sorted_tags = sorted(self.tags)
        start = bisect_right(self._sorted_tags, last) if last else 0
        return self._sorted_tags[start : None if count is None else start + count]

    def tags_unsorted(self) -> list[str]:
        """All tags in an order that is no order, the same each time."""
        return sorted(self.tags, key=lambda tag: zlib.crc32(tag.encode()))


class Storage:
    """All repositories. Content is shared by digest: a repository only links to it.

    `blobs_suffice`: whether a blob alone brings a repository into the catalog, as in 2.8.
    """

    def __init__(self, *, blobs_suffice: bool) -> None:
        self._blobs_suffice = blobs_suffice
        self._repositories: dict[str, Repository] = {}
        self._blobs: dict[str, bytes] = {}
        self._catalog: list[str] = []

    def repository(self, name: str) -> Repository | None:
        return self._repositories.get(name)

    def blob(self, repository: str, digest: str) -> bytes | None:
        """The blob's bytes if the repository links to it."""
        found = self._repositories.get(repository)
        return self._blobs[digest] if found is not None and digest in found.blobs else None

    def put_blob(self, repository: str, digest: str, content: bytes) -> None:
        self._blobs[digest] = content
        self._link_blob(repository, digest)

    def mount_blob(self, repository: str, digest: str, source: str) -> bool:
        """Links a blob of another repository; says whether it is there."""
        if self.blob(source, digest) is None:
            return False
        self._link_blob(repository, digest)
        return True

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
        """Gives each of these repositories, new ones, the same content."""
        self._blobs.update(blobs)
        names = [name for name in dict.fromkeys(repositories) if name not in self._repositories]
        for name in names:
            self._repositories[name] = Repository(manifests, tags, blobs)
        self._catalog.extend(names)
        self._catalog.sort(key=_catalog_key)

    def catalog_after(self, last: str, count: int) -> list[str]:
        """The repositories that come after `last` in the catalog, at most `count` of them."""
        start = bisect_right(self._catalog, _catalog_key(last), key=_catalog_key) if last else 0
        return self._catalog[start : start + count]

    def catalog(self) -> list[str]:
        """The names of all repositories, in the catalog's order; emptied ones are among them."""
        return list(self._catalog)

    def _link_blob(self, repository: str, digest: str) -> None:
        self._repository(repository).blobs.add(digest)
        if self._blobs_suffice:
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
    # Distribution compares path by path component: the separator sorts before everything else.
    return name.replace("/", "\0")
