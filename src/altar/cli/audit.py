"""`altar audit`: what was decided and done, as a table, as a file for an auditor, and proved.

`verify` and `locate` only call the auditor's program, `altar.verify`, which shares nothing with the writer of the log.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from altar.adm.errors import ConfigurationError, ValidationError
from altar.cli import output
from altar.cli.administration import commands_of
from altar.cli.audit_anchor import anchor, cosigned_for, witness_key, witnessed_checkpoint
from altar.cli.audit_files import FILE as _FILE
from altar.cli.audit_files import data_option as _data_option
from altar.cli.audit_files import inside as _inside
from altar.cli.audit_files import ledger_in as _ledger
from altar.cli.audit_files import require_log
from altar.cli.audit_query import index, query
from altar.cli.audit_rotate import rotate_key
from altar.cli.audit_seal import forget, seal, verify_archive
from altar.cli.audit_sinks import forward, sinks
from altar.cli.progress import progress_bar

if TYPE_CHECKING:
    from altar.ledger.places import Place
    from altar.verify import Report

__all__ = ["audit", "joined"]

KINDS = ("call", "event", "start", "stop")
_OF_OUTCOME = ("status", "code", "ran", "runtime", "attempts", "result", "chunks", "bytes", "reported")

_vkey_option = click.option("--vkey", metavar="KEY", help="The verifier key itself: name+id+key.")
_vkey_file_option = click.option(
    "--vkey-file", type=_FILE, help="File of the verifier key; else the one beside `host.signing_key`."
)


@click.group()
def audit() -> None:
    """List, ask, export, send on and verify the audit log."""


for _command in (query, index, forward, sinks, anchor, seal, forget, rotate_key, *commands_of("audit")):
    audit.add_command(_command)


@audit.command("list", short_help="Print the log as a table.")
@_data_option
@click.option("--file", "export_file", type=_FILE, help="Read this export instead of a ledger.")
@click.option("--kind", type=click.Choice(KINDS), help="Only rows of this kind.")
@click.option("--tool", help="Only calls of this tool.")
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="Only the last N rows.")
@click.option("--tenant", default="", help="The log of this tenant; else the host's own.")
@output.json_option
def list_entries(
    *,
    data: Path | None,
    export_file: Path | None,
    kind: str | None,
    tool: str | None,
    last: int | None,
    tenant: str,
    as_json: bool,
) -> None:
    """Print the log as a table: one row for a call, with its intent and its outcome; one for each event.

    The time is when the first of them was committed; of a call that only reads both are, when it has ended.
    Nothing is proved by this: `altar audit verify` does that.
    """
    path = export_file or _ledger(data)
    entries = _of_ledger(path, tenant) if export_file is None else _of_export(export_file)
    try:
        rows = joined(entries, kind=kind, tool=tool, last=last)
        text = output.columns([_cells(row) for row in rows])
    except (ValueError, TypeError, KeyError, OverflowError) as error:  # a line or an entry that is none
        raise _damaged(path, error) from error
    output.data(rows, as_json=as_json, text=text)


@audit.command("export", short_help="Write the log to a file for an auditor.")
@click.option("-o", "--output", "target", type=_FILE, required=True, help="File to write.")
@click.option("--tenant", default="", help="The log of this tenant; else the host's own.")
@_data_option
@_vkey_option
@_vkey_file_option
@output.json_option
def export(
    *, target: Path, tenant: str, data: Path | None, vkey: str | None, vkey_file: Path | None, as_json: bool
) -> None:
    """Write a log to a file that an auditor can verify without a database.

    A host may go on writing meanwhile; the file is one moment of its log, and appears whole or not at all.
    A checkpoint that witnesses have cosigned is written beside it, with the ending `.cosigned`.
    """
    from altar.ledger.export import write_export
    from altar.ledger.places import beside
    from altar.ledger.signer import log_vkey

    key = _verifier_key(vkey, vkey_file)
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        with os.fdopen(handle, "wb") as out, progress_bar("exporting entries") as show:
            count = write_export(_ledger(data), out, vkey=key, tenant=tenant, progress=show)
            out.flush()
            os.fsync(out.fileno())
        Path(temporary).replace(target)
        if note := cosigned_for(beside(_ledger(data)), log_vkey(key, tenant).split("+", 1)[0]):
            target.with_name(f"{target.name}.cosigned").write_bytes(note)
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        Path(temporary).unlink(missing_ok=True)
    if as_json:
        output.data({"file": str(target), "entries": count}, as_json=True)
    else:
        output.say(f"wrote {target} (entries: {count})")


@audit.command(short_help="Prove the log, or name the damage.")
@click.argument("path", type=click.Path(path_type=Path))
@_vkey_option
@_vkey_file_option
@click.option("--since", type=_FILE, help="A signed checkpoint obtained elsewhere, from which the log must go on.")
@click.option(
    "--witness", metavar="KEY", help="A witness's verifier key, or its file: prove that nothing it saw was taken away."
)
@click.option("--cosigned", type=_FILE, help="The checkpoint that the witness cosigned; else the one beside PATH.")
@output.json_option
def verify(
    *,
    path: Path,
    vkey: str | None,
    vkey_file: Path | None,
    since: Path | None,
    witness: str | None,
    cosigned: Path | None,
    as_json: bool,
) -> int:
    """Prove that the log at PATH is complete and unaltered, or name what is damaged.

    PATH is an export, an archive, a ledger.db, or the directory that holds one.
    Take the verifier key from a place you trust, not from beside the log.
    Exit code 1 when anything is damaged.
    """
    from altar.verify import verify as prove

    key = _verifier_key(vkey, vkey_file)
    if cosigned is not None and witness is None:
        raise ValidationError("MALFORMED_REQUEST", "--cosigned says nothing without --witness, whose cosignature it is")
    if _is_archive(path):
        if since is not None or witness is not None:
            raise ValidationError(
                "MALFORMED_REQUEST",
                "An archive is a part of a log: it cannot be compared with a checkpoint obtained elsewhere",
                hint="verify the archive alone, and the log that goes on from it with --since or --witness",
            )
        told = verify_archive(path, vkey=key)
        output.data(told, as_json=as_json, text=_archive_text(told))
        return output.DONE
    try:
        require_log(_inside(path))
        checkpoint = since.read_text(encoding="utf-8") if since is not None else None
        if witness is not None:
            if since is not None:
                raise ValidationError("MALFORMED_REQUEST", "Give --since or --witness, not both")
            checkpoint = witnessed_checkpoint(_inside(path), witness=witness, cosigned=cosigned)
        with progress_bar("verifying entries") as show:
            report = prove(
                _inside(path),
                vkey=key,
                since=checkpoint,
                witnesses=[witness_key(witness)] if witness is not None else [],  # it says when that one saw it
                progress=lambda checked: show(checked, None),
            )
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    output.data(asdict(report), as_json=as_json, text=_report_text(report))
    return output.DONE if report.ok else output.FAILED


@audit.command()
@_data_option
@output.json_option
def checkpoint(*, data: Path | None, as_json: bool) -> None:
    """Print the newest signed checkpoint of the log.

    Kept elsewhere, it lets `altar audit verify --since` prove later that nothing before it was taken away.
    """
    from altar.ledger.export import read_checkpoint

    text = read_checkpoint(_ledger(data))
    output.data({"checkpoint": text}, as_json=as_json, text=text.removesuffix("\n"))


@audit.command(short_help="Say what one byte of a log is for.")
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("offset", type=click.IntRange(min=0))
@output.json_option
def locate(*, path: Path, offset: int, as_json: bool) -> None:
    """Say what the byte at OFFSET of the file PATH is for: which entry, which page, whether it is used."""
    from altar.verify import locate as find

    try:
        location = find(_inside(path), offset)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    output.data(asdict(location), as_json=as_json, text=location.text)


def joined(
    entries: Iterator[tuple[int, Mapping[str, Any]]],
    *,
    kind: str | None = None,
    tool: str | None = None,
    last: int | None = None,
) -> list[dict[str, Any]]:
    """Join each intent with its outcome to one row of kind `call`, in the order in which calls began.

    `entries` are pairs of position and members, in the order of the log.
    A call without outcome has the status OPEN; `ms` is the time between its two commits.
    There is none where both were written at once, as they are for a `read_only` call when it has ended.
    `last` keeps only the last rows of those that were asked for.
    """
    rows: deque[dict[str, Any]] = deque(maxlen=last)
    calls: dict[int, dict[str, Any]] = {}
    for seq, entry in entries:
        if entry["kind"] == "outcome":
            call = calls.pop(entry["intent"], None)
            if call is not None:
                call |= {name: entry[name] for name in _OF_OUTCOME if name in entry}
                lasted = entry["time"] - call["time"]
                call |= {"outcome_seq": seq} | ({"ms": lasted} if lasted else {})
            continue
        row = _row(seq, entry)
        if kind not in {None, row["kind"]} or (tool is not None and row.get("tool") != tool):
            continue
        rows.append(row)
        if row["kind"] == "call":
            calls[seq] = row
    return list(rows)


def _row(seq: int, entry: Mapping[str, Any]) -> dict[str, Any]:
    members = {name: value for name, value in entry.items() if name not in {"kind", "v"}}
    if entry["kind"] == "intent":
        return {"seq": seq, "kind": "call", **members, "status": "OPEN"}
    return {"seq": seq, "kind": entry["kind"], **members}


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    when = datetime.fromtimestamp(row["time"] / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    head = (str(row["seq"]), when, row["kind"])
    if row["kind"] == "call":
        ended = f"{row['ms']} ms" if "ms" in row else ""
        return (
            *head,
            row["tool"],
            row["principal"],
            row.get("runtime", ""),
            row.get("code") or row["status"],
            ended,
            _remarks(row),
        )
    if row["kind"] == "event":
        return (*head, row["event"], row["subject"], row["note"], "", "", "")
    return (*head, row.get("host", ""), f"epoch {row['epoch']}", row.get("software", ""), "", "", "")


def _remarks(row: Mapping[str, Any]) -> str:
    """What is out of the ordinary about a call, in a few words."""
    remarks = [f"attempts {row['attempts']}"] if row.get("attempts", 1) > 1 else []
    if "chunks" in row:
        remarks.append(f"chunks {row['chunks']}")
    remarks += [f"{name} {row[name]}" for name in ("key", "where", "route", "parent", "reported") if name in row]
    if row.get("verdict", "allow") != "allow":
        remarks.append(f"{row['verdict']} {row.get('approval', '')}".strip())
    return ", ".join(remarks)


def _verifier_key(vkey: str | None, vkey_file: Path | None) -> str:
    if vkey is not None and vkey_file is not None:
        raise ValidationError("MALFORMED_REQUEST", "Give --vkey or --vkey-file, not both")
    if vkey is not None:
        return vkey
    if vkey_file is None:
        from altar.settings import Settings

        vkey_file = Settings.load().host.signing_key.with_suffix(".vkey")
    try:
        return vkey_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            "ENVIRONMENT_ERROR",
            f"The verifier key {str(vkey_file)!r} cannot be read",
            hint="give it with --vkey or --vkey-file; `altar up` writes it, and `altar host` prints it when ready",
            detail=str(error),
        ) from error


def _of_ledger(path: Place, tenant: str) -> Iterator[tuple[int, dict[str, Any]]]:
    from altar.ledger.reader import LogReader

    if isinstance(path, Path) and not path.is_file():
        raise ConfigurationError(
            "ENVIRONMENT_ERROR", f"There is no ledger at {str(path)!r}", hint="name its directory with --data"
        )
    with LogReader.open(path) as reader:
        for position, body in reader.entries(tenant):
            yield position, json.loads(body)


def _of_export(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with path.open("rb") as lines:
            if "altar_audit_export" not in json.loads(lines.readline() or b"{}"):
                raise ValueError("it does not begin as an export does")
            for line in lines:
                members = json.loads(line)
                if "entry" in members:
                    yield members["seq"], json.loads(members["entry"])
    except OSError as error:
        raise _unreadable(path, error) from error


def _damaged(path: Place, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        "LOG_DAMAGED",
        f"The log {str(path)!r} cannot be read",
        hint=f"`altar audit verify {path}` names what is damaged",
        detail=str(error),
    )


def _unreadable(path: Path, error: Exception) -> ConfigurationError:
    if isinstance(error, OSError):
        return ConfigurationError("ENVIRONMENT_ERROR", f"{str(path)!r} cannot be read: {error.strerror}")
    return ConfigurationError("INVALID_CONFIG", f"{str(path)!r} cannot be judged: {error}")


def _unwritable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError("ENVIRONMENT_ERROR", f"Cannot write {str(path)!r}: {error.strerror}")


def _is_archive(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(22) == b'{"altar_audit_archive"'
    except OSError:
        return False


def _archive_text(told: Mapping[str, object]) -> str:
    return (
        f"ok: archive of {told['origin']}\n"
        f"entries from {told['start']} to before {told['stop']} are complete and unaltered, "
        f"by a checkpoint over {told['signed']} entries"
    )


def _report_text(report: Report) -> str:
    lines = [
        f"{report.verdict}: {report.kind} of {report.origin or 'an unknown log'}",
        f"{report.entries} entries, {report.intents} intents, {report.outcomes} outcomes, {report.open_intents} open",
    ]
    for finding in report.findings:
        place = f" (byte {finding.offset})" if finding.offset is not None else ""
        lines.append(f"- {finding.where}: {finding.what}{place}")
    return "\n".join((*lines, report.statement))
