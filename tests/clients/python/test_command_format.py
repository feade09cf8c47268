"""`--format`: a line of a template for each result."""

import grpc
import pytest

from portus.registry.v1.watch_pb2 import Event, WatchEventsResponse
from portus_client.cli.exact_json import Object, parse
from portus_client.cli.template import Template
from tests.clients.python.command_line import Terminal, run
from tests.clients.python.gateway import ARM64, CONFIG_DIGEST, IMAGE, IMAGE_DIGEST, INDEX, LAYER_DIGEST, Gateway, status


@pytest.mark.parametrize(
    ("arguments", "template", "expected"),
    [
        (["catalog", "--prefix", "team/"], "{name}: {tags}", "team/app: 1.0 latest multi"),
        (["resolve", "team/app"], "{digest} {size}", f"{IMAGE_DIGEST} {len(IMAGE.raw)}"),
        (["digest", "team/app"], "{digest:.19}", IMAGE_DIGEST[:19]),
        (["manifest", "team/app"], "{manifest.config.digest}", CONFIG_DIGEST),
        (["manifest", "team/app"], "{manifest.layers[0].digest}", LAYER_DIGEST),
        (["manifest", "team/app"], "{manifest[annotations][name]}", "app"),
        (["config", "team/app"], "{config.config.Labels[version]} {config.config.Env}", "1.0 PATH=/bin"),
        (["ping"], "{gateway_version} {reachable} {problem}", "1.2.3 true -"),
        (["delete", "team/app:multi", INDEX.descriptor.digest, "manifests", "--dry-run"], "{deleted_tags}", "multi"),
    ],
)
def test_each_command_takes_a_template(gateway: Gateway, arguments: list[str], template: str, expected: str) -> None:
    finished = run(gateway.address, *arguments, "--format", template)

    assert (finished.status, finished.output, finished.errors) == (0, f"{expected}\n", "")


def test_a_batch_has_a_line_for_each_result(gateway: Gateway) -> None:
    images = ["team/app:multi", "team/app:1.0", "team/app:gone"]
    finished = run(gateway.address, "batch", *images, "--format", r"{index:>3}\t{image:<16}{digest}{error.reason}")

    assert finished.status == 6
    assert sorted(finished.output.splitlines()) == [
        f"  0\tteam/app:multi  {INDEX.descriptor.digest}-",
        f"  1\tteam/app:1.0    {IMAGE_DIGEST}-",
        "  2\tteam/app:gone   -MANIFEST_UNKNOWN",
    ]


@pytest.mark.parametrize(
    ("arguments", "template", "expected"),
    [
        ([], "{repository}:{tag}", ["team/app:1.0", "team/app:latest", "team/app:multi"]),
        (
            ["--digests"],
            "{tag} {digest}",
            [f"1.0 {IMAGE_DIGEST}", f"latest {IMAGE_DIGEST}", f"multi {INDEX.descriptor.digest}"],
        ),
    ],
)
def test_tags_have_a_line_for_each_tag(
    gateway: Gateway, arguments: list[str], template: str, expected: list[str]
) -> None:
    finished = run(gateway.address, "tags", "team/app", *arguments, "--format", template)
    empty = run(gateway.address, "tags", "empty", *arguments, "--format", template)

    assert (finished.status, finished.output.splitlines(), finished.errors) == (0, expected, "")
    assert (empty.status, empty.output, empty.errors) == (0, "", "")


def test_a_watch_has_a_line_for_each_event(gateway: Gateway) -> None:
    update = WatchEventsResponse(cursor="1")
    for tag in ("1.0", "latest"):
        update.events.add(type=Event.TAG_MOVED, repository="team/app", tag=tag, digest="sha256:1")
    heartbeat = WatchEventsResponse(cursor="2")
    gateway.watches = [[update, heartbeat, status(grpc.StatusCode.FAILED_PRECONDITION, "no index", "INDEX_DISABLED")]]

    finished = run(gateway.address, "watch", "--format", "{type} {repository}:{tag} {cursor}")

    assert finished.output.splitlines() == ["TAG_MOVED team/app:1.0 1", "TAG_MOVED team/app:latest 1"]


def test_a_template_is_also_used_on_a_terminal(gateway: Gateway) -> None:
    terminal = Terminal(gateway.address, ["manifest", "team/app:multi", "--format", "{digest}"])

    assert terminal.end() == 0
    assert terminal.text == f"{INDEX.descriptor.digest}\n"


def test_a_field_that_no_result_has_is_reported(gateway: Gateway) -> None:
    finished = run(gateway.address, "resolve", "team/app", "--format", "{digets}")

    assert (finished.status, finished.output) == (0, "-\n")
    assert finished.errors == "portus-client: no result has a field digets; the fields are digest, media_type, size\n"


def test_control_characters_do_not_reach_the_terminal(gateway: Gateway) -> None:
    gateway.repositories = {"evil\x1b[2J": ()}

    assert run(gateway.address, "catalog", "--format", "{name}").output == "evil\\x1b[2J\n"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("json", "'json' has no field: write a name in braces, such as {digest}; for JSON, give --output json"),
        ("{}", "is not a field"),
        ("{0}", "is not a field"),
        ("{digest", "for braces that are no field"),
        ("digest}", "for braces that are no field"),
        ("{digest!r}", "an alignment, a width and a length only"),
        ("{digest:{size}}", "an alignment, a width and a length only"),
        ("{digest:>1000000000}", "an alignment, a width and a length only"),
        ("{digest:x}", "an alignment, a width and a length only"),
        ("{digest.__class__()}", "is not a field"),
    ],
)
def test_an_invalid_template_is_refused_before_any_call(gateway: Gateway, template: str, said: str) -> None:
    finished = run(gateway.address, "resolve", "team/app", "--format", template)

    assert finished.status == 2
    assert said in finished.errors
    assert len(finished.errors.splitlines()) == 1
    assert gateway.requests == []


def test_a_template_excludes_other_forms(gateway: Gateway) -> None:
    for arguments in (["resolve", "team/app", "--output", "json"], ["manifest", "team/app", "--raw"]):
        finished = run(gateway.address, *arguments, "--format", "{digest}")
        assert finished.status == 2
        assert "exclude each other" in finished.errors
    assert gateway.requests == []


def line(template: str, text: str) -> str:
    """The line for a JSON object."""
    result = parse(text)
    assert isinstance(result, Object)
    return Template.parse(template).line(result)


def test_a_template_only_looks_up_what_the_document_has() -> None:
    document = '{"a": {"b.c": 1}, "list": [1, "two", {"x": null}], "t": true, "n": null, "text": "x"}'

    assert line("{a[b.c]}", document) == "1"
    assert line("{a.b.c} {n} {list[7]} {list.1} {list[2].x}", document) == "- - - two -"
    assert line("{list}", document) == '[1, "two", {"x": null}]'
    assert line("{t} {a}", document) == 'true {"b.c": 1}'
    # Attributes of Python's objects are not fields.
    assert line("{text.__class__} {text.upper} {a.__dict__} {__class__}", document) == "- - - -"
    assert line(r"{{text}}\n{text:*^5}\t\\", document) == "{text}\n**x**\t\\"


def test_a_number_is_as_in_the_document() -> None:
    assert line("{n}", '{"n": 1e999}') == "1e999"


def test_multi_platform_images_show_their_platforms(gateway: Gateway) -> None:
    finished = run(gateway.address, "manifest", "team/app", "--platform", "linux/arm64", "--format", "{digest}")
    assert finished.output == f"{IMAGE_DIGEST}\n"
    child = run(gateway.address, "manifest", "team/app:multi", "--platform", "linux/arm64", "--format", "{digest}")
    assert child.output == f"{ARM64.descriptor.digest}\n"
