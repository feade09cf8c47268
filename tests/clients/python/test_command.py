"""The output of the command in a pipe."""

import hashlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest

from portus.registry.v1 import registry_service_pb2
from tests.clients.python import gateway as canned
from tests.clients.python.certificates import Authority
from tests.clients.python.command_line import COMMAND, PATIENCE, environment, run, run_in_shell
from tests.clients.python.gateway import IMAGE, IMAGE_DIGEST, INDEX, LAYER_DIGEST, MANY_TAGS, Gateway, status
from tests.programs import missing


def test_catalog_prints_each_repository_with_its_tags_on_one_line(gateway: Gateway) -> None:
    gateway.repositories["many"] = ("v1",)

    finished = run(gateway.address, "catalog")

    assert finished.status == 0
    assert [line.split() for line in finished.output.splitlines()] == [
        ["empty", "-"],
        ["many", "v1"],
        ["team/app", "1.0", "latest", "multi"],
    ]
    assert "\x1b" not in finished.output
    assert finished.errors == ""


def test_catalog_takes_a_prefix_and_can_leave_out_tags(gateway: Gateway) -> None:
    assert run(gateway.address, "catalog", "--prefix", "team/", "--no-tags").output == "team/app\n"


def test_unknown_tags_are_shown_as_unknown_and_the_status_is_6(gateway: Gateway) -> None:
    gateway.repositories = {"app": ("1.0",), "broken": canned.TAGS_UNKNOWN, "empty": ()}

    text = run(gateway.address, "catalog")
    documents = run(gateway.address, "catalog", "--output", "json")

    assert text.status == documents.status == 6
    assert text.output.splitlines()[1].split(maxsplit=2) == [
        "broken",
        "?",
        "the registry took too long (UPSTREAM_TIMEOUT)",
    ]
    assert text.errors == "portus-client: the tags of 1 of 3 repositories are not known\n"
    assert [json.loads(line) for line in documents.output.splitlines()] == [
        {"name": "app", "tags": ["1.0"]},
        {
            "name": "broken",
            "tags": None,
            "tags_error": {
                "code": "UNAVAILABLE",
                "reason": "UPSTREAM_TIMEOUT",
                "message": "the registry took too long",
            },
        },
        {"name": "empty", "tags": []},
    ]


def test_catalog_prints_repositories_before_an_error_and_fails(gateway: Gateway) -> None:
    gateway.failures["StreamCatalog"] = [
        status(grpc.StatusCode.INTERNAL, "the password is wrong", "UPSTREAM_CREDENTIALS_REJECTED")
    ]

    finished = run(gateway.address, "catalog")

    assert len(finished.output.splitlines()) == 3
    assert finished.status == 1
    assert (
        "the password is wrong (UPSTREAM_CREDENTIALS_REJECTED); the gateway's log has the request id" in finished.errors
    )


def test_control_characters_in_names_are_escaped(gateway: Gateway) -> None:
    gateway.repositories = {"evil\x1b[2J\n": ("a\x9bb",)}

    finished = run(gateway.address, "catalog")

    assert finished.output.split() == [r"evil\x1b[2J\n", r"a\x9bb"]


def test_tags_are_listed_over_all_pages(gateway: Gateway) -> None:
    assert run(gateway.address, "tags", "many").output.split() == list(MANY_TAGS)
    assert json.loads(run(gateway.address, "tags", "host:5000/empty", "--output", "json").output) == {
        "repository": "empty",
        "tags": [],
    }


def test_tags_with_invalid_names_are_left_out_and_reported(gateway: Gateway) -> None:
    gateway.unusable_tags = {"team/app": ("-bad", "sha256:1")}

    text = run(gateway.address, "tags", "team/app")
    document = run(gateway.address, "tags", "team/app", "--output", "json")
    catalog = run(gateway.address, "catalog", "--prefix", "team/", "--output", "json")

    assert (text.status, text.output.split()) == (0, ["1.0", "latest", "multi"])
    assert text.errors == "portus-client: 2 tags have invalid names and were left out: -bad, sha256:1\n"
    assert json.loads(document.output)["unusable_tags"] == ["-bad", "sha256:1"]
    assert json.loads(catalog.output)["unusable_tags"] == ["-bad", "sha256:1"]
    assert "2 tags have invalid names and were left out: team/app:-bad, team/app:sha256:1\n" in catalog.errors


@pytest.mark.parametrize("arguments", [["catalog"], ["tags", "team/app"], ["tags", "team/app", "--digests"]])
def test_every_listing_shows_invalid_tags_in_text_and_in_json(gateway: Gateway, arguments: list[str]) -> None:
    gateway.unusable_tags = {"team/app": tuple(f"-{number}" for number in range(12))}

    text = run(gateway.address, *arguments)
    lines = run(gateway.address, *arguments, "--output", "json").output

    assert "12 tags have invalid names and were left out: " in text.errors
    assert text.errors.count("-9") == 1
    assert "-10" not in text.errors
    assert "and 2 more; --output json shows all" in text.errors
    document = json.loads(lines.splitlines()[-1] if arguments == ["catalog"] else lines)
    assert document["unusable_tags"] == list(gateway.unusable_tags["team/app"])


def test_manifest_in_json_says_why_there_is_no_parsed_content(gateway: Gateway) -> None:
    ambiguous = canned.unknown_content(b'{"layers": [], "Layers": []}')
    ambiguous.content_status.CopyFrom(
        status(grpc.StatusCode.FAILED_PRECONDITION, "two fields differ only in case", "CONTENT_AMBIGUOUS")
    )
    gateway.manifests["sha256:u"] = ambiguous
    gateway.tags["odd"] = "sha256:u"

    document = json.loads(run(gateway.address, "manifest", "team/app:odd", "--output", "json").output)

    assert document["manifest"] == {"layers": [], "Layers": []}
    assert document["content_error"] == {
        "code": "FAILED_PRECONDITION",
        "reason": "CONTENT_AMBIGUOUS",
        "message": "two fields differ only in case",
    }


def test_manifest_is_json_on_standard_output_and_the_digest_on_standard_error(gateway: Gateway) -> None:
    finished = run(gateway.address, "manifest", "host:5000/team/app:1.0")

    assert finished.status == 0
    assert json.loads(finished.output) == json.loads(IMAGE.raw)
    assert finished.errors == f"{IMAGE_DIGEST}\n"


def test_config_is_json_on_standard_output_and_the_digest_on_standard_error(gateway: Gateway) -> None:
    finished = run(gateway.address, "config", "team/app:1.0")

    assert finished.status == 0
    assert json.loads(finished.output) == json.loads(canned.CONFIG_RAW)
    assert finished.errors == f"{canned.digest_of(canned.CONFIG_RAW)}\n"
    assert run(gateway.address, "config", "team/app:1.0", "--raw").output == canned.CONFIG_RAW.decode()


def test_digest_prints_the_digest_alone(gateway: Gateway) -> None:
    finished = run(gateway.address, "digest", "team/app:1.0")

    assert (finished.status, finished.output, finished.errors) == (0, f"{IMAGE_DIGEST}\n", "")
    assert json.loads(run(gateway.address, "digest", "team/app", "--output", "json").output) == {"digest": IMAGE_DIGEST}
    assert run(gateway.address, "digest", "team/app:gone").status == 3


def test_digest_of_a_platform(gateway: Gateway) -> None:
    finished = run(gateway.address, "digest", "team/app:multi", "--platform", "linux/arm64")

    assert (finished.status, finished.output) == (0, f"{canned.ARM64.descriptor.digest}\n")
    assert run(gateway.address, "digest", "team/app:multi", "--platform", "windows/amd64").status == 3
    assert run(gateway.address, "digest", "team/app:multi", "--platform", "linux").status == 2


def test_config_in_json_is_one_document(gateway: Gateway) -> None:
    document = json.loads(run(gateway.address, "config", "team/app:1.0", "--output", "json").output)

    assert document == {
        "digest": canned.digest_of(canned.CONFIG_RAW),
        "media_type": canned.CONFIG_TYPE,
        "size": len(canned.CONFIG_RAW),
        "manifest": {"digest": IMAGE_DIGEST, "media_type": canned.IMAGE_TYPE, "size": len(IMAGE.raw)},
        "config": json.loads(canned.CONFIG_RAW),
    }


def test_config_of_an_index_needs_a_platform(gateway: Gateway) -> None:
    refused = run(gateway.address, "config", "team/app:multi")

    assert refused.status != 0
    assert "PLATFORM_REQUIRED" in refused.errors
    assert refused.errors.endswith("; give --platform\n")
    assert run(gateway.address, "config", "team/app:multi", "--platform", "linux/arm64").status == 0


def test_manifest_goes_into_jq(gateway: Gateway) -> None:
    if shutil.which("jq") is None:
        missing("jq is not installed")

    finished = run_in_shell(f"{shlex.join(COMMAND)} manifest team/app:1.0 | jq -r .config.digest", gateway.address)

    assert (finished.status, finished.output) == (0, f"{canned.CONFIG_DIGEST}\n")


def test_manifest_takes_latest_by_default_and_accepts_a_digest(gateway: Gateway) -> None:
    assert IMAGE_DIGEST in run(gateway.address, "manifest", "team/app").errors
    reference = f"team/app@{INDEX.descriptor.digest}"
    assert INDEX.descriptor.digest in run(gateway.address, "manifest", reference).errors


def test_manifest_in_json_is_one_document(gateway: Gateway) -> None:
    document = json.loads(run(gateway.address, "--output", "json", "manifest", "team/app:1.0").output)

    assert document == {
        "digest": IMAGE_DIGEST,
        "media_type": canned.IMAGE_TYPE,
        "size": len(IMAGE.raw),
        "manifest": json.loads(IMAGE.raw),
    }


def strict(text: str) -> dict[str, object]:
    """Reads JSON as strictly as RFC 8259 says, with every number as it is written."""
    document: dict[str, object] = json.loads(text, parse_int=str, parse_float=str, parse_constant=pytest.fail)
    return document


@pytest.mark.parametrize(
    "member",
    [
        *("1e999", "-1e999", "1.10", "1E400", "1" * 5000, "0.1000000000000000055511151231257827"),
        *(r'"\ud800"', r'"\u0000"', '"\u2028"', "[]", "{}", "null", "true"),
    ],
)
def test_json_keeps_every_number_and_string_of_a_manifest(gateway: Gateway, member: str) -> None:
    gateway.manifests["sha256:u"] = canned.unknown_content(f'{{"odd": [{member}]}}'.encode())
    gateway.tags["odd"] = "sha256:u"
    expected = {"odd": [strict(member)]}

    document = run(gateway.address, "manifest", "team/app:odd", "--output", "json").output
    text = run(gateway.address, "manifest", "team/app:odd").output
    (line,) = run(gateway.address, "batch", "team/app:odd", "--output", "json").output.splitlines()

    assert strict(document)["manifest"] == expected
    assert strict(text) == expected
    assert strict(line)["manifest"] == expected


@pytest.mark.parametrize(
    "raw",
    [b"NaN", b'{"a": Infinity}', b"[" * 100_000, b"[" * 500 + b"]" * 500, '{"a": 1}'.encode("utf-16"), b"\xff", b""],
)
def test_a_manifest_that_is_not_json_is_one_string(gateway: Gateway, raw: bytes) -> None:
    gateway.manifests["sha256:u"] = canned.unknown_content(raw)
    gateway.tags["odd"] = "sha256:u"

    finished = run(gateway.address, "manifest", "team/app:odd", "--output", "json")

    assert (finished.status, finished.errors) == (0, "")
    assert json.loads(finished.output)["manifest"] == raw.decode(errors="replace")


def test_a_repeated_key_of_a_manifest_is_shown_twice(gateway: Gateway) -> None:
    gateway.manifests["sha256:u"] = canned.unknown_content(b'{"layers": [1], "layers": [2]}')
    gateway.tags["odd"] = "sha256:u"

    assert run(gateway.address, "manifest", "team/app:odd").output.count('"layers"') == 2


def test_raw_writes_the_exact_bytes(gateway: Gateway) -> None:
    raw = b'\x00\xff{"not": "text"}'
    gateway.manifests["sha256:u"] = canned.unknown_content(raw)
    gateway.tags["odd"] = "sha256:u"

    finished = subprocess.run(
        [*COMMAND, "--address", gateway.address, "manifest", "team/app:odd", "--raw"],
        env=environment(),
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    )

    assert hashlib.sha256(finished.stdout).digest() == hashlib.sha256(raw).digest()


def test_platform_selects_a_manifest_of_an_index(gateway: Gateway) -> None:
    picked = run(gateway.address, "manifest", "team/app:multi", "--platform", "linux/arm64")
    missing = run(gateway.address, "manifest", "team/app:multi", "--platform", "windows/amd64")

    assert picked.errors == f"{canned.ARM64.descriptor.digest}\n"
    assert missing.status == 3
    assert "PLATFORM_UNKNOWN" in missing.errors


def test_resolve_begins_with_the_digest(gateway: Gateway) -> None:
    finished = run(gateway.address, "resolve", "team/app:1.0")

    assert finished.output.split() == [IMAGE_DIGEST, canned.IMAGE_TYPE, str(len(IMAGE.raw))]
    assert json.loads(run(gateway.address, "resolve", "team/app:1.0", "--output", "json").output) == {
        "digest": IMAGE_DIGEST,
        "media_type": canned.IMAGE_TYPE,
        "size": len(IMAGE.raw),
    }


def test_ping_reports_the_state_in_one_line_and_in_its_status(gateway: Gateway) -> None:
    well = run(gateway.address, "ping")
    gateway.info = registry_service_pb2.GetRegistryInfoResponse(
        gateway_version="1.2.3",
        registry_status=status(grpc.StatusCode.UNAVAILABLE, "no route to host", "UPSTREAM_UNREACHABLE"),
    )
    unreachable = run(gateway.address, "ping")
    gateway.info.reachable = True
    gateway.info.registry_status.CopyFrom(
        status(grpc.StatusCode.INTERNAL, "the password is wrong", "UPSTREAM_CREDENTIALS_REJECTED")
    )
    rejected = run(gateway.address, "ping")

    assert (well.status, well.output) == (
        0,
        "registry reachable (registry/2.0); gateway 1.2.3; deletion enabled\n",
    )
    assert (unreachable.status, unreachable.output) == (
        5,
        "registry not reachable: no route to host (UPSTREAM_UNREACHABLE); gateway 1.2.3; deletion disabled\n",
    )
    assert rejected.status == 1
    assert "UPSTREAM_CREDENTIALS_REJECTED" in rejected.output


def test_ping_warns_of_hidden_private_repositories_and_succeeds(gateway: Gateway) -> None:
    gateway.info.registry_status.CopyFrom(
        status(grpc.StatusCode.FAILED_PRECONDITION, "no challenge came yet", "ACCOUNT_NOT_ASKED_FOR")
    )

    finished = run(gateway.address, "ping")

    assert finished.status == 0
    assert "registry reachable, but it may hide private repositories: no challenge came yet" in finished.output


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (grpc.StatusCode.NOT_FOUND, "MANIFEST_UNKNOWN", 3),
        (grpc.StatusCode.FAILED_PRECONDITION, "UNSUPPORTED", 4),
        (grpc.StatusCode.PERMISSION_DENIED, "DENIED", 4),
        (grpc.StatusCode.UNAUTHENTICATED, "", 4),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", 5),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS", 5),
        (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", 2),
        (grpc.StatusCode.DATA_LOSS, "DIGEST_MISMATCH", 1),
        (grpc.StatusCode.UNIMPLEMENTED, "", 1),
    ],
)
def test_each_kind_of_failure_has_its_exit_status_and_one_line(
    gateway: Gateway, code: grpc.StatusCode, reason: str, expected: int
) -> None:
    gateway.failures["ResolveManifest"] = [status(code, "what\nhappened", reason)]

    finished = run(gateway.address, "resolve", "team/app")

    assert finished.status == expected
    assert finished.output == ""
    assert finished.errors.startswith("portus-client: ")
    assert finished.errors.count("\n") == 1
    assert reason in finished.errors
    assert r"what\nhappened" in finished.errors


def test_a_busy_gateway_says_when_to_try_again(gateway: Gateway) -> None:
    gateway.failures["ResolveManifest"] = [
        status(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many calls", "TOO_MANY_CALLS", canned.retry_after(2))
    ]

    assert run(gateway.address, "resolve", "team/app").errors == (
        "portus-client: too many calls (TOO_MANY_CALLS); try again in 2 s\n"
    )


def test_not_found_mentions_an_ignored_host(gateway: Gateway) -> None:
    finished = run(gateway.address, "resolve", "my.team/app")

    assert finished.status == 3
    assert finished.errors == (
        "portus-client: there is no such repository (NAME_UNKNOWN);"
        " my.team was read as a registry host and ignored;"
        " for the repository of that name, write /my.team/app\n"
    )


def test_a_refused_credential_says_which_option_to_check(gateway: Gateway) -> None:
    for reason, said in (
        ("CREDENTIAL_MISSING", "give --token-file, or --certificate"),
        ("CREDENTIAL_INVALID", "check --token-file"),
    ):
        gateway.failures["Catalog"] = gateway.failures["StreamCatalog"] = [
            status(grpc.StatusCode.UNAUTHENTICATED, "no", reason)
        ]
        refused = run(gateway.address, "catalog")
        assert refused.status == 4
        assert f"no ({reason}); {said}" in refused.errors


def test_a_timeout_is_a_number_of_seconds(gateway: Gateway) -> None:
    assert run(gateway.address, "ping", "--timeout", "30s").status == 0
    for text in ("5m", "0", "86401", "nan", ""):
        refused = run(gateway.address, "ping", "--timeout", text)
        assert refused.status == 2
        assert f"'{text}' is not a number of seconds above 0 and at most 86400" in refused.errors


def test_a_variable_that_looks_like_an_option_is_not_ignored_in_silence(gateway: Gateway) -> None:
    names = ("ADRESS", "TOKEN", "KEY_FILE", "PORT", "SERVICE_HOST", "PORT_50051_TCP_ADDR", "PORT_50051_TCP_PORT", "X")
    finished = run(gateway.address, "ping", **{f"PORTUS_GATEWAY_{name}": "1" for name in names})
    assert finished.status == 0
    assert finished.errors.splitlines() == [
        "portus-client: PORTUS_GATEWAY_ADRESS is ignored: did you mean PORTUS_GATEWAY_ADDRESS?",
        "portus-client: PORTUS_GATEWAY_KEY_FILE is ignored: did you mean PORTUS_GATEWAY_KEY?",
        "portus-client: PORTUS_GATEWAY_TOKEN is ignored: did you mean PORTUS_GATEWAY_TOKEN_FILE?",
    ]


def test_a_group_without_a_command_says_so_in_one_line(gateway: Gateway) -> None:
    finished = run(gateway.address, "tag")
    assert (finished.status, finished.output) == (2, "")
    assert finished.errors == "portus-client: Missing command; see portus-client tag --help\n"


def test_an_incomplete_delete_says_what_is_missing(gateway: Gateway) -> None:
    for arguments, said in (
        (["team/app", IMAGE_DIGEST], f"'{IMAGE_DIGEST}' is not one of 'manifests', 'blobs'; see"),
        (["team/app"], "portus-client: Missing argument '{manifests|blobs}'. Choose from: manifests, blobs; see"),
        (["team/app", "manifests"], "no digest: give what to delete between the image's name and manifests; see"),
    ):
        refused = run(gateway.address, "delete", *arguments)
        assert refused.status == 2
        assert said in refused.errors


def test_a_misspelt_command_is_suggested(gateway: Gateway) -> None:
    assert run(gateway.address, "catlog").errors == (
        "portus-client: No such command 'catlog'. Did you mean 'catalog'? see portus-client --help\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["manifest", "Team/App"],
        ["manifest", "team/app@latest"],
        ["manifest", "team/app", "--platform", "arm64"],
        ["tags", "team/app:1.0"],
        ["delete", "team/app", "1.0", "manifests", "--yes"],
        ["delete", f"team/app@{IMAGE_DIGEST}", IMAGE_DIGEST, "manifests", "--yes"],
        ["delete", "team/app", LAYER_DIGEST, "blobs", "--force", "--yes"],
        ["delete", "team/app", LAYER_DIGEST, "layers", "--yes"],
        ["--timeout", "0", "ping"],
        ["--address", "http://localhost:50051", "ping"],
        ["--token-file", "/no/such/file", "ping"],
        ["--certificate", "/no/such/file", "ping"],
        ["push"],
        [],
    ],
)
def test_wrong_usage_has_status_2_and_calls_nothing(gateway: Gateway, arguments: list[str]) -> None:
    finished = run(gateway.address, *arguments)

    assert finished.status == 2
    assert finished.output == ""
    assert "Traceback" not in finished.errors
    if arguments:
        assert finished.errors.startswith("portus-client: ")
        assert finished.errors.count("\n") == 1
    assert gateway.requests == []


def test_options_are_allowed_before_and_after_the_command_and_override_the_environment(gateway: Gateway) -> None:
    behind = run("127.0.0.1:1", "ping", "--address", gateway.address, "--timeout", "7")
    assert behind.status == 0
    assert 0 < gateway.time_given < 10
    assert run("127.0.0.1:1", "--address", gateway.address, "ping").status == 0


def test_help_shows_examples_and_exit_statuses(gateway: Gateway) -> None:
    finished = run(gateway.address, "--help")

    assert finished.status == 0
    assert "Exit status:" in finished.output
    assert "PORTUS_GATEWAY_ADDRESS" in finished.output
    for command in ("catalog", "tags", "manifest", "config", "resolve", "digest", "delete", "ping"):
        assert "Examples:" in run(gateway.address, command, "--help").output
    assert run(gateway.address, "--version").output.startswith("portus-client, version ")


def test_a_refused_connection_is_reported_in_one_line() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        began = time.monotonic()
        finished = run(address, "ping")

    assert time.monotonic() - began < 15
    assert finished.status == 5
    assert finished.errors == (
        f"portus-client: nothing listens at {address}: is the gateway running, and is --address right?\n"
    )


def test_the_timeout_ends_a_call_to_a_gateway_that_never_responds(gateway: Gateway) -> None:
    gateway.silent.add("StreamCatalog")
    gateway.repositories = {}

    finished = run(gateway.address, "catalog", "--timeout", "0.5")

    assert finished.status == 5
    assert finished.errors == (
        f"portus-client: no answer from the gateway at {gateway.address} within 0.5 s:"
        " give a longer --timeout, or check --address\n"
    )


def test_the_timeout_ends_a_call_to_a_server_that_never_responds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        finished = run(f"127.0.0.1:{silent.getsockname()[1]}", "ping", "--timeout", "1")

    assert finished.status == 5
    assert finished.errors.count("\n") == 1


def test_mistakes_with_tls_are_explained(tmp_path: Path, gateway: Gateway) -> None:
    authority = Authority()
    pair = authority.issue("localhost")
    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority.pem)
    other = tmp_path / "other.pem"
    other.write_bytes(Authority().pem)

    with Gateway(grpc.ssl_server_credentials([(pair.key, pair.certificate)])) as secure:
        assert run(f"localhost:{secure.port}", "ping", "--ca-file", str(ca)).status == 0
        assert run(f"localhost:{secure.port}", "ping", PORTUS_GATEWAY_CA_FILE=str(ca)).status == 0
        plaintext = run(secure.address, "ping")
        untrusted = run(secure.address, "ping", "--ca-file", str(other))
        named = run(secure.address, "ping", "--ca-file", str(ca))
    tls = run(gateway.address, "ping", "--tls")

    assert {plaintext.status, untrusted.status, named.status, tls.status} == {5}
    assert "it requires TLS (--tls, --ca-file)" in plaintext.errors
    assert "is not signed by a trusted CA" in untrusted.errors
    assert "is for another name" in named.errors
    assert "does not use TLS: give --plaintext" in tls.errors
    assert {run.errors.count("\n") for run in (plaintext, untrusted, named, tls)} == {1}


def test_a_name_with_one_refusing_address_is_not_reported_as_down(gateway: Gateway) -> None:
    # `localhost` is also `::1`. Which address gRPC tries last depends on chance, so it is tried several times.
    for _ in range(4):
        finished = run(f"localhost:{gateway.port}", "ping", "--tls")
        assert finished.status == 5
        assert "nothing listens" not in finished.errors
        assert "TLS" in finished.errors


def test_the_token_is_read_from_its_file(gateway: Gateway, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret\n")

    assert run(gateway.address, "ping", "--token-file", str(file)).status == 0

    assert gateway.metadata["authorization"] == "Bearer s3cret"


def test_a_proxy_in_the_environment_is_not_used(gateway: Gateway) -> None:
    proxy = "http://127.0.0.1:1"
    assert run(gateway.address, "ping", http_proxy=proxy, https_proxy=proxy, grpc_proxy=proxy, no_proxy="").status == 0


def test_a_closed_pipe_ends_the_command_quietly(gateway: Gateway) -> None:
    gateway.repositories = {f"repository-{number:05}": ("1.0",) for number in range(20_000)}
    command = subprocess.Popen(
        [*COMMAND, "catalog"],
        env=environment(PORTUS_GATEWAY_ADDRESS=gateway.address),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert command.stdout is not None
    assert command.stderr is not None
    with command:
        assert command.stdout.readline().startswith(b"repository-00000")
        command.stdout.close()
        assert command.stderr.read() == b""
    assert command.returncode == 141


@pytest.mark.parametrize("arguments", [["tags", "many"], ["catalog", "--output", "json"], ["--help"]])
def test_output_that_cannot_be_written_is_an_error(gateway: Gateway, arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        finished = subprocess.run(
            [*COMMAND, *arguments],
            env=environment(PORTUS_GATEWAY_ADDRESS=gateway.address),
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
            check=False,
        )
    assert finished.returncode == 1
    assert finished.stderr == b"portus-client: cannot write the output: No space left on device\n"


@pytest.mark.parametrize("arguments", [["tags", "team/app"], ["catalog", "--output", "json"], ["--help"]])
def test_a_closed_standard_output_is_an_error_without_a_traceback(gateway: Gateway, arguments: list[str]) -> None:
    finished = run_in_shell(f"{shlex.join([*COMMAND, *arguments])} >&-", gateway.address)

    assert finished.status == 1
    assert finished.errors == "portus-client: cannot write the output: Bad file descriptor\n"


def test_a_closed_standard_error_changes_nothing_else(gateway: Gateway) -> None:
    fine = run_in_shell(f"{shlex.join(COMMAND)} resolve team/app 2>&-", gateway.address)
    missing_image = run_in_shell(f"{shlex.join(COMMAND)} resolve team/gone 2>&-", gateway.address)
    wrong_usage = run_in_shell(f"{shlex.join(COMMAND)} push 2>&-", gateway.address)

    assert (fine.status, fine.output.split()[0]) == (0, IMAGE_DIGEST)
    assert (missing_image.status, missing_image.output) == (3, "")
    assert (wrong_usage.status, wrong_usage.output) == (2, "")


def test_a_closed_standard_input_is_empty(gateway: Gateway) -> None:
    closed = run_in_shell(f"{shlex.join(COMMAND)} batch - <&-", gateway.address)
    all_closed = run_in_shell(f"{shlex.join(COMMAND)} tags team/app <&- >&- 2>&-", gateway.address)

    assert (closed.status, closed.output, closed.errors) == (0, "", "")
    assert all_closed.status == 1


def test_ctrl_c_ends_the_command_quietly(gateway: Gateway) -> None:
    gateway.silent.add("StreamCatalog")
    command = subprocess.Popen(
        [*COMMAND, "catalog", "--output", "json"],
        env=environment(PORTUS_GATEWAY_ADDRESS=gateway.address),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert command.stdout is not None
    assert command.stderr is not None
    with command:
        command.stdout.readline()
        os.kill(command.pid, signal.SIGINT)
        assert command.stderr.read() == b""
    assert command.returncode == 130


def test_the_client_does_not_import_the_server() -> None:
    program = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('aiohttp', 'portus_gateway', 'pydantic', 'yarl', 'structlog')))\n"
        "import portus_client\n"
        "from portus_client.cli.command import run\n"
        "for name in portus_client.__all__: getattr(portus_client, name)\n"
        "sys.exit(run(['--version']))\n"
    )
    subprocess.run([sys.executable, "-c", program], env=environment(), timeout=PATIENCE, check=True)
