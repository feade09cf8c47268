"""A configuration on the terminal: its properties, one on each line."""

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from portus_client.cli import failures
from portus_client.cli.columns import Columns
from portus_client.cli.terminal import printable, size
from portus_client.image_config import ImageConfig

_NAME_WIDTH = len("Working dir")


def show(config: ImageConfig, console: Console) -> None:
    """Writes the digest of the configuration and what it says."""
    # Soft wrap: the terminal wraps what is too long, so that it is copied as one line.
    console.print(Text(printable(config.config.digest), style="bold"), soft_wrap=True)
    columns = Columns([("", _NAME_WIDTH)], "", console)
    for name, value in _properties(config):
        console.print(columns.row([Text(name, style="dim"), Text(printable(value))]), soft_wrap=True)


def _properties(config: ImageConfig) -> Iterator[tuple[str, str]]:
    yield "Manifest", config.manifest.digest
    yield "Size", size(len(config.raw))
    if config.content_error is not None:
        yield "Content", f"not shown: {failures.summary(config.content_error)}; --raw writes the bytes"
        return
    if config.created is not None:
        yield "Created", config.created.isoformat(timespec="seconds").replace("+00:00", "Z")
    if config.platform is not None:
        version = f" {config.platform.os_version}" if config.platform.os_version else ""
        yield "Platform", f"{config.platform}{version}"
    for name, text in (("Author", config.author), ("User", config.user), ("Working dir", config.working_dir)):
        if text:
            yield name, text
    for name, words in (("Entrypoint", config.entrypoint), ("Cmd", config.cmd)):
        if words:
            yield name, " ".join(words)
    if config.stop_signal:
        yield "Stop signal", config.stop_signal
    for name, items in (("Port", config.exposed_ports), ("Volume", config.volumes), ("Env", config.env)):
        for item in items:
            yield name, item
    for key, value in sorted(config.labels.items()):
        yield "Label", f"{key}={value}"
    yield "Layers", str(len(config.diff_ids))
