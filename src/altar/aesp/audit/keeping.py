"""How long a log is kept: sealing what is old, removing it after its period, holding it, and forgetting people.

`Keeping` does this to the logs of one host while that runs.
What is older than the period of its tenant is sealed into an archive; the log itself then says so, and that what it
said is removed; only then are the entries emptied, and their hashes stay.
So the log verifies as before, and says of itself what is gone and where it is.
A hold is an entry of the log as well, and forbids both removing and forgetting until it is released.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from altar.adm.canonical import canonical
from altar.adm.errors import AltarError, ConfigurationError, ValidationError
from altar.aesp.audit.archive import Segment, check_archive, position_before, write_archive
from altar.aesp.audit.forgetting import committed, forgotten, require_not_held
from altar.aesp.audit.past import Hold, Past, Stored, past_of
from altar.aesp.audit.record import Log
from altar.aesp.audit.rounds import Rounds
from altar.ledger.entry import Event
from altar.ledger.ledger import Ledger
from altar.ledger.log_store import KEPT

__all__ = ["Keeping", "Retained", "retaining_daily"]

_log = logging.getLogger("altar.audit")

AT_ONCE = 2_000
"""Most entries that are emptied in one transaction, which calls wait for."""
MAX_NAME = 64
MAX_REASON = 256
MAX_HOLDS = 100
_DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Retained:
    """What was done to one log: the archive that was written, if one was; how many entries were removed; why no more.

    ``waits`` is "" when all that is due was done, else "hold" or "anchor".
    """

    tenant: str
    archive: str
    sealed: int
    removed: int
    waits: str


class Keeping:
    """Seals, removes, holds and forgets in the logs of one host. Its methods block; call them in any thread."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        open_reader: Callable[[], Stored],
        archives: Path,
        period_of: Callable[[str], timedelta | None],
        wall_ms: Callable[[], int],
        anchored: Callable[[str], int] | None = None,
    ) -> None:
        """Take the host's ledger, and how it is read.

        `archives` is the directory of the archives.
        `period_of` gives how long the log of a tenant is kept, None for ever.
        `anchored` gives the size up to which the log of an origin is anchored elsewhere, where that is asked for:
        nothing beyond it is removed.
        """
        self._ledger = ledger
        self._open = open_reader
        self._archives = archives
        self._period_of = period_of
        self._wall_ms = wall_ms
        self._anchored = anchored
        self._emptied: dict[str, int] = {}  # up to where nothing is left to remove
        self._one = threading.Lock()  # a hold must not come between the look and the deed

    def is_limited(self, tenant: str) -> bool:
        """Tell whether the log of a tenant is kept for a time, and not for ever."""
        return self._period_of(tenant) is not None

    def holds(self, tenant: str) -> list[Hold]:
        """Give what holds the log of a tenant; empty for one that has no log."""
        with self._reading() as reader:
            return sorted(past_of(reader, tenant).holds.values(), key=lambda each: each.since_ms)

    def hold(self, tenant: str, name: str, *, reason: str, by: str) -> None:
        """Hold a log under a name; `by` is the pseudonym of who asks. Durable on return.

        Raises ValidationError: MALFORMED_REQUEST for a name or a reason that does not fit, RESOURCE_CONFLICT when there
        is a hold of that name, or there are too many.
        """
        _require_words(name, reason)
        with self._one, self._reading() as reader:
            holds = past_of(reader, tenant).holds
            if name in holds or len(holds) >= MAX_HOLDS:
                raise ValidationError(
                    "RESOURCE_CONFLICT",
                    f"There is a hold {name!r} already, or there are {MAX_HOLDS}",
                    ran="no",
                    hint="release it first, or choose another name",
                )
            self._commit("log.held", tenant, name, note=reason, by=by)

    def release(self, tenant: str, name: str, *, by: str) -> None:
        """Release a hold, durable on return; ValidationError UNKNOWN_RESOURCE when there is none of that name."""
        with self._one, self._reading() as reader:
            if name not in past_of(reader, tenant).holds:
                raise ValidationError(
                    "UNKNOWN_RESOURCE", f"There is no hold {name[:MAX_NAME]!r}", ran="no", hint="`altar audit holds`"
                )
            self._commit("log.released", tenant, name, note="", by=by)

    def forget(self, tenant: str, principal: str, *, by: str) -> None:
        """Forget who a pseudonym stands for, at once and for good; durable on return.

        Raises ValidationError: UNKNOWN_RESOURCE when nobody of that name has a pseudonym, RESOURCE_CONFLICT while the
        log of the tenant is held; ExecutionError LOG_UNAVAILABLE when it could not be done, which is safe to repeat.
        """
        subjects = self._ledger.subjects
        with self._one, self._reading() as reader:
            found = None if subjects is None else subjects.find(tenant, principal)
            if subjects is None or found is None:
                raise ValidationError(
                    "UNKNOWN_RESOURCE",
                    "Nobody of that name has a pseudonym in this log",
                    ran="no",
                    hint="one who was forgotten already has none",
                )
            require_not_held(reader, tenant)
            committed(self._ledger, forgotten(found.pseudonym, tenant=tenant, by=by))
            subjects.destroy(tenant, principal)

    def retain(self, tenant: str | None = None) -> list[Retained]:
        """Seal and remove what is due, in the log of one tenant or in all; tells where something was done, or waits.

        Raises ConfigurationError: ENVIRONMENT_ERROR when an archive cannot be written, and what reading the log raises.
        """
        done: list[Retained] = []
        with self._reading() as reader:
            logs = [log for log in reader.logs() if tenant in {None, log.tenant}]
        for log in logs:
            period = self._period_of(log.tenant)
            if period is not None:
                with self._one, self._reading() as reader:
                    one = self._retain_one(reader, log, period)
                if one is not None:
                    done.append(one)
        return done

    def _retain_one(self, reader: Stored, log: Log, period: timedelta) -> Retained | None:
        cutoff = self._wall_ms() - int(period.total_seconds() * 1000)
        stop = min(position_before(reader, log, cutoff), self._ledger.removable(log.tenant))
        past = past_of(reader, log.tenant)
        archive = ""
        if stop > past.sealed and _says_something(reader, log.tenant, past.sealed, stop):
            archive = self._seal(reader, log, past, stop)
            past = Past(stop, past.removed, past.holds, past.rotations)
        stop = min(stop, past.sealed)
        if past.holds:
            return Retained(log.tenant, archive, past.sealed, 0, "hold")
        if stop > past.removed:
            if self._anchored is not None and self._anchored(log.origin) < stop:
                return Retained(log.tenant, archive, past.sealed, 0, "anchor")
            self._commit("log.removed", log.tenant, log.origin, data={"before": cutoff, "stop": stop})
        removed = self._empty(reader, log.tenant, max(stop, past.removed))
        return Retained(log.tenant, archive, past.sealed, removed, "") if archive or removed else None

    def _seal(self, reader: Stored, log: Log, past: Past, stop: int) -> str:
        """Write an archive, prove it, and have the log say so."""
        name = quote(log.tenant, safe="")[:MAX_NAME] or "host"
        target = self._archives / f"{log.log}-{name}-{past.sealed:012d}-{stop:012d}.archive"
        temporary = target.with_name(f".{target.name}.new")
        vkey = self._ledger.vkey_of(log.tenant)
        try:
            self._archives.mkdir(mode=0o700, parents=True, exist_ok=True)
            with temporary.open("wb") as out:
                write_archive(reader, log, out, start=past.sealed, stop=stop, vkey=vkey, rotations=past.rotations)
                out.flush()
                os.fsync(out.fileno())
            segment = check_archive(temporary, vkey=vkey)
            digest = _digest_of(temporary)
            temporary.chmod(0o600)
            temporary.replace(target)
        except OSError as error:
            raise ConfigurationError(
                "ENVIRONMENT_ERROR",
                f"The archive {str(target)!r} cannot be written: {error.strerror}",
                ran="no",
                hint="nothing is removed before it is in an archive",
            ) from error
        finally:
            with suppress(OSError):
                temporary.unlink()
        self._commit("log.sealed", log.tenant, log.origin, data=_sealed(segment, target.name, digest))
        return target.name

    def _empty(self, reader: Stored, tenant: str, stop: int) -> int:
        """Empty the entries before `stop`, as far as they are not; gives how many there were."""
        start = self._emptied.get(tenant, 0)
        left = [at for at, body, _ in reader.stored(tenant, start, stop) if body and not _is_kept(body)]
        if left:
            for at in range(left[0], stop, AT_ONCE):
                _waited(lambda then, at=at: self._ledger.remove(tenant, at, min(at + AT_ONCE, stop), then))  # type: ignore[misc]  # at is bound here
        self._emptied[tenant] = max(start, stop)
        return len(left)

    def _commit(
        self,
        event: str,
        tenant: str,
        subject: str,
        *,
        note: str = "",
        by: str = "",
        data: Mapping[str, Any] | None = None,
    ) -> None:
        said = canonical(dict(data)).decode() if data is not None else ""
        committed(self._ledger, Event(event=event, subject=subject, note=note, tenant=tenant, principal=by, data=said))

    @contextmanager
    def _reading(self) -> Iterator[Stored]:
        reader = self._open()
        try:
            yield reader
        finally:
            reader.close()


def retaining_daily(keeping: Keeping) -> Rounds:
    """Retain at once and then once a day."""

    def work() -> None:
        for each in keeping.retain():
            facts = {"tenant": each.tenant, "archive": each.archive, "removed": each.removed}
            _log.info("log retained", extra={**facts, "waits": each.waits})

    return Rounds(work, name="altar-retention", every=_DAY_SECONDS, failed="log cannot be retained")


def _says_something(reader: Stored, tenant: str, start: int, stop: int) -> bool:
    """Tell whether there is more between two positions than entries about the log itself."""
    return any(
        not _is_kept(body) and orjson.loads(body)["kind"] not in {"start", "stop"}
        for _, body in reader.entries(tenant, start, stop)
    )


def _is_kept(body: bytes) -> bool:
    return any(mark in body for mark in KEPT)


def _sealed(segment: Segment, file: str, digest: str) -> dict[str, Any]:
    root = base64.b64encode(segment.stop_root).decode()
    where = {"start": segment.start, "stop": segment.stop}
    return {"digest": digest, "file": file, "kept": segment.kept, "root": root, **where}


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _require_words(name: str, reason: str) -> None:
    plain = name.isascii() and name.isprintable() and " " not in name
    if not (0 < len(name) <= MAX_NAME and plain and len(reason) <= MAX_REASON and reason.isprintable()):
        raise ValidationError(
            "MALFORMED_REQUEST",
            f"{name[:MAX_NAME]!r} cannot name a hold, or its reason is none",
            ran="no",
            hint=f"a name has 1 to {MAX_NAME} letters without blanks, a reason at most {MAX_REASON} in one line",
        )


def _waited(work: Callable[[Callable[[int, AltarError | None], None]], None]) -> None:
    """Hand something to the ledger and wait until it is durable; raises what it answers."""
    done = threading.Event()
    answers: list[AltarError | None] = []

    def then(_seq: int, error: AltarError | None) -> None:
        answers.append(error)
        done.set()

    work(then)
    done.wait()
    if answers[0] is not None:
        raise answers[0]
