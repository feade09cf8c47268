"""Spans in memory, for tests of what is recorded."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from portus_gateway.aio.spans import Kind, Span, Value


@dataclass(eq=False)
class RecordedSpan:
    """A span that keeps everything it is told (`aio.spans.Span`)."""

    name: str = "call"
    kind: Kind = "server"
    attributes: dict[str, Value] = field(default_factory=dict)
    children: "list[RecordedSpan]" = field(default_factory=list)
    links: list[Span] = field(default_factory=list)
    ended: bool = False
    error: str = ""
    trace_id: str = "5" * 32

    @property
    def headers(self) -> Mapping[str, str]:
        return {"traceparent": f"00-{self.trace_id}-{id(self) % 16**16:016x}-01"}

    def child(
        self, name: str, kind: Kind = "internal", attributes: Mapping[str, Value] | None = None
    ) -> "RecordedSpan":
        child = RecordedSpan(name, kind, dict(attributes or {}), trace_id=self.trace_id)
        self.children.append(child)
        return child

    def link(self, other: Span) -> None:
        self.links.append(other)

    def set(self, name: str, value: Value) -> None:
        self.attributes[name] = value

    def end(self, error: str = "") -> None:
        if not self.ended:
            self.ended, self.error = True, error

    @property
    def tree(self) -> list[object]:
        """The names of all spans below, each followed by the list of its own children, if it has any."""
        names: list[object] = []
        for child in self.children:
            assert child.ended, child.name
            names += [child.name, child.tree] if child.children else [child.name]
        return names
