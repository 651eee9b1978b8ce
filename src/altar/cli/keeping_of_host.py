"""How long the logs of a host are kept: the settings, joined with its ledger; and a new key for them while it runs."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from altar.adm.errors import AltarError

if TYPE_CHECKING:
    from altar.aesp.audit.keeping import Keeping
    from altar.ledger.ledger import Ledger
    from altar.settings import Settings

__all__ = ["keeping_of_host", "retaining", "rotated_by_signal"]

_log = logging.getLogger("altar.audit")


def keeping_of_host(settings: Settings, ledger: Ledger) -> Keeping:
    """What seals, removes, holds and forgets in the logs of a host; it does nothing by itself."""
    from altar.aesp.audit.keeping import Keeping
    from altar.ledger.reader import LogReader

    audit = settings.audit
    beside = settings.file.parent if settings.file is not None else Path.cwd()

    def period_of(tenant: str) -> timedelta | None:
        days = audit.retain_tenants.get(tenant, audit.retain_days)
        return timedelta(days=days) if days else None

    return Keeping(
        ledger,
        open_reader=lambda: LogReader.open(ledger.place),
        archives=beside / audit.archives if audit.archives is not None else Path(f"{ledger.path}.archives"),
        period_of=period_of,
        wall_ms=ledger.wall_ms,
        anchored=_anchored(settings, ledger, beside),
    )


@contextlib.contextmanager
def retaining(settings: Settings, keeping: Keeping) -> Iterator[None]:
    """While the block runs, what is past its period is sealed and removed once a day; if the settings say a period."""
    if not (settings.audit.retain_days or settings.audit.retain_tenants):
        yield
        return
    from altar.aesp.audit.keeping import retaining_daily

    with retaining_daily(keeping):
        yield


def rotated_by_signal(settings: Settings, ledger: Ledger, *, then: Callable[[], None]) -> Callable[[], None]:
    """What a host does at SIGHUP about its signing key: where a new one waits, it takes the place of the old.

    The answer is called on the loop, and calls `then`; what goes wrong is logged, and the old key goes on signing.
    """
    path = settings.host.signing_key

    def rotate() -> None:
        from altar.ledger.rotation import adopt_next, next_key
        from altar.ledger.signer import FileSigner

        then()
        if not next_key(path).exists():
            return

        def taken(_seq: int, error: AltarError | None) -> None:
            if error is not None:
                _log.error("key of the log not changed", extra={"reason": str(error)})
                return
            try:
                adopt_next(path)
            except OSError as failed:
                _log.error("new key of the log is not in its place yet", extra={"reason": str(failed)})
                return
            with contextlib.suppress(OSError):
                path.with_suffix(".vkey").write_text(ledger.vkey + "\n")
            _log.info("key of the log changed", extra={"vkey": ledger.vkey})

        try:
            ledger.rotate(FileSigner.open(next_key(path), name=ledger.origin), taken)
        except AltarError as error:
            _log.error("key of the log not changed", extra={"reason": str(error)})

    return rotate


def _anchored(settings: Settings, ledger: Ledger, beside: Path) -> Callable[[str], int] | None:
    """What tells up to which size every place that the settings name has a log's checkpoint; None without places."""
    audit = settings.audit
    if audit.anchor is None and not audit.witnesses:
        return None
    from altar.aesp.audit.anchors import note_path, read_note, read_witness_file
    from altar.aesp.audit.witness import cosigned_by
    from altar.ledger.log import parse_note

    directory = audit.anchor
    keys = [read_witness_file(beside / file).key for file in audit.witnesses]

    def size_of(origin: str) -> int:
        sizes = []
        if directory is not None:
            note = read_note(directory / f"{quote(origin, safe='')}.checkpoint")
            sizes.append(parse_note(note)[1].size if note is not None else 0)
        kept = read_note(note_path(Path(f"{ledger.path}.witness"), origin)) if keys else None
        for key in keys:
            cosigned = cosigned_by(kept, key) if kept is not None else None
            sizes.append(cosigned.checkpoint.size if cosigned is not None else 0)
        return min(sizes)

    return size_of
