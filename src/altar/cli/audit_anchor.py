"""`altar audit anchor`: keep checkpoints where this host cannot change them; and what a witness proves with one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from altar.adm.errors import ConfigurationError
from altar.cli import output
from altar.cli.audit_files import DATA, data_option, ledger_in, settings_of

if TYPE_CHECKING:
    from altar.aesp.audit.anchors import Anchors
    from altar.ledger.places import Place
    from altar.settings import Settings

__all__ = ["anchor", "anchored", "cosigned_for", "witness_key", "witnessed_checkpoint"]


@click.command(short_help="Keep checkpoints elsewhere, and have them witnessed.")
@data_option
@click.option("--to", "directory", type=DATA, help="Directory to write to; else the setting `audit.anchor`.")
@output.json_option
def anchor(*, data: Path | None, directory: Path | None, as_json: bool) -> int:
    """Write the newest checkpoint of each log to a directory, and have it cosigned by the witnesses of the settings.

    A host with such settings does this by itself, every `audit.anchor_interval` seconds.
    Exit code 1 when a place could not be reached, or a witness has seen another past of this log.
    """
    from altar.aesp.audit.opening import open_records
    from altar.ledger.places import beside

    settings = settings_of()
    path = ledger_in(data)
    anchors = _anchors(settings, beside(path), directory)
    if anchors is None:
        raise ConfigurationError(
            "INVALID_CONFIG", "There is nowhere to keep checkpoints", hint="give --to, or set audit.anchor or witnesses"
        )
    reader = open_records(path).reader
    try:
        done = anchors.round(reader)
    finally:
        anchors.close()
        reader.close()
    rows = [
        {
            "origin": each.origin,
            "size": each.size,
            "place": each.place,
            "error": None if each.error is None else {"type": each.error.code, "message": str(each.error)},
        }
        for each in done
    ]
    lines = [
        f"{each.origin} {each.size} → {each.place}" if each.error is None else f"{each.place}: {each.error}"
        for each in done
    ]
    output.data(rows, as_json=as_json, text="\n".join(lines) or "every place has the newest checkpoint")
    return output.FAILED if any(each.error for each in done) else output.DONE


@contextlib.contextmanager
def anchored(settings: Settings, path: Place) -> Iterator[None]:
    """Keep the checkpoints of the log at `path` elsewhere while the block runs, if the settings say where."""
    from altar.aesp.audit.anchors import anchoring
    from altar.aesp.audit.opening import open_records
    from altar.ledger.places import beside

    anchors = _anchors(settings, beside(path), None)
    if anchors is None:
        yield
        return
    try:
        with anchoring(anchors, records=lambda: open_records(path), every=settings.audit.anchor_interval):
            yield
    finally:
        anchors.close()


def witnessed_checkpoint(path: Path, *, witness: str, cosigned: Path | None) -> str:
    """The text of the checkpoint that a witness has cosigned, for a log or an export at `path`.

    `witness` is its verifier key, or a file that holds it in its last line.
    Raises ConfigurationError: INVALID_CONFIG for a key that is none, ENVIRONMENT_ERROR when there is no such
    checkpoint, LOG_DAMAGED when the witness has not cosigned it.
    """
    from altar.aesp.audit.anchors import read_note
    from altar.aesp.audit.witness import cosigned_by, parse_witness_key

    key = parse_witness_key(witness_key(witness))
    note_file = cosigned or _note_file(path)
    note = read_note(note_file) if note_file is not None else None
    if note is None:
        raise ConfigurationError(
            "ENVIRONMENT_ERROR",
            f"There is no cosigned checkpoint for {str(path)!r}",
            hint="name its file with --cosigned; an export has it beside it, a host in ledger.db.witness",
        )
    if cosigned_by(note, key) is None:
        raise ConfigurationError(
            "LOG_DAMAGED",
            f"The checkpoint in {str(note_file)!r} is not cosigned by {key.name!r}",
            hint="take the witness's key and the cosigned checkpoint from its operator",
        )
    return note.decode()


def witness_key(witness: str) -> str:
    """The verifier key of a witness, given as it is or as a file that holds it in its last line."""
    with contextlib.suppress(OSError, IndexError, ValueError):  # a key is no name of a file
        return Path(witness).read_text(encoding="utf-8").split()[-1]
    return witness


def cosigned_for(path: Path, origin: str) -> bytes | None:
    """The newest cosigned checkpoint that the host at `path` keeps of the log `origin`."""
    from altar.aesp.audit.anchors import cosigned_note

    return cosigned_note(path, origin)


def _note_file(path: Path) -> Path | None:
    """Where the cosigned checkpoint of an export, or of a host's own log, is kept."""
    from altar.aesp.audit.anchors import note_path
    from altar.aesp.audit.opening import open_records

    cosigned = path.with_name(f"{path.name}.cosigned")
    if cosigned.exists():
        return cosigned
    kept = Path(f"{path}.witness")
    if not kept.is_dir():
        return None
    reader = open_records(path).reader
    try:
        return note_path(kept, reader.logs()[0].origin)
    finally:
        reader.close()


def _anchors(settings: Settings, path: Path, directory: Path | None) -> Anchors | None:
    from altar.aesp.audit.anchors import Anchors, read_witness_file

    home = settings.file.parent if settings.file is not None else Path.cwd()
    place = directory or settings.audit.anchor
    if place is None and not settings.audit.witnesses:
        return None
    witnesses = [read_witness_file(home / file) for file in settings.audit.witnesses]
    return Anchors(path, directory=place, witnesses=witnesses)
