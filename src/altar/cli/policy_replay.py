"""`altar policy replay`: say which calls of the record another bundle would have decided otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from altar.adm.errors import ValidationError
from altar.cli import output
from altar.cli.audit_files import data_option, ledger_in, time_ms_of
from altar.cli.policy_files import contracts_of, file_argument, manifest_options, read_file
from altar.cli.progress import progress_bar

if TYPE_CHECKING:
    from altar.aesp.policy.recorded_calls import Entries
    from altar.aesp.policy.replay import Replayed
    from altar.grid.manifests.manifest import HostContract

__all__ = ["replay"]


@click.command(short_help="Say which calls of the record a bundle would change.")
@file_argument
@data_option
@click.option(
    "--export", type=click.Path(path_type=Path), metavar="FILE", help="An export of a log, in place of --data."
)
@click.option("--tenant", help="Whose calls; an export has those of one tenant.")
@click.option("--since", metavar="TIME", help="Only calls from this time on, such as 2026-11-23T08:00.")
@click.option("--until", metavar="TIME", help="Only calls before this time.")
@manifest_options
@output.json_option
def replay(
    *,
    file: Path,
    data: Path | None,
    export: Path | None,
    tenant: str | None,
    since: str | None,
    until: str | None,
    manifest: Path | None,
    tools: tuple[str, ...],
    as_json: bool,
) -> None:
    """Decide the recorded calls of a tenant again by the bundle in FILE, and say what would change.

    The log is read where the host keeps it, whether it runs or not, or from an export.
    Calls are decided by the facts that were recorded with them; what the bundle reads and the record does not hold
    makes a call undecidable.
    The contracts of a manifest say what a bundle may read; without one, arguments have the types they were given in.
    """
    from altar.aesp.policy.policy import read_bundle

    bundle = read_bundle(read_file(file), path=str(file))
    since_ms, until_ms = time_ms_of(since, option="--since"), time_ms_of(until, option="--until")
    contracts = contracts_of(manifest, tools).get if manifest is not None or tools else _no_contract
    began = time.monotonic()

    def replayed(entries: Entries, total: int) -> Replayed:
        from altar.aesp.policy.recorded_calls import DAY_MS, calls_in
        from altar.aesp.policy.replay import Replay, tool_of

        trial = Replay(bundle, tool_of=tool_of(bundle, contracts), since_ms=since_ms or 0)
        day = (since_ms or 0) // DAY_MS * DAY_MS
        with progress_bar("replaying entries") as show:
            for call in calls_in(entries, since_ms=day, until_ms=until_ms, progress=lambda done: show(done, total)):
                trial.take(call)
        return trial.result()

    name, found = _of_export(export, tenant, replayed) if export is not None else _of_log(data, tenant, replayed)
    _print(found, tenant=name, as_json=as_json, seconds=time.monotonic() - began)


def _of_export(path: Path, tenant: str | None, replayed: Callable[[Entries, int], Replayed]) -> tuple[str, Replayed]:
    from altar.aesp.policy.recorded_calls import entries_of_export, tenant_of_export
    from altar.cli.audit_files import require_log

    require_log(path)
    name, size = tenant_of_export(path)
    if tenant not in {None, name}:
        raise ValidationError("MALFORMED_REQUEST", f"The export is of the tenant {name!r}", ran="no")
    return name, replayed(entries_of_export(path), size)


def _of_log(
    data: Path | None, tenant: str | None, replayed: Callable[[Entries, int], Replayed]
) -> tuple[str, Replayed]:
    from altar.aesp.audit.opening import open_records
    from altar.ledger.reader import unknown_log

    with closing(open_records(ledger_in(data)).reader) as reader:
        logs = {log.tenant: log for log in reader.logs() if log.tenant}
        if tenant is None and len(logs) == 1:
            tenant = next(iter(logs))
        if tenant is None:
            names = ", ".join(sorted(logs)[:12]) or "none"
            raise ValidationError(
                "MALFORMED_REQUEST", "No tenant is named", ran="no", hint=f"--tenant: there are {names}"
            )
        if tenant not in logs:
            raise unknown_log(tenant)
        return tenant, replayed(reader.entries(tenant), logs[tenant].size)


def _print(found: Replayed, *, tenant: str, as_json: bool, seconds: float) -> None:
    from altar.aesp.policy.replay_text import replay_json, replay_text

    told: dict[str, Any] = replay_json(found, tenant=tenant)
    output.data(told, as_json=as_json, text=replay_text(found))
    if not as_json:
        output.say(f"{found.calls} calls of {tenant!r} replayed in {seconds:.1f} s")


def _no_contract(_name: str, _version: str) -> HostContract | None:
    return None
