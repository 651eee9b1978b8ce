"""Checkpoints kept where the host's own log is not: in a directory on another disk or machine, and with witnesses.

`Anchors` does one round when it is asked to: for each log whose checkpoint has grown, it writes the checkpoint to the
directory, has it cosigned, and keeps the cosigned note beside the log, for exports and for verifying.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from altar.adm.errors import AltarError, ConfigurationError
from altar.aesp.audit.record import Log, Reader, Records
from altar.aesp.audit.rounds import Rounds
from altar.aesp.audit.witness import Witness, WitnessKey, cosigned_by, merged, parse_witness_key
from altar.ledger.log import Checkpoint, parse_note, verify_consistency

__all__ = ["Anchored", "Anchors", "anchoring", "cosigned_note", "read_witness_file"]

_log = logging.getLogger("altar.audit")


@dataclass(frozen=True, slots=True)
class Anchored:
    """What became of one checkpoint in one place: the log's origin, the size, where it went, and what went wrong."""

    origin: str
    size: int
    place: str
    error: AltarError | None = None


class Anchors:
    """The places that checkpoints of one host go to. For one thread."""

    def __init__(self, log: str | Path, *, directory: Path | None, witnesses: Sequence[Witness]) -> None:
        """Take the log at `log`, a directory or None, and the witnesses."""
        self._kept = Path(f"{log}.witness")
        self._directory = directory
        self._witnesses = witnesses

    def round(self, reader: Reader) -> list[Anchored]:
        """Bring the newest checkpoint of each log to each place that has not got it; tells what was done.

        What fails in one place holds up no other; a place that has it already is not told of.
        """
        done: list[Anchored] = []
        for log in reader.logs():
            note = reader.checkpoint(log.tenant)
            if self._directory is not None:
                done += self._written(reader, log.tenant, note, self._directory)
            for witness in self._witnesses:
                done += self._witnessed(reader, log, note, witness)
        return done

    def close(self) -> None:
        """Let go of the connections to witnesses."""
        for witness in self._witnesses:
            witness.close()

    def _written(self, reader: Reader, tenant: str, note: bytes, directory: Path) -> Iterator[Anchored]:
        """Keep the newest checkpoint in a file, and all of them, one after the other, in another."""
        checkpoint = parse_note(note)[1]
        path = directory / f"{quote(checkpoint.origin, safe='')}.checkpoint"
        before = read_note(path)
        if before is not None:
            kept = parse_note(before)[1]
            if kept == checkpoint:
                return
            if not _goes_on(reader, tenant, kept, checkpoint):
                error: AltarError | None = ConfigurationError(
                    "LOG_DAMAGED",
                    f"The log does not go on from the checkpoint over {kept.size} entries in {str(path)!r}",
                    ran="no",
                    hint="it was rolled back, or written anew: keep both as they are and find out who changed it",
                )
                yield Anchored(checkpoint.origin, checkpoint.size, str(directory), error)
                return
        error = None
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with path.with_suffix(".checkpoints").open("ab") as every:
                every.write(note)
                every.flush()
                os.fsync(every.fileno())
            _replace(path, note)
        except OSError as failed:
            error = ConfigurationError(
                "ENVIRONMENT_ERROR",
                f"The checkpoint cannot be written to {str(directory)!r}: {failed.strerror}",
                ran="no",
            )
        yield Anchored(checkpoint.origin, checkpoint.size, str(directory), error)

    def _witnessed(self, reader: Reader, log: Log, note: bytes, witness: Witness) -> Iterator[Anchored]:
        checkpoint = parse_note(note)[1]
        path = note_path(self._kept, checkpoint.origin)
        before = read_note(path)
        known = cosigned_by(before, witness.key) if before is not None else None
        seen = known.checkpoint.size if known is not None else 0
        if known is not None and known.checkpoint == checkpoint:
            return
        try:
            cosigned = witness.add(reader, log.tenant, seen=seen)
            self._keep(path, before, cosigned)
        except AltarError as error:
            yield Anchored(checkpoint.origin, checkpoint.size, witness.key.name, error)
        except OSError as failed:
            problem = ConfigurationError(
                "ENVIRONMENT_ERROR", f"The cosigned checkpoint cannot be kept: {failed.strerror}", ran="no"
            )
            yield Anchored(checkpoint.origin, checkpoint.size, witness.key.name, problem)
        else:
            yield Anchored(checkpoint.origin, parse_note(cosigned)[1].size, witness.key.name)

    def _keep(self, path: Path, before: bytes | None, cosigned: bytes) -> None:
        """Keep a cosigned note, together with the cosignatures that others gave for the same checkpoint."""
        if before is not None:
            with suppress(ValueError):
                cosigned = merged([before, cosigned])
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _replace(path, cosigned)


def anchoring(anchors: Anchors, *, records: Callable[[], Records], every: float) -> Rounds:
    """Do rounds of `anchors` every so many seconds; ``records`` opens the log."""

    def work() -> None:
        reader = records().reader
        try:
            done = anchors.round(reader)
        finally:
            reader.close()
        for each in done:
            _tell(each)

    return Rounds(work, name="altar-anchors", every=every, failed="log cannot be anchored")


def read_witness_file(path: Path, *, timeout: float = 10.0) -> Witness:
    """Make a witness from a file of two lines, its address and its verifier key.

    Raises ConfigurationError: ENVIRONMENT_ERROR when it cannot be read, INVALID_CONFIG for what is in it.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            "ENVIRONMENT_ERROR", f"The witness in {str(path)!r} cannot be read", hint="write its address and its key"
        ) from error
    if len(lines) != 2:
        raise ConfigurationError(
            "INVALID_CONFIG", f"{str(path)!r} describes no witness", hint="write two lines: its address, its key"
        )
    key: WitnessKey = parse_witness_key(lines[1])
    return Witness(lines[0], key, timeout=timeout)


def cosigned_note(log: str | Path, origin: str) -> bytes | None:
    """Give the newest cosigned checkpoint that is kept beside the log at `log`; None when there is none."""
    return read_note(note_path(Path(f"{log}.witness"), origin))


def note_path(directory: Path, origin: str) -> Path:
    """Where the cosigned note of a log is kept."""
    return directory / f"{quote(origin, safe='')}.note"


def read_note(path: Path) -> bytes | None:
    """Give the note in a file; None when there is none, or none that can be read."""
    try:
        note = path.read_bytes()
        parse_note(note)
    except (OSError, ValueError):
        return None
    return note


def _goes_on(reader: Reader, tenant: str, kept: Checkpoint, now: Checkpoint) -> bool:
    """Tell whether the log that is stated now begins with the one that was kept."""
    if kept.origin != now.origin or not 0 < kept.size <= now.size:
        return False
    proof = reader.consistency(tenant, kept.size, now.size) if kept.size < now.size else []
    return verify_consistency(old_size=kept.size, old_root=kept.root, size=now.size, root=now.root, proof=proof)


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(path)


def _tell(each: Anchored) -> None:
    facts = {"origin": each.origin, "size": each.size, "place": each.place}
    if each.error is None:
        _log.info("checkpoint anchored", extra=facts)
    elif each.error.code == "LOG_DAMAGED":
        _log.critical("log was changed", extra={**facts, "reason": str(each.error)})
    else:
        _log.warning("checkpoint not anchored", extra={**facts, "reason": str(each.error)})
