"""Patterns of principals, as in gRFC A43: exact, prefix, suffix, presence."""

from dataclasses import dataclass, field

from portus_gateway.access.caller import ANONYMOUS, LONGEST_PRINCIPAL, PRINCIPAL_KINDS

_STAR = "*"
# What ends the name of the authority behind a principal. A prefix pattern has to contain the whole name.
_WHOLE = {"spiffe://": "/", "jwt:": "#", "claim:": "#"}


@dataclass(frozen=True, slots=True)
class PrincipalPattern:
    """A pattern that names some principals.

    `*` matches every caller with a credential, `anonymous` matches callers without one. All other patterns begin with a
    kind of principal. The rest is exact (`token:ci`), a prefix (`spiffe://example.org/team-a/*`), a suffix
    (`dns:*.example.org`) or anything (`token:*`). The kind is never a wildcard, so that a token's subject cannot pass
    for a DNS name. Raises `ValueError` for anything else.
    """

    text: str
    _head: str = field(init=False, repr=False, compare=False)
    _tail: str | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        kind = next((kind for kind in PRINCIPAL_KINDS if self.text.startswith(kind)), "")
        named = self.text.removeprefix(kind)
        if len(self.text) > LONGEST_PRINCIPAL:
            raise ValueError(f"{self.text[:40]!r}… has more than {LONGEST_PRINCIPAL} characters")
        if not kind and self.text not in (_STAR, ANONYMOUS):
            raise ValueError(
                f"{self.text!r} is neither `*` nor `{ANONYMOUS}`, and begins with none of"
                f" {', '.join(f'`{known}`' for known in PRINCIPAL_KINDS)}"
            )
        if not named:
            raise ValueError(f"{self.text!r} has no name after the kind: `{self.text}*` matches every name")
        head, star, tail = named.partition(_STAR)
        if _STAR in tail or (head and tail):
            raise ValueError(f"{self.text!r}: one `*` may stand at the beginning or at the end of the name, no more")
        if kind == "dns:" and named != named.lower():
            raise ValueError(f"{self.text!r}: write DNS names in lower case")
        if star and head and _WHOLE.get(kind, "") not in head:
            raise ValueError(
                f"{self.text!r}: a prefix of `{kind}` must contain a `{_WHOLE[kind]}`, or else it also matches"
                f" other names that begin like it, such as `{kind}example.org.evil`"
            )
        object.__setattr__(self, "_head", kind + head)
        object.__setattr__(self, "_tail", tail if star else None)

    def matches(self, principal: str) -> bool:
        """Whether this principal matches."""
        if self.text == _STAR:
            return principal != ANONYMOUS
        if self._tail is None:
            return principal == self.text
        # A star matches at least one character, so that `token:*` needs a name.
        return (
            len(principal) > len(self._head) + len(self._tail)
            and principal.startswith(self._head)
            and principal.endswith(self._tail)
        )

    def __str__(self) -> str:
        return self.text
