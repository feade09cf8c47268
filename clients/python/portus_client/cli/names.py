"""Names as arguments of commands: what does not parse is wrong usage, said in one line."""

from collections.abc import Callable

import click

from portus_client.errors import NotFound
from portus_client.image_name import ImageName, InvalidImageName


def parsed(
    parse: Callable[[str], object],
) -> Callable[[click.Context, click.Parameter, str | tuple[str, ...] | None], object]:
    """A callback for an argument or option that `parse` reads, or raises `ValueError`."""

    def callback(context: click.Context, parameter: click.Parameter, value: str | tuple[str, ...] | None) -> object:
        if value is None:
            return None
        try:
            return tuple(map(parse, value)) if isinstance(value, tuple) else parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error), context, parameter) from error

    return callback


def repository(text: str) -> ImageName:
    """Reads `[HOST/]NAME`, with nothing behind it. Raises `InvalidImageName`."""
    image = ImageName.parse(text)
    if image.tag or image.digest:
        raise InvalidImageName(f"{text} is an image; a repository has no tag and no digest: {image.repository}")
    return image


def note_host(error: NotFound, image: ImageName) -> None:
    """Says with the error that a part of the name was left out, which may be what is wrong."""
    if image.host:
        whole = f"; /{image.host}/{image.repository} is the repository of that name" if image.is_ambiguous else ""
        error.add_note(f"{image.host} was taken for the registry's host, and left out{whole}")
