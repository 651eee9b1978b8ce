"""One permit, and how many there may be: what `altar.grid.host.permits` keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from altar.adm.errors import AltarError

if TYPE_CHECKING:
    from altar.grid.reports import Report
    from altar.later.invocation import Invocation

__all__ = ["Permit", "PermitLimits", "Reported"]

Reported = Callable[[AltarError | None], None]
"""Told None when a report stands in the log, or why it was rejected; ``retry_after`` says that it may be sent again."""


@dataclass(frozen=True, slots=True)
class PermitLimits:
    """How many permits may be open and for how long.

    ``principals`` may run tools where they are: names of certificates, or ``*`` for each.
    ``ttl`` is the time within which a function must begin, ``close`` the time within which its outcome must be here.
    """

    principals: frozenset[str] = frozenset()
    ttl: timedelta = timedelta(seconds=300)
    close: timedelta = timedelta(seconds=600)
    most: int = 10_000
    per_principal: int = 1_000


@dataclass(slots=True)
class Permit:
    """One open permit; ``report`` is the one that is on its way into the log, and ``told`` who waits for it.

    ``call`` is there for an approved one, which is used by it.
    ``who`` proved to be its principal; ``withdrawn`` is whether the record says that they may not act any more.
    """

    invocation: str
    principal: str
    call_id: str
    intent: int
    since: float
    who: Any = None
    withdrawn: bool = False
    report: Report | None = None
    told: list[Reported] = field(default_factory=list)
    call: Invocation | None = None
