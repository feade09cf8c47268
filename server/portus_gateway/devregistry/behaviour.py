"""How this registry behaves: which version it follows, and what is switched on."""

from dataclasses import dataclass
from typing import Literal

Flavour = Literal["2.8", "3.1"]


@dataclass(slots=True)
class Behaviour:
    """Read at every request, so that a change counts at once."""

    flavour: Flavour
    deletion_enabled: bool
    default_page: int = 100
    maximum_page: int = 1000

    @property
    def json_type(self) -> str:
        """The Content-Type of the registry's own answers."""
        return "application/json; charset=utf-8" if self.flavour == "2.8" else "application/json"
