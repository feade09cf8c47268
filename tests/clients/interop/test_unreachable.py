"""No client hangs: if there is no working gateway, a clear error comes in time."""

import re
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.clients.interop.conftest import Gateways
from tests.clients.interop.impostors import closing, failing_relay, hanging_once, silent
from tests.clients.interop.programs import PROGRAMS, Outcome, Program
from tests.clients.interop.scenario_output import DEMO

# Enough for all retries of a read, also on a busy machine.
TIMEOUT = 8.0
# For tests in which no retry could help.
SHORT_TIMEOUT = 1.5
# To start a JVM on a busy machine, and to end.
SLACK = 12.0


def call(program: Program, address: str, *, timeout: float = TIMEOUT, **settings: str | Path) -> str:
    """Runs the program, which has to fail, and returns its error message."""
    outcome = program.run(address, "team/app", "latest", timeout=timeout, **settings)
    assert outcome.code == 1, outcome
    # The catalog may have begun.
    assert "manifest" not in outcome.output, outcome
    assert outcome.seconds < timeout + SLACK
    return said(outcome)


def said(outcome: Outcome) -> str:
    """The program's own message. gRPC may log before it."""
    assert "Traceback" not in outcome.error
    assert "Exception in thread" not in outcome.error
    assert "scenario: " in outcome.error, outcome
    return outcome.error.partition("scenario: ")[2]


def is_unavailable(program: Program, error: str) -> bool:
    """Whether the error says that there is no gateway. grpcurl has no status for it, and waits instead of retrying."""
    if program.language == "grpcurl":
        return "Failed to dial target host" in error or "Unavailable" in error or '"code": 14' in error
    return error.startswith("UNAVAILABLE: ")


def is_late(program: Program, error: str) -> bool:
    """Whether the error says that the deadline expired."""
    if program.language == "grpcurl":
        return "context deadline exceeded" in error or '"code": 4' in error
    return error.startswith("DEADLINE_EXCEEDED: ")


def test_no_server_at_the_address(program: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    error = call(program, address)
    assert is_unavailable(program, error), error
    # Not every version of grpcurl says why.
    assert program.language == "grpcurl" or re.search("refused", error, re.IGNORECASE), error


def test_an_http_server_at_the_address(program: Program, gateways: Gateways) -> None:
    """The registry's own port speaks HTTP/1.1."""
    error = call(program, gateways.registry)
    if program.language == "java":  # this is the status that grpc-java uses
        assert error.startswith("INTERNAL: http2 exception"), error
    else:
        assert is_unavailable(program, error), error


def test_a_server_that_never_responds(program: Program) -> None:
    with silent() as address:
        error = call(program, address, timeout=SHORT_TIMEOUT)
    assert is_late(program, error), error


def test_a_server_that_never_responds_to_tls(program: Program, gateways: Gateways) -> None:
    with silent() as address:
        error = call(program, address, timeout=SHORT_TIMEOUT, ca_file=gateways.ca_file)
    assert is_late(program, error), error


def test_a_server_that_closes_every_connection(program: Program) -> None:
    with closing() as address:
        error = call(program, address)
    assert is_unavailable(program, error), error


def test_plaintext_to_a_tls_port(program: Program, gateways: Gateways) -> None:
    error = call(program, gateways.tls)
    assert is_unavailable(program, error), error


def test_tls_to_a_plaintext_port(program: Program, gateways: Gateways) -> None:
    error = call(program, gateways.plaintext.replace("127.0.0.1", "localhost"), ca_file=gateways.ca_file)
    assert is_unavailable(program, error), error


def test_certificate_of_an_unknown_ca(program: Program, gateways: Gateways) -> None:
    error = call(program, gateways.tls, ca_file=gateways.other_ca_file)
    assert is_unavailable(program, error), error
    assert re.search("certificate", error, re.IGNORECASE) or program.language in ("python", "java"), error


def test_wrong_token(program: Program, gateways: Gateways) -> None:
    error = call(program, gateways.tls, ca_file=gateways.ca_file, token_file=gateways.wrong_token_file)
    assert "this gateway does not know the bearer token" in error
    assert "close-sesame" not in error


@pytest.mark.parametrize("cut", [True, False], ids=["is cut", "stands still"])
def test_connection_fails_during_a_response(program: Program, gateways: Gateways, cut: bool) -> None:
    # After the settings of HTTP/2, within the frames of the first response.
    with failing_relay(gateways.plaintext, after=250, cut=cut) as address:
        error = call(program, address, timeout=TIMEOUT if cut else SHORT_TIMEOUT)
    if cut:
        assert is_unavailable(program, error), error
    else:
        assert is_late(program, error), error


def test_keepalive_replaces_a_connection_that_hangs(gateways: Gateways) -> None:
    """Keepalive notices it after 25 s, and the read is tried again. grpcurl, which has no retries, is left out."""
    programs = [program for program in PROGRAMS if program.language != "grpcurl"]
    for program in programs:
        program.require()
    # The connection is up, and the response has not begun: after that, there is no retry.
    with ExitStack() as stack, ThreadPoolExecutor(len(programs)) as pool:
        relays = [stack.enter_context(hanging_once(gateways.plaintext, after=60)) for _ in programs]
        outcomes = list(
            pool.map(lambda program, relay: program.run(relay, "team/app", "latest", timeout=50), programs, relays)
        )
    for outcome in outcomes:
        assert (outcome.code, outcome.output) == (0, DEMO), outcome
        assert 15 < outcome.seconds < 45
