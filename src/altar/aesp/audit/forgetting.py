"""Forgetting who a pseudonym of the log stands for: recorded first, then done for good.

The entries of the subject stay and verify; nobody can tell whose they are, nor confirm what was in them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from altar import __version__
from altar.adm.errors import AltarError, ValidationError
from altar.aesp.audit.past import Stored, past_of
from altar.ledger.entry import Event
from altar.ledger.ledger import Ledger
from altar.ledger.places import Place, beside
from altar.ledger.reader import LogReader
from altar.ledger.rotation import signer_in_use
from altar.ledger.subjects import read_names

__all__ = ["committed", "forget_offline", "forgotten", "require_not_held"]


def forgotten(pseudonym: str, *, tenant: str, by: str) -> Event:
    """The entry that says that the subject of a pseudonym was forgotten; `by` is who asked, "" for the operator."""
    return Event(
        event="admin.subject_forgotten",
        subject=pseudonym,
        tenant=tenant,
        principal=by,
        action="forget",
        resource="audit/subjects",
        outcome="SUCCESS",
    )


def forget_offline(log: Place, principal: str, *, signing_key: Path, host: str, wall_ms: Callable[[], int]) -> bool:
    """Forget a principal, `<tenant>/<name>`, while its host is stopped.

    Raises ValidationError: UNKNOWN_RESOURCE when nobody of that name has a pseudonym, RESOURCE_CONFLICT while the log
    of the tenant is held; ConfigurationError ENVIRONMENT_ERROR while a host has the log open.
    """
    found = next(((p, tenant) for p, (tenant, name) in read_names(beside(log)).items() if name == principal), None)
    if found is None:
        raise ValidationError(
            "UNKNOWN_RESOURCE",
            f"Nobody called {principal!r} has a pseudonym in this log",
            ran="no",
            hint="write <tenant>/<name>; one who was forgotten already has none",
        )
    pseudonym, tenant = found
    with LogReader.open(log) as reader:
        require_not_held(reader, tenant)
    origin = f"altar.local/{host}"
    failures: list[AltarError] = []
    ledger = Ledger.open(
        log,
        signer=signer_in_use(signing_key, name=origin, log=log),
        origin=origin,
        host=host,
        software=f"altar {__version__}",
        wall_ms=wall_ms,
        on_failure=failures.append,
        per_tenant=True,
        pseudonyms=True,
    )
    try:
        committed(ledger, forgotten(pseudonym, tenant=tenant, by=""))
        assert ledger.subjects is not None  # noqa: S101 - opened so, a line above
        return ledger.subjects.destroy(tenant, principal)
    finally:
        ledger.close()


def require_not_held(reader: Stored, tenant: str) -> None:
    """Return when nothing holds the log of a tenant; ValidationError RESOURCE_CONFLICT otherwise."""
    holds = past_of(reader, tenant).holds
    if holds:
        raise ValidationError(
            "RESOURCE_CONFLICT",
            f"The log of this tenant is held by {', '.join(sorted(holds))[:200]}: nobody in it may be forgotten",
            ran="no",
            hint="release the hold first: `altar audit release`",
        )


def committed(ledger: Ledger, event: Event) -> None:
    """Commit an entry and wait until it is durable; raises LOG_UNAVAILABLE when that cannot be."""
    done = threading.Event()
    answers: list[AltarError | None] = []

    def then(_seq: int, error: AltarError | None) -> None:
        answers.append(error)
        done.set()

    ledger.commit([event], then)
    done.wait()
    if answers[0] is not None:
        raise answers[0]
