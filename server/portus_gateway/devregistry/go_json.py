"""JSON as Go's `encoding/json` reads it.

Distribution and the runtimes are written in Go: they accept and refuse what that package does. It reads bytes that are
not UTF-8 as U+FFFD, matches the names of fields in any case, lets the last of several fields of one name count, and
refuses a byte order mark, UTF-16, NaN, fractions in place of integers, and nesting deeper than 10,000.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_MAXIMUM_DEPTH = 10_000
_BLANKS = re.compile(rb"[ \t\r\n]*")
_STRING = re.compile(rb'"((?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+)"')
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_LITERAL = re.compile(rb"true|false|null")
_LITERALS = {b"true": True, b"false": False, b"null": None}
_INTEGER = re.compile(r"-?[0-9]+")
_INTEGER_DIGITS = 19
_BYTE = re.compile(r"[0-9]{1,3}")
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


class NotReadable(ValueError):
    """The content is not JSON, or a field is of another type. The message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it was written."""

    text: str


@dataclass(frozen=True, slots=True)
class Object:
    """The fields as they were written: in their order, and repeated ones too."""

    members: tuple[tuple[str, "Value"], ...]


Value = None | bool | Number | str | list["Value"] | Object


class Record:
    """An object whose fields are read by their expected type, as into a Go struct.

    A missing field is the type's empty value, and so is `null`. Of a field that is there several times, every one has
    to be of the right type, and the last one counts; objects are merged. Raises `NotReadable`.
    """

    def __init__(self, objects: Iterable[Object]) -> None:
        self._fields: dict[str, list[Value]] = {}
        for each in objects:
            for name, value in each.members:
                self._fields.setdefault(_folded(name), []).append(value)

    @classmethod
    def of(cls, content: bytes) -> "Record":
        """The object that `content` is. `null` is an empty one."""
        return cls(_objects([read(content)], "the document"))

    def text(self, name: str) -> str:
        found = ""
        for value in self._given(name):
            if not isinstance(value, str):
                raise NotReadable(f"{name} is not a string")
            found = value
        return found

    def integer(self, name: str) -> int:
        """An integer of 64 bits."""
        found = 0
        for value in self._given(name):
            if not isinstance(value, Number) or not _INTEGER.fullmatch(value.text):
                raise NotReadable(f"{name} is not an integer")
            if len(value.text.lstrip("-")) > _INTEGER_DIGITS or not -(2**63) <= int(value.text) < 2**63:
                raise NotReadable(f"{name} is out of range")
            found = int(value.text)
        return found

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings."""
        found: tuple[str, ...] = ()
        for items in self._lists(name):
            if not all(item is None or isinstance(item, str) for item in items):
                raise NotReadable(f"{name} is not a list of strings")
            found = tuple(item if isinstance(item, str) else "" for item in items)
        return found

    def text_map(self, name: str) -> dict[str, str]:
        """An object whose values are strings, such as annotations."""
        found: dict[str, str] = {}
        for each in _objects(self._fields.get(_folded(name), ()), name):
            for key, value in each.members:
                if value is not None and not isinstance(value, str):
                    raise NotReadable(f"{name} is not an object of strings")
                found[key] = value or ""
        return found

    def record(self, name: str) -> "Record":
        return Record(_objects(self._fields.get(_folded(name), ()), name))

    def records(self, name: str) -> tuple["Record", ...]:
        """A list of objects."""
        found: tuple[Record, ...] = ()
        for items in self._lists(name):
            found = tuple(Record(_objects([item], name)) for item in items)
        return found

    def has(self, name: str) -> bool:
        """Whether the field is there, of whatever type, and its last value is not `null`."""
        values = self._fields.get(_folded(name))
        return bool(values) and values is not None and values[-1] is not None

    def check_bytes(self, name: str) -> None:
        """Requires bytes in base 64."""
        for value in self._given(name):
            encoded = isinstance(value, str) and _BASE64.fullmatch(re.sub(r"[\r\n]", "", value))
            listed = isinstance(value, list) and all(item is None or _is_byte(item) for item in value)
            if not encoded and not listed:
                raise NotReadable(f"{name} is not base 64")

    def _given(self, name: str) -> Iterator[Value]:
        return (value for value in self._fields.get(_folded(name), ()) if value is not None)

    def _lists(self, name: str) -> Iterator[list[Value]]:
        for value in self._fields.get(_folded(name), ()):
            if value is not None and not isinstance(value, list):
                raise NotReadable(f"{name} is not a list")
            yield value or []


def read(content: bytes) -> Value:
    """The value. Raises `NotReadable` for content that is not JSON."""
    reader = _Reader(content)
    # Not recursive: ten thousand levels are more than Python's stack takes.
    containers: list[_Container] = []
    while True:
        value, opened = reader.value()
        if opened is not None:
            if len(containers) == _MAXIMUM_DEPTH:
                raise NotReadable("exceeded max depth")
            containers.append(opened)
            if not opened.is_closed_at_once(reader):
                opened.begin_member(reader)
                continue
            value = containers.pop().value()
        while True:
            if not containers:
                reader.end()
                return value
            container = containers[-1]
            container.add(value)
            if container.goes_on(reader):
                container.begin_member(reader)
                break
            value = containers.pop().value()


class _Reader:
    """A position in the content."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._position = 0
        self._skip_blanks()

    def value(self) -> tuple[Value, "_Container | None"]:
        """A scalar, or the list or object that begins here."""
        if self.take(b"{"):
            return None, _Container(is_object=True)
        if self.take(b"["):
            return None, _Container(is_object=False)
        if self._content[self._position : self._position + 1] == b'"':
            return self.string(), None
        literal = self._match(_LITERAL)
        if literal is not None:
            return _LITERALS[literal[0]], None
        number = self._match(_NUMBER)
        if number is not None:
            return Number(number[0].decode()), None
        raise self.error()

    def string(self) -> str:
        found = self._match(_STRING)
        if found is None:
            raise self.error()
        text = found[1].decode("utf-8", "replace")
        if "\\" not in text:
            return text
        unescaped: str = json.loads(f'"{text}"')
        # Go reads half of a surrogate pair as U+FFFD.
        return unescaped.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def take(self, mark: bytes) -> bool:
        """Goes past the mark if it is here."""
        if not self._content.startswith(mark, self._position):
            return False
        self._position += len(mark)
        self._skip_blanks()
        return True

    def end(self) -> None:
        if self._position != len(self._content):
            raise self.error()

    def error(self) -> NotReadable:
        if self._position == len(self._content):
            return NotReadable("unexpected end of JSON input")
        return NotReadable(f"invalid JSON at byte {self._position}")

    def _match(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        found = pattern.match(self._content, self._position)
        if found is not None:
            self._position = found.end()
            self._skip_blanks()
        return found

    def _skip_blanks(self) -> None:
        found = _BLANKS.match(self._content, self._position)
        if found is not None:
            self._position = found.end()


class _Container:
    """A list or object that has begun and not ended."""

    def __init__(self, *, is_object: bool) -> None:
        self._is_object = is_object
        self._items: list[Value] = []
        self._names: list[str] = []

    def is_closed_at_once(self, reader: _Reader) -> bool:
        return reader.take(self._closing)

    def begin_member(self, reader: _Reader) -> None:
        if self._is_object:
            self._names.append(reader.string())
            if not reader.take(b":"):
                raise reader.error()

    def add(self, value: Value) -> None:
        self._items.append(value)

    def goes_on(self, reader: _Reader) -> bool:
        if reader.take(b","):
            return True
        if reader.take(self._closing):
            return False
        raise reader.error()

    def value(self) -> Value:
        return Object(tuple(zip(self._names, self._items, strict=True))) if self._is_object else self._items

    @property
    def _closing(self) -> bytes:
        return b"}" if self._is_object else b"]"


def _folded(name: str) -> str:
    # Unicode's simple case folding has two more letters that are equal to ASCII ones: the long s and the Kelvin sign.
    return name.lower().replace("\u017f", "s")


def _objects(values: Iterable[Value], name: str) -> Iterator[Object]:
    for value in values:
        if value is None:
            continue
        if not isinstance(value, Object):
            raise NotReadable(f"{name} is not an object")
        yield value


def _is_byte(value: Value) -> bool:
    return isinstance(value, Number) and _BYTE.fullmatch(value.text) is not None and int(value.text) < 256
