"""`altar top`: what a host is doing now, read from its operations endpoint.

Rates and latencies are those since the reading before; the first ones are those since the host started.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from altar.adm.errors import AltarError, ConfigurationError, TransportError
from altar.cli import output
from altar.cli.observing import URL_FILE

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["ToolRates", "View", "top", "view"]

PATIENCE = 5.0
"""Seconds that the host may take to answer."""

MOST_BYTES = 64 * 1024 * 1024
"""Bytes of an answer that are read."""


@click.command()
@click.option("--at", "url", metavar="URL", help="Operations endpoint of the host, such as http://127.0.0.1:9464.")
@click.option("--every", type=click.FloatRange(0.1), default=1.0, show_default=True, help="Seconds between readings.")
@click.option("--once", is_flag=True, help="Print one reading and end; so it does without a terminal.")
@click.option("--profile", help="Profile of altar.toml.")
@output.json_option
def top(*, url: str | None, every: float, once: bool, profile: str | None, as_json: bool) -> None:
    """Show calls, latencies, runtimes and queues of a running host; Ctrl-C ends it.

    Without --at it is the host of `altar.toml`: its `host.operations`, or what the host has left beside its ledger.
    """
    at = url or _found(profile)
    first = view(_read(at), None)
    if once or as_json or not sys.stdout.isatty():
        output.data(first.to_json(), as_json=as_json, text=_text(first))
        return
    _watch(at, first, every=every)


@dataclass(frozen=True, slots=True)
class ToolRates:
    """One tool between two readings: calls and errors per second, and seconds within which 50 and 99 of 100 ended."""

    tool: str
    calls: float
    errors: float
    p50: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class View:
    """What is shown of a host: its status, and rates since the reading before.

    `total` is over all tools; `commits` and `entries` are those of the ledger per second, `sync` the seconds within
    which half of its transactions were durable.
    """

    status: Mapping[str, Any]
    seconds: float
    total: ToolRates
    tools: tuple[ToolRates, ...]
    commits: float
    entries: float
    sync: float | None

    def to_json(self) -> dict[str, Any]:
        """The same as values of JSON."""
        names = ("tool", "calls", "errors", "p50", "p99")
        rates = [{name: getattr(one, name) for name in names} for one in (self.total, *self.tools)]
        return {
            "seconds": self.seconds,
            "total": rates[0],
            "tools": rates[1:],
            "commits": self.commits,
            "entries": self.entries,
            "sync_p50": self.sync,
            "status": dict(self.status),
        }


def view(now: Mapping[str, Any], before: Mapping[str, Any] | None) -> View:
    """What two readings of `/status` say together; with one, what it says of the time since the host started.

    A host that has started again in between begins anew.
    """
    from altar.grid.host.metrics import quantile

    calls = now["calls"]
    if before is None or before["epoch"] != now["epoch"]:
        before = None
    then: Mapping[str, Any] = before["calls"] if before is not None else _NOTHING
    seconds = max(0.001, calls["seconds_up"] - then["seconds_up"])
    tools, all_buckets = [], [0] * (len(calls["bounds"]) + 1)
    for tool, figures in calls["tools"].items():
        old = then["tools"].get(tool, {"codes": {}, "buckets": []})
        buckets = _more(figures["buckets"], old["buckets"])
        all_buckets = [both + one for both, one in zip(all_buckets, buckets, strict=True)]
        failed = sum(count - old["codes"].get(code, 0) for code, count in figures["codes"].items() if code != "SUCCESS")
        tools.append(_rates(tool, buckets, failed, seconds, calls["bounds"]))
    store = calls["store"]
    return View(
        status=now,
        seconds=seconds,
        total=_rates("all", all_buckets, sum(one.errors for one in tools) * seconds, seconds, calls["bounds"]),
        tools=tuple(sorted(tools, key=lambda one: (-one.calls, one.tool))),
        commits=(now["commits"] - (before["commits"] if before else 0)) / seconds,
        entries=(now["entries"] - (before["entries"] if before else 0)) / seconds,
        sync=quantile(0.5, store["bounds"], _more(store["buckets"], then["store"]["buckets"])),
    )


_NOTHING: Mapping[str, Any] = {"tools": {}, "seconds_up": 0.0, "store": {"buckets": []}}


def _rates(tool: str, buckets: Sequence[int], failed: float, seconds: float, bounds: Sequence[float]) -> ToolRates:
    from altar.grid.host.metrics import quantile

    p50, p99 = (quantile(share, bounds, buckets) for share in (0.5, 0.99))
    return ToolRates(tool, sum(buckets) / seconds, failed / seconds, p50, p99)


def _more(now: Sequence[int], then: Sequence[int]) -> list[int]:
    return [new - old for new, old in zip(now, then, strict=True)] if then else list(now)


# ------------------------------------------------------------------------------------------------------------ reading


def _found(profile: str | None) -> str:
    from altar.settings import Settings

    settings = Settings.load(profile=profile).host
    file = settings.data / URL_FILE
    if file.exists():
        return file.read_text(encoding="utf-8").strip()
    if settings.operations is not None and not settings.operations.endswith(":0"):
        return f"http://{settings.operations}"
    raise ConfigurationError(
        "INVALID_CONFIG",
        "It is not known where the host can be asked",
        hint="start the host with host.operations set, as `altar up` does, or say where: --at http://HOST:PORT",
    )


def _read(url: str) -> dict[str, Any]:
    from altar.grid.status import error_of_http

    if not url.startswith(("http://", "https://")):
        raise ConfigurationError("INVALID_CONFIG", f"{url!r} is no URL", hint="write http://HOST:PORT")
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/status", timeout=PATIENCE) as answer:  # noqa: S310 - HTTP only
            status = json.loads(answer.read(MOST_BYTES))
    except urllib.error.HTTPError as refused:
        raise error_of_http(refused.code, refused.read(MOST_BYTES)) from refused
    except (OSError, ValueError) as failed:
        raise TransportError(
            "CONNECTION_FAILED",
            f"No host answers at {url!r}",
            ran="no",
            hint="is it running, with host.operations set?",
            detail=repr(failed),
        ) from failed
    if not isinstance(status, dict) or "calls" not in status:
        raise TransportError("PROTOCOL_VIOLATION", f"{url!r} is not the operations endpoint of a host", ran="no")
    return status


# ------------------------------------------------------------------------------------------------------------ showing


def _watch(url: str, first: View, *, every: float) -> None:
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    shown, trouble = first, ""
    with Live(_page(first), screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(every)
            try:
                shown, trouble = view(_read(url), shown.status), ""
            except AltarError as failed:
                trouble = str(failed)
            live.update(Group(_page(shown), Text(trouble, style="bold red")), refresh=True)


def _page(shown: View) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    def table(rows: Sequence[Sequence[str]]) -> Table:
        made = Table(box=None, pad_edge=False)
        for place, title in enumerate(rows[0]):
            made.add_column(title, justify="right" if place else "left")
        for row in rows[1:]:
            made.add_row(*map(Text, row))
        return made

    head = Text("\n".join(_head(shown)))
    return Group(head, Text(), table(_tool_rows(shown)), Text(), table(_runtime_rows(shown)))


def _text(shown: View) -> str:
    parts = ["\n".join(_head(shown)), output.columns(_tool_rows(shown)), output.columns(_runtime_rows(shown))]
    return "\n\n".join(parts)


def _head(shown: View) -> list[str]:
    status, total = shown.status, shown.total
    counted = [("in flight", "in_flight"), ("sessions", "sessions"), ("clients", "clients"), ("streams", "streams")]
    queue = status["queue"]
    return [
        f"{status['host']}  {status['state']}  altar {status['version']}  up {_long(status['calls']['seconds_up'])}",
        f"{total.calls:,.1f} calls/s  {total.errors:,.1f} errors/s  p50 {_short(total.p50)}  p99 {_short(total.p99)}",
        "  ".join(f"{words} {status[key]:,}" for words, key in counted)
        + f"  waiting {queue['calls'] + queue['nested']:,} of {queue['limit']:,}",
        f"{shown.commits:,.1f} commits/s  {shown.entries:,.1f} entries/s  sync p50 {_short(shown.sync)}",
    ]


def _tool_rows(shown: View) -> list[tuple[str, ...]]:
    return [
        ("TOOL", "CALLS/S", "ERRORS/S", "P50", "P99"),
        *(
            (one.tool, f"{one.calls:,.1f}", f"{one.errors:,.1f}", _short(one.p50), _short(one.p99))
            for one in shown.tools
        ),
    ]


def _runtime_rows(shown: View) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("RUNTIME", "IN FLIGHT", "CREDITS", "TOOLS", "STATE")]
    for one in shown.status["runtimes"]:
        state = ["draining" if one["draining"] else "serving"]
        state += [f"{tool} is cut off ({state})" for tool, state in one["breakers"].items() if state != "closed"]
        rows.append((one["runtime"], *(f"{one[key]:,}" for key in ("in_flight", "credits", "tools")), "; ".join(state)))
    return rows


def _short(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _long(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
