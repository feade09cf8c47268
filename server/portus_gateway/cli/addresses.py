"""Addresses on the command line."""

import click

from portus_gateway.listen_address import ListenAddress


def read_address(_: click.Context, __: click.Parameter, text: str) -> ListenAddress:
    """A callback for an option. Raises `BadParameter`, which says how an address is written."""
    try:
        return ListenAddress.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
