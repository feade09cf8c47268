"""Names in a command's arguments. An invalid name is a usage error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import click

from portus_client.cli import completion
from portus_client.descriptor import Platform
from portus_client.errors import NotFound
from portus_client.image_name import ImageName, InvalidImageName

Callback: TypeAlias = Callable[..., object]


def parsed(
    parse: Callable[[str], object],
) -> Callable[[click.Context, click.Parameter, str | tuple[str, ...] | None], object]:
    """A callback for an argument or option that `parse` reads. `parse` raises `ValueError` for an invalid value."""

    def callback(context: click.Context, parameter: click.Parameter, value: str | tuple[str, ...] | None) -> object:
        if value is None:
            return None
        try:
            return tuple(map(parse, value)) if isinstance(value, tuple) else parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error), context, parameter) from error

    return callback


def image_argument(function: Callback) -> Callback:
    """The argument IMAGE of a command."""
    return click.argument("image", callback=parsed(ImageName.parse), shell_complete=completion.images)(function)


def repository_argument(function: Callback) -> Callback:
    """The argument REPOSITORY of a command."""
    return click.argument("repository", callback=parsed(repository), shell_complete=completion.repositories)(function)


def platform_option(help_text: str) -> Callable[[Callback], Callback]:
    """The option --platform of a command."""
    return click.option("--platform", callback=parsed(Platform.parse), metavar="OS/ARCH[/VARIANT]", help=help_text)


def repository(text: str) -> ImageName:
    """Reads `[HOST/]NAME`, without tag and digest. Raises `InvalidImageName`."""
    image = ImageName.parse(text)
    if image.tag or image.digest:
        raise InvalidImageName(f"{text} has a tag or a digest: write only the repository, {image.repository}")
    return image


@contextmanager
def explaining_host(image: ImageName) -> Iterator[None]:
    """If the block raises `NotFound`, adds a note that a part of the name was read as a host and ignored."""
    try:
        yield
    except NotFound as error:
        if image.host:
            whole = f"; for the repository of that name, write /{image.host}/{image.repository}"
            error.add_note(f"{image.host} was read as a registry host and ignored{whole if image.is_ambiguous else ''}")
        raise
