"""The call that is being served: nothing acts for nobody."""

import pytest

from portus_gateway.access.caller import NOBODY, Caller
from portus_gateway.access.current_call import Call, current_call, current_request_id, current_rpc
from portus_gateway.access.rpcs import RPCS
from tests.access.calls import calling
from tests.access.policies import A


def test_a_call_knows_its_caller_and_its_rpc() -> None:
    with calling(A, "ListTags"):
        assert current_rpc() == (A, RPCS["ListTags"])
        assert current_call.get().known_caller == A
        assert current_call.get().peer == "ipv4:127.0.0.1:1"
        assert current_request_id() == "the-id"


def test_outside_of_calls_there_is_no_caller_and_no_request_id() -> None:
    assert current_request_id() == ""
    with pytest.raises(LookupError):
        current_rpc()


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (Call(RPCS["ListTags"], "the-id"), "the caller of this call is not known"),
        (Call(None, "the-id", caller=A), "not one of the RegistryService"),
    ],
    ids=["no caller", "health or reflection"],
)
def test_a_call_whose_caller_or_rpc_is_not_known_is_no_base_for_a_decision(call: Call, problem: str) -> None:
    token = current_call.set(call)
    try:
        with pytest.raises(LookupError, match=problem):
            current_rpc()
    finally:
        current_call.reset(token)


@pytest.mark.parametrize(
    ("caller", "owner"),
    [(None, "ipv4:127.0.0.1:1"), (NOBODY, "ipv4:127.0.0.1:1"), (A, "token:a")],
    ids=["unknown", "anonymous", "known"],
)
def test_what_a_call_holds_counts_for_its_caller_or_for_its_connection(caller: Caller | None, owner: str) -> None:
    """All anonymous callers together would be one."""
    assert Call(RPCS["ListTags"], "the-id", caller=caller, peer="ipv4:127.0.0.1:1").owner == owner
