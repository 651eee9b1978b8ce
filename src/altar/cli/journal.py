"""`altar journal`: what ran in processes of this machine and no host has in its log yet, or has refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from altar.adm.errors import ConfigurationError
from altar.cli import output

if TYPE_CHECKING:
    from altar.grid.client.journal import Call, JournalRead

__all__ = ["journal"]


@click.group()
def journal() -> None:
    """Show what ran here and is not in the log of its host."""


@journal.command(short_help="Print each call that a journal holds.")
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@click.option("--profile", help="Profile of altar.toml.")
@output.json_option
def show(*, directory: Path | None, profile: str | None, as_json: bool) -> None:
    """Print each call of the journals in DIRECTORY, without it in the one of the settings.

    A state is `began` (its process runs it, or was killed while it did), `ended` (it waits to be reported) or
    `disputed` with the code by which the host refused the report.
    """
    from altar.grid.client.journal import DISPUTED, read_journal
    from altar.settings import Settings

    place = directory or Settings.load(profile=profile).journal
    listed: list[dict[str, Any]] = []
    for path in sorted([*place.glob("*.jsonl"), *place.glob(f"*{DISPUTED}")]):
        try:
            read = read_journal(path)
        except OSError as failed:
            raise ConfigurationError(
                "ENVIRONMENT_ERROR", f"The journal {str(path)!r} cannot be read: {failed.strerror}"
            ) from failed
        if read.damaged:
            output.warn(f"{path} is damaged: {read.damaged}")
        listed += _rows(read)
    columns = ("time", "tool", "call", "state", "principal", "host", "place")
    output.data(
        listed, as_json=as_json, text=output.columns([tuple(str(row[each]) for each in columns) for row in listed])
    )


def _rows(read: JournalRead) -> Iterator[dict[str, Any]]:
    for call in read.calls.values():
        began = call.began
        yield {
            "time": datetime.fromtimestamp(began.time / 1000, UTC).isoformat(timespec="milliseconds"),
            "tool": began.tool,
            "call": began.call,
            "invocation": began.invocation,
            "state": _state(call),
            "principal": read.principal,
            "host": read.target,
            "place": f"{read.journal}:{began.position}",
        }


def _state(call: Call) -> str:
    if call.disputed:
        return f"disputed {call.disputed}"
    return "began" if call.ended is None else f"ended {call.ended.code or call.ended.status}"
