"""Variables of the environment that look like options of the program and are none."""

import difflib
from collections.abc import Iterable, Iterator, Sequence

# A shorter name says too little of what is meant.
_SHORTEST = 3


def misspelt(variables: Iterable[str], known: Sequence[str], prefix: str) -> Iterator[tuple[str, str]]:
    """Each of `variables` that may stand for one of `known`, and that one. All names begin with `prefix`.

    Others are left alone: Kubernetes sets PORTUS_GATEWAY_PORT and more for a Service named `portus-gateway`.
    """
    names = [name.removeprefix(prefix) for name in known]
    for variable in sorted(variables):
        name = variable.removeprefix(prefix)
        if variable == name or name in names or len(name) < _SHORTEST:
            continue
        written_out = [other for other in names if other.startswith(name) or name.startswith(other)]
        nearest = written_out or difflib.get_close_matches(name, names, 1, cutoff=0.66)
        if nearest:
            yield variable, f"{prefix}{nearest[0]}"
