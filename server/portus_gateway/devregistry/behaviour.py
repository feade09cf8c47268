"""How one development registry behaves: its flavour, and its settings."""

from dataclasses import dataclass

from portus_gateway.devregistry.flavours import Traits


@dataclass(slots=True)
class Behaviour:
    """Read at every request: a change counts from the next one on."""

    traits: Traits
    deletion_enabled: bool
    default_page: int = 100
    maximum_page: int = 1000
