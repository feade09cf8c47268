"""`portus-client catalog`."""

from collections.abc import Iterable, Iterator

import click
from rich.text import Text

from portus_client.cli import completion, failures, json_output, unusable_tags
from portus_client.cli.columns import Columns
from portus_client.cli.exit_codes import ExitCode
from portus_client.cli.progress_line import counted
from portus_client.cli.rows import Rows
from portus_client.cli.session import OutputFormat, Session, with_session
from portus_client.cli.terminal import console, print_error, printable
from portus_client.repository import Repository

# Fixed, because lines are written before all names are known.
_NAME_WIDTH = 40
# No tag begins with one of these characters.
_NO_TAGS = "-"
_UNKNOWN_TAGS = "?"
_WHAT = "repositories"


def _checked_prefix(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not (value.isascii() and value.isprintable()):
        raise click.BadParameter(f"no repository name begins with {value!a}", context, parameter)
    return value


@click.command()
@click.option(
    "--prefix",
    default="",
    callback=_checked_prefix,
    shell_complete=completion.prefixes,
    help="List only names that begin with this: team/",
)
@click.option("--tags/--no-tags", default=True, help="Whether to list the tags too.  [default: tags]")
@with_session
def catalog(session: Session, prefix: str, tags: bool) -> ExitCode:
    """List all repositories with their tags.

    In a pipe, each line has the name and then the tags: `-` if there are none, `?` and the reason if they are not
    known. Each line is written as soon as it is known. With --output json, there is one JSON object per line. The exit
    status is 6 if the tags of some repository are not known.

    \b
    Examples:
      portus-client catalog
      portus-client catalog --prefix team/ --no-tags
      portus-client catalog --output json | jq -r '.name + ":" + .tags[]?'
    """
    tally = _Tally()
    with session.connect() as client:
        listing = tally.counting(client.catalog(include_tags=tags, prefix=prefix))
        match session.output_format:
            case OutputFormat.JSON:
                for repository in counted(listing, _WHAT):
                    json_output.write_line(json_output.repository(repository, include_tags=tags))
            case OutputFormat.TEXT:
                for repository in counted(listing, _WHAT):
                    click.echo(_line(repository))
            case OutputFormat.TERMINAL:
                _show(listing, tally, include_tags=tags)
    if tally.unusable:
        print_error(unusable_tags.line(tally.unusable_names, tally.unusable))
    if tally.unknown:
        print_error(f"the tags of {tally.unknown} of {tally.repositories} repositories are not known")
        return ExitCode.PARTIAL
    return ExitCode.OK


class _Tally:
    """Counts repositories and tags."""

    def __init__(self) -> None:
        self.repositories = 0
        self.tags = 0
        self.unknown = 0
        self.unusable = 0
        self.unusable_names: list[str] = []
        """The first ones, each after its repository."""

    def counting(self, listing: Iterable[Repository]) -> Iterator[Repository]:
        for repository in listing:
            self.repositories += 1
            self.tags += len(repository.tags or ())
            self.unknown += repository.tags_error is not None
            self.unusable += len(repository.unusable_tags)
            room = unusable_tags.SHOWN - len(self.unusable_names)
            self.unusable_names += [f"{repository.name}:{tag}" for tag in repository.unusable_tags[:room]]
            yield repository


def _line(repository: Repository) -> str:
    name = printable(repository.name)
    tags = _tags(repository)
    return f"{name:<{_NAME_WIDTH}}  {tags}" if tags else name


def _tags(repository: Repository, separator: str = " ") -> str:
    if repository.tags_error is not None:
        return f"{_UNKNOWN_TAGS} {printable(failures.summary(repository.tags_error))}"
    if repository.tags is None:
        return ""
    return printable(separator.join(repository.tags)) or _NO_TAGS


def _show(listing: Iterable[Repository], tally: _Tally, *, include_tags: bool) -> None:
    terminal = console()
    name_column = ("Repository", min(_NAME_WIDTH, terminal.width // 2))
    columns = Columns([name_column], "Tags", terminal) if include_tags else Columns([], "Repository", terminal)
    with Rows(terminal, columns, _WHAT) as rows:
        for repository in listing:
            cells = [Text(printable(repository.name), style="bold")]
            if include_tags:
                style = "red" if repository.tags_error else "" if repository.tags else "dim"
                cells.append(Text(_tags(repository, ", "), style=style))
            rows.add(*cells)
    summary = f"{tally.repositories:,} {'repository' if tally.repositories == 1 else 'repositories'}"
    if include_tags:
        summary += f", {tally.tags:,} {'tag' if tally.tags == 1 else 'tags'}"
    terminal.print(summary, style="dim")
