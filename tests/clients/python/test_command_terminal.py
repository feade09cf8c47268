"""The command on a terminal."""

from pathlib import Path

import grpc
import pytest

from tests.clients.python import gateway as canned
from tests.clients.python.command_line import Finished, Terminal, run
from tests.clients.python.gateway import IMAGE_DIGEST, INDEX, Gateway, status

COLOUR = "\x1b["
ERASE = "\x1b[2K"


def test_the_catalog_is_a_table_with_a_summary(gateway: Gateway) -> None:
    gateway.repositories = {"broken": canned.TAGS_UNKNOWN, "empty": (), "team/app": ("1.0", "latest")}
    terminal = Terminal(gateway.address, ["catalog"])

    assert terminal.end() == 6
    assert "Repository" in terminal.text
    assert "1.0, latest" in terminal.text
    assert "? the registry took too long (UPSTREAM_TIMEOUT)" in terminal.text
    assert "3 repositories, 2 tags" in terminal.text
    assert COLOUR in terminal.shown


def test_the_catalog_shows_a_count_while_it_waits(gateway: Gateway) -> None:
    gateway.silent.add("StreamCatalog")
    terminal = Terminal(gateway.address, ["catalog"])

    terminal.wait_for("3 repositories")
    terminal.interrupt()

    assert terminal.end() == 130
    assert "Traceback" not in terminal.text


def test_the_count_is_shown_while_the_output_goes_to_a_file(gateway: Gateway, tmp_path: Path) -> None:
    file = tmp_path / "catalog"
    gateway.silent.add("StreamCatalog")
    terminal = Terminal(gateway.address, ["catalog", "--no-tags"], output_file=file)

    terminal.wait_for("3 repositories")
    terminal.interrupt()

    assert terminal.end() == 130
    assert file.read_text() == "empty\nmany\nteam/app\n"


def test_rows_before_an_error_are_shown(gateway: Gateway) -> None:
    gateway.failures["StreamCatalog"] = [status(grpc.StatusCode.INTERNAL, "the registry failed", "UPSTREAM_ERROR")]
    terminal = Terminal(gateway.address, ["catalog", "--no-tags"])

    assert terminal.end() == 1
    assert "team/app" in terminal.text
    assert "the registry failed (UPSTREAM_ERROR)" in terminal.text


def test_an_image_is_shown_with_its_layers_and_sizes(gateway: Gateway) -> None:
    terminal = Terminal(gateway.address, ["manifest", "team/app:1.0"])

    assert terminal.end() == 0
    assert IMAGE_DIGEST in terminal.text
    assert "2.5 MB in 1 layer" in terminal.text
    assert canned.LAYER_TYPE in terminal.text


def test_an_index_is_shown_with_its_platforms(gateway: Gateway) -> None:
    terminal = Terminal(gateway.address, ["manifest", "team/app:multi"])

    assert terminal.end() == 0
    assert INDEX.descriptor.digest in terminal.text
    assert "linux/arm64" in terminal.text
    assert canned.ARM64.descriptor.digest in terminal.text


def test_an_index_is_shown_with_the_size_of_all_its_images(gateway: Gateway) -> None:
    # Both images have the same layer and configuration, which counts once.
    terminal = Terminal(gateway.address, ["manifest", "team/app:multi"])

    assert terminal.end() == 0
    assert "2.5 MB in 2 manifests" in terminal.text
    assert gateway.called("BatchGetManifests") == 1


def test_an_index_with_an_image_that_is_gone_is_shown_without_its_size(gateway: Gateway) -> None:
    del gateway.manifests[canned.ARM64.descriptor.digest]
    gone = Terminal(gateway.address, ["manifest", "team/app:multi"])
    assert gone.end() == 0
    gateway.failures["BatchGetManifests"] = [canned.TAGS_UNKNOWN] * 4
    failing = Terminal(gateway.address, ["manifest", "team/app:multi"])

    assert failing.end() == 0
    assert "unknown: there is no such manifest (MANIFEST_UNKNOWN)" in gone.text
    assert "2.5 MB  linux/amd64" in gone.text
    assert "unknown  linux/arm64" in gone.text
    assert "unknown: the registry took too long (UPSTREAM_TIMEOUT)" in failing.text
    assert "linux/amd64" in failing.text


def test_an_index_shows_windows_versions_attestations_and_artifact_types(gateway: Gateway) -> None:
    shown = canned.index({"windows/amd64": canned.AMD64, "unknown/unknown": canned.ARM64, "linux/amd64": canned.IMAGE})
    windows, attestation, artifact = shown.index.manifests
    windows.platform.os_version = "10.0.20348.2700"
    attestation.annotations["vnd.docker.reference.type"] = "attestation-manifest"
    attestation.annotations["vnd.docker.reference.digest"] = windows.digest
    artifact.artifact_type = "application/vnd.example.chart"
    gateway.manifests[INDEX.descriptor.digest] = shown
    index = Terminal(gateway.address, ["manifest", "team/app:multi"], variables={"COLUMNS": "160"})
    tags = Terminal(gateway.address, ["tags", "team/app", "--digests"], variables={"COLUMNS": "160"})

    assert (index.end(), tags.end()) == (0, 0)
    assert "windows/amd64 10.0.20348.2700" in index.text
    assert f"attestation of {windows.digest[:19]}...\n" in index.text
    assert "linux/amd64 application/vnd.example.chart" in index.text
    assert "windows/amd64 10.0.20348.2700, linux/amd64" in tags.text


def test_an_attestation_shows_what_it_states(gateway: Gateway) -> None:
    shown = canned.image("attestation")
    shown.image.layers[0].annotations["in-toto.io/predicate-type"] = "https://slsa.dev/provenance/v0.2"
    shown.image.artifact_type = "application/vnd.docker.attestation.manifest.v1+json"
    gateway.manifests[IMAGE_DIGEST] = shown
    terminal = Terminal(gateway.address, ["manifest", "team/app:1.0"])

    assert terminal.end() == 0
    assert "https://slsa.dev/provenance/v0.2" in terminal.text
    assert "application/vnd.docker.attestation.manifest.v1+json" in terminal.text


def test_json_on_a_terminal_is_json(gateway: Gateway) -> None:
    terminal = Terminal(gateway.address, ["resolve", "team/app", "--output", "json"])

    assert terminal.end() == 0
    assert terminal.text == run(gateway.address, "resolve", "team/app", "--output", "json").output


@pytest.mark.parametrize("options", [["--raw"], []])
def test_bytes_that_control_a_terminal_are_escaped(gateway: Gateway, options: list[str]) -> None:
    gateway.manifests["sha256:u"] = canned.unknown_content(b'{"a": "\x1b]0;title\x07",\r\n\t"b": "\xc2\x9b2J\xff"}')
    gateway.tags["odd"] = "sha256:u"
    terminal = Terminal(gateway.address, ["manifest", "team/app:odd", *options], variables={"NO_COLOR": "1"})

    assert terminal.end() == 0
    assert "\x1b]" not in terminal.shown
    assert "\x07" not in terminal.shown
    assert "\x9b" not in terminal.shown
    if options:
        assert r'{"a": "\x1b]0;title\x07",\r' in terminal.text


def test_text_that_is_no_json_is_escaped_in_a_pipe_too(gateway: Gateway) -> None:
    gateway.manifests["sha256:u"] = canned.unknown_content(b"one\x1b[2J\n\ttwo")
    gateway.tags["odd"] = "sha256:u"

    assert run(gateway.address, "manifest", "team/app:odd").output == "one\\x1b[2J\n\ttwo\n"


def test_no_color_is_honoured(gateway: Gateway) -> None:
    terminal = Terminal(gateway.address, ["catalog"], variables={"NO_COLOR": "1"})
    gateway.repositories["broken"] = canned.TAGS_UNKNOWN

    assert terminal.end() == 6
    assert "\x1b[31m" not in terminal.shown
    assert "team/app" in terminal.text


def test_each_repository_is_shown_as_soon_as_it_is_known(gateway: Gateway) -> None:
    gateway.silent.add("StreamCatalog")
    terminal = Terminal(gateway.address, ["catalog"])

    terminal.wait_for("1.0, latest, multi")
    terminal.wait_for("3 repositories")
    terminal.interrupt()

    assert terminal.end() == 130
    assert terminal.text.index("Repository") < terminal.text.index("empty") < terminal.text.index("team/app")


def test_rows_that_come_together_are_written_together(gateway: Gateway) -> None:
    # The progress line is drawn again for each write. Row by row, 100,000 rows would take a minute.
    gateway.repositories = {f"repository-{number:05}": ("1.0",) for number in range(20_000)}
    terminal = Terminal(gateway.address, ["catalog"])

    assert terminal.end() == 0
    assert terminal.text.count("repository-") == 20_000
    assert terminal.text.index("repository-00000") < terminal.text.index("repository-19999")
    assert "20,000 repositories, 20,000 tags" in terminal.text
    assert terminal.shown.count(ERASE) < 2_000


def test_a_name_longer_than_its_column_is_not_cut(gateway: Gateway) -> None:
    gateway.repositories = {"a" * 60: ("1.0",)}
    terminal = Terminal(gateway.address, ["catalog"], variables={"COLUMNS": "80"})

    assert terminal.end() == 0
    assert "a" * 60 + "\n" in terminal.text


def test_on_eighty_columns_a_digest_is_whole_and_nothing_is_cut(gateway: Gateway) -> None:
    image = Terminal(gateway.address, ["manifest", "team/app:1.0"], variables={"COLUMNS": "80"})
    index = Terminal(gateway.address, ["manifest", "team/app:multi"], variables={"COLUMNS": "80"})

    assert (image.end(), index.end()) == (0, 0)
    assert f"{IMAGE_DIGEST}\n" in image.text
    assert f"{canned.LAYER_TYPE}\n" in image.text
    assert f"{INDEX.descriptor.digest}\n" in index.text
    assert f"{canned.ARM64.descriptor.digest[:19]}...  " in index.text
    assert max(map(len, (image.text + index.text).splitlines())) <= 80


@pytest.mark.parametrize("options", [[], ["--details"], ["--digests"]])
def test_a_repository_without_tags_is_not_shown_as_nothing(gateway: Gateway, options: list[str]) -> None:
    gateway.repositories = {"empty": ()}
    terminal = Terminal(gateway.address, ["tags", "empty", *options])

    assert terminal.end() == 0
    assert terminal.text.endswith("no tags\n")
    assert run(gateway.address, "tags", "empty", *options) == Finished(0, "", "")


def test_on_a_narrow_terminal_no_rule_is_wider_than_it(gateway: Gateway) -> None:
    terminal = Terminal(gateway.address, ["tags", "team/app", "--digests"], variables={"COLUMNS": "60"})

    assert terminal.end() == 0
    assert {len(line) for line in terminal.text.splitlines() if "──" in line} == {60}


def test_an_ascii_terminal_gets_only_ascii(gateway: Gateway) -> None:
    gateway.repositories["broken"] = status(grpc.StatusCode.INTERNAL, "gr\u00f6\u00dfer", "UPSTREAM_ERROR")
    gateway.silent.add("StreamCatalog")
    terminal = Terminal(gateway.address, ["catalog"], variables={"PYTHONIOENCODING": "ascii"})

    terminal.wait_for("4 repositories")
    terminal.interrupt()

    assert terminal.end() == 130
    assert r"? gr\xf6\xdfer (UPSTREAM_ERROR)" in terminal.text
    assert terminal.shown.isascii()
    # Nor escapes of other characters.
    assert r"\u2" not in terminal.shown


def test_a_dumb_terminal_gets_only_lines(gateway: Gateway) -> None:
    terminal = Terminal(gateway.address, ["catalog"], variables={"TERM": "dumb"})
    gateway.repositories = {"team/app": ("1.0",)}

    assert terminal.end() == 0
    assert COLOUR not in terminal.shown
    assert "\r" not in terminal.shown.replace("\r\n", "\n")
    assert "team/app" in terminal.text
