"""Putting something in force: what was looked at is named by its digest, or shown and confirmed."""

from __future__ import annotations

import sys

import click

from altar.adm.errors import ValidationError
from altar.cli import output

__all__ = ["confirmed", "digest_option"]

digest_option = click.option("--digest", help="Digest of what you looked at; without it you are shown it, and asked.")
"""The option of every command that puts something in force."""


def confirmed(text: str, *, question: str, look: str) -> None:
    """Show what would be in force, and return when somebody says yes; Abort when they say no.

    Raises ValidationError MALFORMED_REQUEST where nobody is there to ask; ``look`` is the command that shows it.
    """
    output.say(text)
    if not sys.stdin.isatty():
        raise ValidationError(
            "MALFORMED_REQUEST",
            "Nobody is there to confirm what is put in force",
            ran="no",
            hint=f"look at it with `{look}` and pass its digest: --digest sha256:…",
        )
    click.confirm(question, abort=True, err=True)
