"""`altar audit forward`, `altar audit sinks`: send the log on, and say how far each receiver is behind."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from altar.adm.errors import ConfigurationError
from altar.cli import output
from altar.cli.audit_anchor import anchored
from altar.cli.audit_files import data_option, ledger_in, settings_of, sink_options
from altar.cli.log_place import LEDGER, log_of
from altar.cli.processes import announce, log_to_stderr, run_until_told, tied_option, wall_ms

if TYPE_CHECKING:
    from altar.aesp.audit.sinks.forwarder import Lag
    from altar.settings import Settings

__all__ = ["figures_of", "forward", "forwarding", "sinks"]


@click.command(short_help="Send the log on to the sinks of the settings.")
@data_option
@click.option("--profile", help="Profile of altar.toml.")
@tied_option
def forward(*, data: Path | None, profile: str | None, tied: bool) -> None:
    """Send the log on to every sink of the settings, until it is told to stop.

    `altar host` does this by itself; run it alone where another machine reads the log.
    Each sink goes on behind the last entry that its receiver has acknowledged.
    """
    from altar.aesp.audit.opening import open_records
    from altar.aesp.audit.sinks.forwarder import Forwarder
    from altar.ledger.places import beside

    settings = settings_of(profile)
    path = ledger_in(data) if data is not None else log_of(settings)
    given = sink_options(settings)
    if not (given or settings.audit.anchor or settings.audit.witnesses):
        raise ConfigurationError(
            "INVALID_CONFIG", "There are no sinks to send to", hint="write a table [[audit.sinks]] into altar.toml"
        )
    open_records(path)  # a log that is not there is an error now, not in a thread
    log_to_stderr(facts={"role": "forwarder", "name": settings.host.name})
    forwarder = Forwarder(beside(path), given, records=lambda: open_records(path), wall_ms=wall_ms)

    async def start(leave: asyncio.Event) -> None:
        with forwarder, anchored(settings, path):
            announce({"sinks": [each.name for each in given]})
            await leave.wait()

    run_until_told(start, tied=tied)


@click.command(short_help="Show how far each sink is behind.")
@data_option
@click.option("--forget", metavar="NAME", help="Forget a sink that is gone for good.")
@output.json_option
def sinks(*, data: Path | None, forget: str | None, as_json: bool) -> int:
    """Show each sink: how many entries it has not acknowledged, when it last did, and what keeps it.

    Exit code 1 when one of them is failing.
    """
    from altar.aesp.audit.opening import open_records
    from altar.aesp.audit.sinks.cursors import Cursors
    from altar.aesp.audit.sinks.forwarder import lags
    from altar.ledger.places import beside

    path = ledger_in(data)
    reader = open_records(path).reader
    size = reader.size()
    reader.close()
    if forget is not None and not Cursors(f"{beside(path)}.sinks", wall_ms=wall_ms).forget(forget):
        raise ConfigurationError(
            "INVALID_CONFIG", f"There is no sink {forget!r}", hint="`altar audit sinks` lists them"
        )
    found = lags(beside(path), size=size, wall_ms=wall_ms)
    rows = [_figures(lag) for lag in found]
    text = output.columns(
        [
            (
                lag.status.name,
                f"{lag.entries} behind",
                f"{lag.status.sent} sent",
                f"last {_when(lag.status.sent_ms)}",
                lag.status.error,
            )
            for lag in found
        ]
    )
    output.data(rows, as_json=as_json, text=text)
    return output.FAILED if any(lag.status.failures for lag in found) else output.DONE


@contextlib.asynccontextmanager
async def forwarding(settings: Settings) -> AsyncIterator[int | None]:
    """While the block runs, a process of its own forwards the log of this host; gives its number.

    Nothing is started without sinks.
    It is another process so that no sink ever takes time from a call; it is tied to this one and leaves with it.
    """
    if not (settings.audit.sinks or settings.audit.anchor or settings.audit.witnesses):
        yield None
        return
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "altar", "audit", "forward", "--data", str(settings.host.data.absolute()), "--tied",
        *(["--profile", settings.profile] if settings.profile else []),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        cwd=settings.file.parent if settings.file is not None else None,
    )  # fmt: skip
    try:
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()


def figures_of(settings: Settings, size: Callable[[], int]) -> Callable[[], list[dict[str, Any]]] | None:
    """What tells how far the sinks of a host are behind, for its metrics; None without sinks.

    `size` gives the number that the next commit will have.
    """
    if not settings.audit.sinks:
        return None
    path = settings.host.data / LEDGER

    def figures() -> list[dict[str, Any]]:
        from altar.aesp.audit.sinks.forwarder import lags

        return [_figures(lag) for lag in lags(path, size=size(), wall_ms=wall_ms)]

    return figures


def _figures(lag: Lag) -> dict[str, Any]:
    return {
        "name": lag.status.name,
        "behind": lag.entries,
        "sent": lag.status.sent,
        "sent_ms": lag.status.sent_ms,
        "failures": lag.status.failures,
        "error": lag.status.error,
    }


def _when(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S") if time_ms else "never"
