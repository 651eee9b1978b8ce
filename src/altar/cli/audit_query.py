"""`altar audit query`, `altar audit index`: ask the log what happened, and keep what makes that quick."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from altar.adm.errors import ValidationError
from altar.cli import output
from altar.cli.audit_files import data_option, ledger_in, time_ms_of
from altar.cli.progress import progress_bar

if TYPE_CHECKING:
    from altar.aesp.audit.query import Page, Query
    from altar.aesp.audit.record import Record, Records
    from altar.ledger.places import Place

__all__ = ["index", "query"]

_FOLLOW_SECONDS = 0.5
_OUTCOMES = ("SUCCESS", "FAILURE", "PARTIAL", "DENIED")


@click.command(short_help="Find entries by who, what, when and how it ended.")
@data_option
@click.option("--tenant", help="Only this tenant's log; '' is the host's own. Without it, all logs.")
@click.option("--principal", default="", help="Only what this principal did, by the name in the log.")
@click.option("--tool", default="", help="Only calls of this tool.")
@click.option("--session", default="", help="Only what happened in this session.")
@click.option("--correlation", default="", help="Only what belongs to this correlation id.")
@click.option("--invocation", default="", help="Only this invocation.")
@click.option("--event", default="", help="Only this event; `*` stands for any run of characters.")
@click.option("--outcome", type=click.Choice(_OUTCOMES), help="Only what ended like this.")
@click.option("--code", default="", help="Only what ended with this error code.")
@click.option("--since", metavar="TIME", help="Only from this time on, such as 2026-11-23T08:00.")
@click.option("--until", metavar="TIME", help="Only before this time.")
@click.option("--oldest-first", is_flag=True, help="Begin with the oldest instead of the newest.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Most entries.")
@click.option("--cursor", default="", help="Go on behind this cursor, which the page before has told.")
@click.option("--follow", is_flag=True, help="Wait for what comes, and print it as it does; stop with Ctrl-C.")
@click.option("--format", "form", type=click.Choice(["table", "ndjson", "csv", "cef", "ocsf"]), default="table")
@click.option("--names", is_flag=True, help="Say who a pseudonym stands for, as far as that is kept.")
@click.option("--no-index", is_flag=True, help="Read the whole log instead of keeping an index beside it.")
@output.json_option
def query(
    *,
    data: Path | None,
    since: str | None,
    until: str | None,
    oldest_first: bool,
    outcome: str | None,
    follow: bool,
    form: str,
    names: bool,
    no_index: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Find entries of the log, the newest first.

    Nothing is proved by this: `altar audit verify` does that.
    An index beside the log says where to look; what is printed is read from the log itself.
    Whoever can write to the index can hide entries from it: --no-index reads the whole log.
    A log of pseudonyms is asked by name too, while it is kept who they stand for.
    """
    from altar.aesp.audit.opening import open_records
    from altar.aesp.audit.query import Query
    from altar.aesp.audit.record import named as with_names
    from altar.ledger.places import beside
    from altar.ledger.subjects import read_names

    path = ledger_in(data)
    known = read_names(beside(path))
    asked["principal"] = next((p for p, (_, name) in known.items() if name == asked["principal"]), asked["principal"])
    wanted = Query(
        **asked,
        outcome=outcome or "",
        since_ms=time_ms_of(since, option="--since"),
        until_ms=time_ms_of(until, option="--until"),
        newest_first=not (oldest_first or follow),
    )
    records = open_records(path)
    _require_log(records, wanted.tenant, waits=follow)

    def named(record: Record) -> Record:
        return with_names(record, known.get) if names else record

    if follow:
        if as_json or wanted.cursor:
            raise ValidationError("MALFORMED_REQUEST", "--follow goes with neither --json nor --cursor", ran="no")
        _follow(records, wanted, _lines_of(form), named)
    else:
        page = _page(path, records, wanted, no_index=no_index)
        _print_page(replace(page, records=tuple(map(named, page.records))), form=form, as_json=as_json)


@click.command(short_help="Bring the index beside the log up to date.")
@data_option
@click.option("--rebuild", is_flag=True, help="Make it anew from the whole log.")
@output.json_option
def index(*, data: Path | None, rebuild: bool, as_json: bool) -> None:
    """Bring the index beside the log up to date, so that the next question need not.

    It says where to look and is never trusted; it may be deleted at any time.
    """
    from altar.aesp.audit.index import Index
    from altar.aesp.audit.opening import open_records
    from altar.ledger.places import beside

    path = ledger_in(data)
    records = open_records(path)
    with Index(f"{beside(path)}.index") as made, progress_bar("indexing entries") as show:
        count = made.rebuild(records, progress=show) if rebuild else made.catch_up(records, progress=show)
    output.data({"entries": count}, as_json=as_json, text=f"took in {count} entries")


def _require_log(records: Records, tenant: str | None, *, waits: bool) -> None:
    """Return when there is a log of this tenant; whoever waits for entries is told that there is none yet."""
    from altar.ledger.reader import unknown_log

    if tenant is None or any(log.tenant == tenant for log in records.reader.logs()):
        return
    if not waits:
        raise unknown_log(tenant)
    output.say(f"there is no log of the tenant {tenant[:80]!r} yet")


def _page(path: Place, records: Records, wanted: Query, *, no_index: bool) -> Page:
    from altar.aesp.audit.index import Index
    from altar.aesp.audit.query import search
    from altar.ledger.places import beside

    if no_index:
        return search(records, wanted)
    with Index(f"{beside(path)}.index") as made:
        with progress_bar("indexing entries") as show:
            made.catch_up(records, progress=show)
        return search(records, wanted, index=made)


def _print_page(page: Page, *, form: str, as_json: bool) -> None:
    from altar.aesp.audit.formats import format_named, head_of
    from altar.aesp.audit.record import members_of

    if form == "table" or as_json:
        told = {"records": [members_of(record) for record in page.records], "cursor": page.cursor}
        output.data(told, as_json=as_json, text=output.columns([_cells(record) for record in page.records]))
    else:
        line = format_named(form)
        lines = [*([head_of(form)] if head_of(form) else []), *(line(record) for record in page.records)]
        output.data(None, as_json=False, text="\n".join(lines))
    if page.cursor and not as_json:
        output.say(f"there is more: --cursor {page.cursor}")


def _follow(records: Records, wanted: Query, line: Callable[[Record], str], named: Callable[[Record], Record]) -> None:
    """Print what matches as it is committed, until the process is told to stop."""
    from altar.aesp.audit.query import matches

    following = records.reader.size()
    while True:
        found = list(records.committed(following, most=1000)) if following < records.reader.size() else []
        for seq, record in found:
            following = seq + 1
            if wanted.tenant in {None, record.tenant} and matches(record, wanted):
                output.data(None, as_json=False, text=line(named(record)))
        if not found:
            time.sleep(_FOLLOW_SECONDS)


def _lines_of(form: str) -> Callable[[Record], str]:
    from altar.aesp.audit.formats import format_named

    return (
        (lambda record: "  ".join(cell for cell in _cells(record) if cell)) if form == "table" else format_named(form)
    )


def _cells(record: Record) -> tuple[str, ...]:
    when = datetime.fromtimestamp(record.time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    what = record.tool or record.resource or record.subject
    ended = record.code or record.outcome
    more = f"x{record.count}" if record.count else ""
    return (when, record.tenant, str(record.position), record.event, what, record.principal, ended, record.note, more)
