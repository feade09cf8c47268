"""Reads the members of a JSON object by name and type, and refuses names that decoders read differently."""

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, TypeGuard

from portus_gateway.distribution.digest import Digest
from portus_gateway.distribution.errors import ContentUnclear, InvalidName
from portus_gateway.distribution.instant import Instant
from portus_gateway.distribution.json_reading import Json, JsonObject
from portus_gateway.distribution.manifest import Platform

MOST_ENTRIES: Final = 10_000
"""Maximum number of descriptors, annotations, URLs, labels and the like in one document together."""

# Go's decoder takes these two letters for `s` and `k`.
_FOLDED: Final = str.maketrans({"\u017f": "s", "\u212a": "k"})
_LARGEST_SIZE: Final = 2**63 - 1


class Names:
    """The names of the known members of one kind of object."""

    def __init__(self, *names: str) -> None:
        self.exact = frozenset(names)
        self._by_folded_name = {_folded(name): name for name in names}

    def name_in_other_case(self, key: str) -> str | None:
        """The known name that Go's decoder takes `key` for although `key` is not equal to it; None if there is none."""
        name = self._by_folded_name.get(_folded(key))
        return None if name == key else name


class EntryCount:
    """Counts the entries of a document while it is read. Errors call it `document`: `the manifest`."""

    def __init__(self, document: str) -> None:
        self.document = document
        self.entries = 0

    def add(self, entries: int) -> None:
        """Raises `ContentUnclear` if there are too many now."""
        self.entries += entries
        if self.entries > MOST_ENTRIES:
            raise ContentUnclear(
                f"{self.document} has more than {MOST_ENTRIES} entries: the gateway does not read it",
                reason="CONTENT_TOO_LARGE",
            )


class Fields:
    """The known members (`names`) of one object. `null` counts as absent.

    The constructor raises `ContentUnclear` if a known name occurs twice or in another case: decoders would read
    different values. The methods raise it if a value has the wrong type. The error names the field with its path.
    """

    __slots__ = ("_count", "_path", "_values")

    def __init__(self, value: JsonObject, names: Names, count: EntryCount, path: str = "") -> None:
        self._path = path
        self._count = count
        self._values: dict[str, Json] = {}
        for key, member in value.members:
            if key in names.exact:
                if key in self._values:
                    raise self._ambiguous(f"{path}{key} is there more than once")
                self._values[key] = member
            else:
                name = names.name_in_other_case(key)
                if name is not None:
                    raise self._ambiguous(f"{path}{name} is written in another case")

    def __contains__(self, name: str) -> bool:
        """Whether the object has this member, even if it is `null`."""
        return name in self._values

    def __bool__(self) -> bool:
        """Whether the object has any known member."""
        return bool(self._values)

    def wrong(self, name: str, due: str) -> ContentUnclear:
        """The error for a field that is not `due`."""
        field = f"{self._path}{name}".encode("ascii", "backslashreplace").decode()
        return ContentUnclear(f"{self._count.document}'s field {field} is not {due}")

    def string(self, name: str) -> str:
        value = self._values.get(name)
        if value is None:
            return ""
        return self._text(name, value)

    def integer(self, name: str) -> int | None:
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.wrong(name, "an integer")
        return value

    def size(self, name: str) -> int | None:
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LARGEST_SIZE:
            raise self.wrong(name, "a size in bytes")
        return value

    def object(self, name: str, names: Names) -> "Fields | None":
        value = self._values.get(name)
        return None if value is None else self._object(name, value, names)

    def objects(self, name: str, names: Names) -> "Iterator[Fields]":
        for position, item in enumerate(self._list(name)):
            yield self._object(f"{name}[{position}]", item, names)

    def strings(self, name: str) -> tuple[str, ...]:
        return tuple(self._text(name, item) for item in self._list(name))

    def string_map(self, name: str) -> Mapping[str, str]:
        value = self._values.get(name)
        if value is None:
            return {}
        if not isinstance(value, JsonObject):
            raise self.wrong(name, "an object")
        self._count.add(len(value.members))
        texts: dict[str, str] = {}
        for key, item in value.members:
            if key in texts:
                raise self._ambiguous(f"{self._path}{name} has a key more than once")
            if not _is_text(key) or not (item is None or _is_text(item)):
                raise self.wrong(f"{name}.{key}", "a string in valid UTF-8")
            texts[key] = item or ""
        return MappingProxyType(texts)

    def digest(self, name: str) -> Digest:
        try:
            return Digest(self.string(name))
        except InvalidName as error:
            raise self.wrong(name, "a digest that the gateway can check") from error

    def bytes(self, name: str) -> bytes:
        text = self.string(name)
        if not text:
            return b""
        try:
            # Go's decoder ignores line breaks in base64.
            return base64.b64decode(text.translate({0x0A: None, 0x0D: None}), validate=True)
        except (binascii.Error, ValueError) as error:
            raise self.wrong(name, "base64") from error

    def boolean(self, name: str) -> bool:
        value = self._values.get(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value

    def instant(self, name: str) -> Instant | None:
        value = self._values.get(name)
        if value is None:
            return None
        try:
            return Instant.parse(self._text(name, value))
        except ValueError as error:
            raise self.wrong(name, "a time as in RFC 3339") from error

    def string_set(self, name: str) -> tuple[str, ...]:
        """The keys of an object whose values are empty objects, in lexical order: Go's `map[string]struct{}`."""
        value = self._values.get(name)
        if value is None:
            return ()
        if not isinstance(value, JsonObject):
            raise self.wrong(name, "an object")
        self._count.add(len(value.members))
        keys: set[str] = set()
        for key, item in value.members:
            if key in keys:
                raise self._ambiguous(f"{self._path}{name} has a key more than once")
            if not _is_text(key) or not (item is None or isinstance(item, JsonObject)):
                raise self.wrong(f"{name}.{key}", "an empty object with a key in valid UTF-8")
            keys.add(key)
        return tuple(sorted(keys))

    def digests(self, name: str) -> tuple[Digest, ...]:
        try:
            return tuple(Digest(text) for text in self.strings(name))
        except InvalidName as error:
            raise self.wrong(name, "a list of digests that the gateway can check") from error

    def object_or_empty(self, name: str, names: Names) -> "Fields":
        """The object of this name, or one without members if there is none."""
        return self.object(name, names) or Fields(JsonObject([]), names, self._count)

    def _ambiguous(self, problem: str) -> ContentUnclear:
        return ContentUnclear(
            f"{self._count.document} can be read in more than one way: {problem}", reason="CONTENT_AMBIGUOUS"
        )

    def _list(self, name: str) -> Iterable[Json]:
        value = self._values.get(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self.wrong(name, "a list")
        self._count.add(len(value))
        return value

    def _object(self, name: str, value: Json, names: Names) -> "Fields":
        if not isinstance(value, JsonObject):
            raise self.wrong(name, "an object")
        return Fields(value, names, self._count, f"{self._path}{name}.")

    def _text(self, name: str, value: Json) -> str:
        if not _is_text(value):
            raise self.wrong(name, "a string in valid UTF-8")
        return value


def platform_from(fields: Fields) -> Platform:
    """The platform that these members state, in a descriptor's `platform` or in a configuration."""
    return Platform(
        os=fields.string("os"),
        architecture=fields.string("architecture"),
        variant=fields.string("variant"),
        os_version=fields.string("os.version"),
        os_features=fields.strings("os.features"),
    )


def _is_text(value: Json) -> TypeGuard[str]:
    """Whether `value` is a string of valid Unicode. Go's decoder replaces other characters."""
    if not isinstance(value, str):
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _folded(name: str) -> str:
    return (name if name.isascii() else name.translate(_FOLDED)).lower()
