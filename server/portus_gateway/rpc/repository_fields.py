"""Repositories in a response: each as the bytes of its field.

A message object for each repository would take longer than everything else that an answer from the index needs.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final, TypeAlias
from weakref import WeakKeyDictionary

from portus_gateway.distribution.names import Repository
from portus_gateway.index.store import CatalogPage, IndexedRepository
from portus_gateway.operations.catalog_listing import CatalogEntry, TagNames
from portus_gateway.rpc import conversion
from portus_gateway.rpc.packing import MESSAGE_SIZE

Entries: TypeAlias = CatalogPage | Sequence[CatalogEntry | IndexedRepository]

# The key of a field is its number and, here always, the type of what has a length (protobuf.dev, "Encoding").
_FIRST_FIELD: Final = b"\x0a"
_SECOND_FIELD: Final = b"\x12"


# A page that is listed again is the same object, as long as the index remembers it.
_known_pages: Final[WeakKeyDictionary[CatalogPage, tuple[bytes, ...]]] = WeakKeyDictionary()


def repository_fields(entries: Entries) -> bytes:
    """The field `repositories` of a CatalogResponse or StreamCatalogResponse with these entries."""
    return b"".join(grouped_repository_fields(entries))


def grouped_repository_fields(entries: Entries) -> tuple[bytes, ...]:
    """The same in groups of `MESSAGE_SIZE` at most. A larger repository comes alone."""
    if not isinstance(entries, CatalogPage):
        return tuple(_grouped(entries))
    known = _known_pages.get(entries)
    if known is None:
        known = _known_pages[entries] = tuple(_grouped(entries.repositories))
    return known


def _grouped(entries: Iterable[CatalogEntry | IndexedRepository]) -> Iterator[bytes]:
    group: list[bytes] = []
    size = 0
    for entry in entries:
        field = _repository(entry)
        if group and size + len(field) > MESSAGE_SIZE:
            yield b"".join(group)
            group, size = [], 0
        group.append(field)
        size += len(field)
    if group:
        yield b"".join(group)


def _repository(entry: CatalogEntry | IndexedRepository) -> bytes:
    if isinstance(entry, IndexedRepository):
        return _plain(entry.name, entry.tags)
    if isinstance(entry.name, Repository) and isinstance(entry.tags, TagNames) and not entry.tags.unusable:
        return _plain(entry.name.name, entry.tags.valid)
    content = conversion.repository(entry).SerializeToString()
    return b"".join((_FIRST_FIELD, _length(len(content)), content))


def _plain(name: str, tags: tuple[str, ...]) -> bytes:
    return _small(name, tags) if len(tags) <= _SMALL else _of_names(name, tags)


def _of_names(name: str, tags: tuple[str, ...]) -> bytes:
    """The names are valid, and so have no other characters than those of ASCII."""
    content = b"".join((_FIRST_FIELD, _length(len(name)), name.encode(), *map(_tag, tags)))
    return b"".join((_FIRST_FIELD, _length(len(content)), content))


# The same catalog is often listed again. Large repositories are not kept, so that this takes 2 MiB at most.
_SMALL: Final = 16
_small = lru_cache(2048)(_of_names)


# The same tags are in many repositories.
@lru_cache(4096)
def _tag(name: str) -> bytes:
    return b"".join((_SECOND_FIELD, _length(len(name)), name.encode()))


def _length(value: int) -> bytes:
    return _SHORT_LENGTHS[value] if value < len(_SHORT_LENGTHS) else _varint(value)


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


_SHORT_LENGTHS: Final = tuple(map(_varint, range(512)))
