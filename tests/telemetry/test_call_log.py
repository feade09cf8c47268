"""The log of calls: what is in it, and that nobody can fill the disk with it."""

import grpc
from google.protobuf.message import Message
from structlog.testing import capture_logs

from portus.registry.v1.registry_service_pb2 import DeleteManifestRequest
from portus_gateway.access.rpcs import RPCS
from portus_gateway.rpc.observation import FinishedCall
from portus_gateway.telemetry.call_log import CallLog


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def call(
    rpc: str = "ListTags",
    code: grpc.StatusCode = grpc.StatusCode.UNAUTHENTICATED,
    reason: str = "CREDENTIAL_MISSING",
    *,
    peer: str = "ipv4:203.0.113.7:40000",
    caller: str = "",
    request: Message | None = None,
) -> FinishedCall:
    return FinishedCall(
        method=f"/portus.registry.v1.RegistryService/{rpc}",
        rpc=RPCS[rpc],
        code=code,
        reason=reason,
        seconds=0.001,
        request_id="the-id",
        peer=peer,
        caller=caller,
        request=request,
    )


def test_a_flood_of_failures_is_counted_and_logged_once_a_minute() -> None:
    clock = Clock()
    log = CallLog(clock=clock)
    with capture_logs() as logs:
        for number in range(5000):
            # The port is another one for each connection.
            log.call_finished(call(peer=f"ipv4:203.0.113.7:{number}"))
        assert len(logs) == 200
        clock.now += 61
        log.call_finished(call(code=grpc.StatusCode.OK, reason=""))
    reported = [entry for entry in logs if entry["event"] != "call"]
    assert [(entry["kind"], entry["count"]) for entry in reported] == [
        ("ipv4:203.0.113.7 UNAUTHENTICATED CREDENTIAL_MISSING", 4800)
    ]


def test_what_was_left_out_is_logged_at_the_end() -> None:
    log = CallLog(clock=Clock())
    with capture_logs() as logs:
        for _ in range(201):
            log.call_finished(call())
        log.close()
        log.close()
    assert [entry["count"] for entry in logs if entry["event"] != "call"] == [1]


def test_a_flood_from_one_address_hides_neither_another_nor_another_reason() -> None:
    log = CallLog(clock=Clock())
    with capture_logs() as logs:
        for _ in range(1000):
            log.call_finished(call())
        log.call_finished(call(peer="ipv4:203.0.113.8:1"))
        log.call_finished(call(code=grpc.StatusCode.UNAVAILABLE, reason="UPSTREAM_TIMEOUT"))
    assert [(entry["peer"], entry.get("reason")) for entry in logs[200:]] == [
        ("ipv4:203.0.113.8:1", "CREDENTIAL_MISSING"),
        ("ipv4:203.0.113.7:40000", "UPSTREAM_TIMEOUT"),
    ]
    assert logs[-1]["log_level"] == "warning"


def test_deletes_that_are_done_are_always_logged() -> None:
    log = CallLog(clock=Clock())
    with capture_logs() as logs:
        for _ in range(1000):
            log.call_finished(call("DeleteManifest", grpc.StatusCode.OK, ""))
    assert len(logs) == 1000


def test_a_line_names_the_caller_and_says_what_was_only_checked() -> None:
    log = CallLog(clock=Clock())
    with capture_logs() as logs:
        for trial in (True, False):
            request = DeleteManifestRequest(repository="team/app", validate_only=trial)
            log.call_finished(call("DeleteManifest", grpc.StatusCode.OK, "", caller="token:ci", request=request))
        log.call_finished(call())
    assert [(entry.get("caller"), entry.get("validate_only")) for entry in logs] == [
        ("token:ci", True),
        ("token:ci", None),
        (None, None),
    ]
