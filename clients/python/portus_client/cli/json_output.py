"""The JSON that `--output json` writes."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import click

from portus_client.cli import exact_json
from portus_client.cli.age import timestamp
from portus_client.cli.exact_json import ExactJson, Number, Object
from portus_client.cli.template import Template
from portus_client.deletion import DeletedBlob, DeletedManifest, DeletionResult
from portus_client.descriptor import Descriptor, Platform
from portus_client.errors import RegistryError
from portus_client.image_config import ImageConfig
from portus_client.manifest import Manifest
from portus_client.referrer import Referrer
from portus_client.registry_info import RegistryInfo
from portus_client.repository import Repository
from portus_client.tag import TagDetails

Json: TypeAlias = "str | int | float | bool | Number | Object | Sequence[Json] | Mapping[str, Json] | None"


# The key of the template of --format among what click keeps for a run.
_TEMPLATE: Final = f"{__name__}.template"


def use_template(template: Template) -> None:
    """From now on, a line of this template is written for each result, instead of JSON."""
    click.get_current_context().meta[_TEMPLATE] = template


def write_document(value: Json, *, rows: str = "", row: str = "") -> None:
    """Writes one document with indentation.

    `rows`: the member with the results, if they are not the document itself. A template then writes a line for each of
    them, which also has the document's other members. `row`: the field of a result that is not an object.
    """
    document = _exact(value)
    template = _template()
    if template is None:
        click.echo(exact_json.pretty(document))
        return
    for result in _results(document, rows, row):
        click.echo(template.line(result))


def write_line(value: Json, *, rows: str = "") -> None:
    """Writes one document on one line. `rows` is as for `write_document`."""
    document = _exact(value)
    template = _template()
    if template is None:
        click.echo(exact_json.compact(document))
        return
    for result in _results(document, rows, ""):
        click.echo(template.line(result))


def _template() -> Template | None:
    template: Template | None = click.get_current_context().meta.get(_TEMPLATE)
    return template


def _results(document: ExactJson, rows: str, row: str) -> Iterator[Object]:
    members = _object(document, row).members
    for key, value in members:
        if key == rows and isinstance(value, list):
            common = tuple(member for member in members if member[0] != rows)
            yield from (Object((*common, *_object(result, row).members)) for result in value)
            return
    yield Object(members)


def _object(value: ExactJson, name: str) -> Object:
    return value if isinstance(value, Object) else Object(((name, value),))


def repository(value: Repository, *, include_tags: bool) -> Json:
    answer: dict[str, Json] = {"name": value.name}
    if include_tags:
        answer["tags"] = None if value.tags is None else list(value.tags)
    if value.tags_error is not None:
        answer["tags_error"] = failure(value.tags_error)
    if value.unusable_tags:
        answer["unusable_tags"] = list(value.unusable_tags)
    return answer


def descriptor(value: Descriptor) -> dict[str, Json]:
    answer: dict[str, Json] = {
        "digest": value.digest,
        "media_type": value.media_type,
        "size": value.size,
    }
    if value.platform is not None:
        answer["platform"] = _platform(value.platform)
    if value.artifact_type:
        answer["artifact_type"] = value.artifact_type
    if value.annotations:
        answer["annotations"] = dict(value.annotations)
    if value.urls:
        answer["urls"] = list(value.urls)
    if value.data:
        answer["data"] = base64.b64encode(value.data).decode()
    return answer


def manifest(value: Manifest) -> dict[str, Json]:
    """The descriptor's fields, and under `manifest` the document that the registry stores.

    `content_error` says why the gateway cannot tell what the document means.
    """
    answer: dict[str, Json] = {**descriptor(value.descriptor), "manifest": document(value.raw)}
    if value.content_error is not None:
        answer["content_error"] = failure(value.content_error)
    return answer


def outcome(value: Manifest | RegistryError) -> dict[str, Json]:
    """A manifest, or the error under `error`."""
    return {"error": failure(value)} if isinstance(value, RegistryError) else manifest(value)


def pointer(value: Manifest | RegistryError) -> dict[str, Json]:
    """Digest, media type and size of a manifest, or the error under `error`."""
    return {"error": failure(value)} if isinstance(value, RegistryError) else descriptor(value.descriptor)


def tag_details(value: TagDetails) -> dict[str, Json]:
    """All that is known of a tag. What is not known is null, and `error` says why if it could not be found out."""
    answer: dict[str, Json] = {"tag": value.tag, "digest": None, "media_type": None, "size": None}
    if value.descriptor is not None:
        answer |= descriptor(value.descriptor)
    answer["created"] = None if value.created is None else timestamp(value.created)
    answer["total_size"] = value.total_size
    answer["platforms"] = list(map(_platform, value.platforms))
    if value.error is not None:
        answer["error"] = failure(value.error)
    return answer


def referrer(value: Referrer) -> dict[str, Json]:
    """The fields of the manifest's descriptor, how it was found, and its layers; `layers` is null if not known."""
    answer: dict[str, Json] = {**descriptor(value.descriptor), "source": value.source, "tag": value.tag or None}
    answer["layers"] = None if value.error is not None else list(map(descriptor, value.layers))
    if value.error is not None:
        answer["error"] = failure(value.error)
    return answer


def image_config(value: ImageConfig) -> dict[str, Json]:
    """The fields of the configuration's descriptor, `manifest` with those of the manifest's, and the document."""
    return {
        **descriptor(value.config),
        "manifest": descriptor(value.manifest),
        "config": document(value.raw),
    }


def document(raw: bytes) -> ExactJson:
    """The document in `raw`. Bytes that are not JSON are returned as one string."""
    try:
        return exact_json.parse(raw.decode())
    except ValueError:
        return raw.decode(errors="replace")


def deletion_result(value: DeletionResult, *, dry_run: bool) -> Json:
    """One delete of several: what was deleted, or the error under `error`."""
    if isinstance(value.outcome, RegistryError):
        return {"digest": value.deletion.digest, "dry_run": dry_run, "error": failure(value.outcome)}
    return deleted(value.outcome, dry_run=dry_run)


def deleted(value: DeletedManifest | DeletedBlob, *, dry_run: bool) -> Json:
    answer: dict[str, Json] = {"digest": value.digest, "dry_run": dry_run}
    if isinstance(value, DeletedManifest):
        answer["deleted_tags"] = list(value.deleted_tags)
        answer["remaining_tags"] = list(value.remaining_tags)
    return answer


def registry_info(value: RegistryInfo) -> Json:
    return {
        "reachable": value.reachable,
        "api_version": value.api_version,
        "gateway_version": value.gateway_version,
        "deletion_enabled": value.deletion_enabled,
        "problem": None if value.problem is None else failure(value.problem),
        "index": None
        if value.index is None
        else {
            "state": value.index.state,
            "as_of": None if value.index.as_of is None else value.index.as_of.isoformat(),
        },
        "limits": {
            "default_page_size": value.limits.default_page_size,
            "max_page_size": value.limits.max_page_size,
            "max_manifest_bytes": value.limits.max_manifest_bytes,
            "max_concurrent_calls": value.limits.max_concurrent_calls,
            "max_call_duration_seconds": value.limits.max_call_duration.total_seconds(),
            "max_upstream_requests": value.limits.max_upstream_requests,
        },
    }


def failure(error: RegistryError) -> Json:
    return {"code": error.code.name, "reason": error.reason, "message": error.message}


def _platform(value: Platform) -> Json:
    answer: dict[str, Json] = {"os": value.os, "architecture": value.architecture}
    if value.variant:
        answer["variant"] = value.variant
    if value.os_version:
        answer["os_version"] = value.os_version
    if value.os_features:
        answer["os_features"] = list(value.os_features)
    return answer


def _exact(value: Json) -> ExactJson:
    match value:
        case Mapping():
            return Object(tuple((key, _exact(member)) for key, member in value.items()))
        case bool() | str() | Number() | Object() | None:
            return value
        case int() | float():
            return Number(repr(value))
        case _:
            return [_exact(item) for item in value]
