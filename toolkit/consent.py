"""Asking before anything leaves the machine."""

import sys

import typer

from toolkit.errors import SettingsError


def ensure_agreed(notice: str, *, yes: bool) -> None:
    """Say what is about to be sent to whom, and go on only if the person agrees.

    Args:
        notice: what is sent to whom; "" where nothing leaves the machine.
        yes: whether they agreed beforehand.

    Raises:
        SettingsError: there is nobody to ask.
        typer.Exit: they do not agree (exit code 1: nothing was done).
    """
    if not notice:
        return
    typer.echo(notice, err=True)
    if yes:
        return
    if not sys.stdin.isatty():
        raise SettingsError("Nobody is there to agree to that: add --yes if you do.")
    if not typer.confirm("Go ahead?", default=False, err=True):
        typer.echo("Nothing was sent.", err=True)
        raise typer.Exit(1)
