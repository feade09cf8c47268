"""`portus-gateway` without what it does for each call to hold when attacked. Never for anything but a measurement.

    python -m bench.unguarded_gateway serve

It shows what these measures cost: the limit of calls and its shares, the memory of unread answers, the time limit of
calls whose request or whose reader does not come, and the number of parts of a request. Authentication and policy stay.
"""

from portus_gateway.cli import main
from portus_gateway.rpc import method
from portus_gateway.rpc.call_limit import CallLimit
from portus_gateway.rpc.served_call import ServedCall
from portus_gateway.rpc.serving import Serving


def _nothing(*_: object, **__: object) -> None:
    pass


_REPLACEMENTS = (
    (CallLimit, "enter", _nothing),
    (CallLimit, "leave", _nothing),
    (Serving, "begin", _nothing),
    (method, "check_parts", _nothing),
    # Nothing is taken, so nothing is given back.
    (ServedCall, "hold", lambda *_: True),
)


def _remove_guards() -> None:
    for owner, name, replacement in _REPLACEMENTS:
        if not hasattr(owner, name):
            raise AttributeError(f"{owner} has no {name}: the gateway would be measured against itself")
        setattr(owner, name, replacement)


if __name__ == "__main__":
    _remove_guards()
    main()
