"""Parses the bytes of an image's configuration, as `manifest_parsing` does those of a manifest.

The parsed content is what container runtimes read, or there is none: a known member twice, or in another case, is read
differently by different decoders. `rootfS` occurs in real images.
"""

from typing import Final

from portus_gateway.distribution.errors import ContentUnclear
from portus_gateway.distribution.image_config import HistoryEntry, ImageConfig, ImageConfigContent
from portus_gateway.distribution.json_reading import read_json_object
from portus_gateway.distribution.manifest import ContentProblem, Platform
from portus_gateway.distribution.manifest_fields import EntryCount, Fields, Names, platform_from

_DOCUMENT: Final = "the configuration"
_PLATFORM_NAMES: Final = ("os", "architecture", "variant", "os.version", "os.features")
_PLATFORM: Final = Names(*_PLATFORM_NAMES)
_CONFIGURATION: Final = Names(*_PLATFORM_NAMES, "created", "author", "config", "rootfs", "history")
_EXECUTION: Final = Names(
    "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal"
)
_ROOT_FILE_SYSTEM: Final = Names("type", "diff_ids")
_HISTORY: Final = Names("created", "created_by", "author", "comment", "empty_layer")


def parse_image_config(raw: bytes) -> ImageConfig:
    """Parses `raw`, whose digest the caller has verified.

    Does not fail: `ImageConfig.problem` says why there is no content.
    """
    count = EntryCount(_DOCUMENT)
    try:
        content = _content(Fields(read_json_object(raw, _DOCUMENT), _CONFIGURATION, count))
    except ContentUnclear as error:
        # An error object would keep the whole document in memory.
        return ImageConfig(raw, None, ContentProblem(error.reason, str(error)), count.entries)
    return ImageConfig(raw, content, None, count.entries)


def platform_of_configuration(raw: bytes) -> Platform:
    """The platform in a configuration, whatever else is in it. Raises `ContentUnclear`."""
    return platform_from(Fields(read_json_object(raw, _DOCUMENT), _PLATFORM, EntryCount(_DOCUMENT)))


def _content(fields: Fields) -> ImageConfigContent:
    execution = fields.object_or_empty("config", _EXECUTION)
    root = fields.object_or_empty("rootfs", _ROOT_FILE_SYSTEM)
    root.string("type")
    return ImageConfigContent(
        created=fields.instant("created"),
        author=fields.string("author"),
        platform=platform_from(fields),
        labels=execution.string_map("Labels"),
        env=execution.strings("Env"),
        entrypoint=execution.strings("Entrypoint"),
        cmd=execution.strings("Cmd"),
        user=execution.string("User"),
        working_dir=execution.string("WorkingDir"),
        exposed_ports=execution.string_set("ExposedPorts"),
        volumes=execution.string_set("Volumes"),
        stop_signal=execution.string("StopSignal"),
        diff_ids=root.digests("diff_ids"),
        history=tuple(_history_entry(entry) for entry in fields.objects("history", _HISTORY)),
    )


def _history_entry(fields: Fields) -> HistoryEntry:
    return HistoryEntry(
        created=fields.instant("created"),
        created_by=fields.string("created_by"),
        author=fields.string("author"),
        comment=fields.string("comment"),
        empty_layer=fields.boolean("empty_layer"),
    )
