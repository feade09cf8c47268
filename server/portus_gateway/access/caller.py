"""The caller of an RPC."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, Self

CallerKind = Literal["certificate", "jwt", "token", "anonymous"]

ANONYMOUS: Final = "anonymous"
# What a principal begins with. The rest is the credential's own name for its holder.
PRINCIPAL_KINDS: Final = ("spiffe://", "dns:", "cn:", "jwt:", "claim:", "token:")
LONGEST_PRINCIPAL: Final = 1024


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call, according to its credential.

    `principals` are all its names: `spiffe://example.org/ci`, `dns:ci.example.org`, `cn:ci`,
    `jwt:<issuer>#<subject>`, `claim:<issuer>#<claim>=<value>`, `token:<name>` or `anonymous`. `name` is the one
    that logs and limits use.
    """

    name: str
    principals: frozenset[str]
    kind: CallerKind

    def __post_init__(self) -> None:
        if self.name not in self.principals:
            raise ValueError("a caller's name has to be one of its principals")
        for principal in self.principals:
            if len(principal) > LONGEST_PRINCIPAL:
                raise ValueError(
                    f"a principal has {len(principal)} characters; at most {LONGEST_PRINCIPAL} are allowed"
                )
            if not principal.isprintable():
                raise ValueError(f"{principal!r} has characters that cannot be shown")
            if principal != ANONYMOUS and not is_principal(principal):
                raise ValueError(f"{principal!r} begins with none of {', '.join(PRINCIPAL_KINDS)}")

    @classmethod
    def known_as(cls, kind: CallerKind, principals: Iterable[str]) -> Self:
        """The caller with these principals, the first of which is its name. Raises `ValueError` for malformed ones."""
        names = tuple(principals)
        if not names:
            raise ValueError("a caller needs a principal")
        return cls(name=names[0], principals=frozenset(names), kind=kind)


def is_principal(text: str) -> bool:
    """Whether `text` is a kind of principal and a name."""
    return any(text.startswith(kind) and len(text) > len(kind) for kind in PRINCIPAL_KINDS)


NOBODY: Final = Caller.known_as("anonymous", [ANONYMOUS])
