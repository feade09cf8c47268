"""Writes a document of the registry, a manifest or a configuration, as its reader wants it."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import click
from rich.console import Console

from portus_client.cli import exact_json, json_output
from portus_client.cli.json_output import Json
from portus_client.cli.session import OutputFormat
from portus_client.cli.terminal import console, printable, printable_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document, and its forms."""

    raw: bytes
    """The exact bytes."""
    digest: str
    """The digest of the bytes."""
    json: Json
    """The object that `--output json` writes."""
    show: Callable[[Console], None]
    """Shows it on a terminal."""

    def write(self, output_format: OutputFormat, *, raw: bool) -> None:
        """Writes the document in this format, or only its bytes."""
        if raw and sys.stdout.isatty():
            # Whoever pushed the bytes could otherwise control the terminal.
            click.echo(printable_lines(self.raw.decode(errors="backslashreplace")), nl=False)
        elif raw:
            click.echo(self.raw, nl=False)
        elif output_format is OutputFormat.JSON:
            json_output.write_document(self.json)
        elif output_format is OutputFormat.TEXT:
            self._write_text()
        else:
            self.show(console())

    def _write_text(self) -> None:
        document = json_output.document(self.raw)
        click.echo(printable_lines(document) if isinstance(document, str) else exact_json.pretty(document))
        # Not on standard output: after the document, it would break programs that read JSON.
        click.echo(printable(self.digest), err=True)
