"""Refused calls, in the record without flooding it: `call.denied`, at once the first time, then as a count.

A refusal costs its caller nothing, so a record of each one would let anybody fill the log and the disk.
The first refusal of a principal for a reason is recorded at once; what follows within a minute becomes one entry with
their number.
A tenant with more different refusals than are kept apart gets one entry for all others together, and so does one whose
log has no room left for today.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import orjson

from altar.adm.canonical import JsonValue, canonical
from altar.adm.errors import AltarError
from altar.ledger.entry import Event

__all__ = ["MAX_KINDS", "OTHERS", "WINDOW", "Denials"]

WINDOW = 60.0
"""Seconds within which repeats are counted instead of recorded."""
MAX_KINDS = 1_000
"""How many (tenant, principal, code) are kept apart at a time."""
MAX_TENANTS = 1_000
"""How many tenants have an entry of their own for what is beyond that; those after them share the host's."""
OTHERS = "others"
"""The subject of an entry that stands for refusals of several principals or reasons."""

_Kind = tuple[str, str, str]


@dataclass(slots=True)
class _Counted:
    """One kind of refusal since it was last recorded: how many, since when, and the newest of them."""

    since: float
    last: Event
    count: int = 0


class Denials:
    """Counts refusals and hands over what is to be recorded. For one thread, the host's loop.

    ``note`` is given each event that is to be recorded.
    ``clock`` counts seconds, ``window`` is how many of them become one entry.
    ``is_full`` tells whether the log of a tenant has no room left: then all its refusals are of one kind.
    """

    def __init__(
        self,
        note: Callable[[Event], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        window: float = WINDOW,
        is_full: Callable[[str], bool] | None = None,
    ) -> None:
        self._note = note
        self._clock = clock
        self._window = window
        self._is_full = is_full
        self._kinds: dict[_Kind, _Counted] = {}
        self._due = 0.0

    def denied(
        self,
        *,
        tenant: str,
        principal: str,
        code: str,
        resource: str = "",
        action: str = "",
        session: str = "",
        correlation: str = "",
        data: Mapping[str, str] | None = None,
    ) -> None:
        """A call was refused, to a principal who has proved who they are; ``principal`` is "" for one who has not.

        What the caller chose the words of (``resource``, ``correlation``) is cut to what an entry holds.
        """
        kind = self._kind_of(tenant, principal, code)
        counted = self._kinds.get(kind)
        now = self._clock()
        event = _event(kind, resource, action, session, correlation)
        if data is not None and event.code:
            event = _with_data(event, data)
        if counted is None:
            self._kinds[kind] = _Counted(now, event)
            if len(self._kinds) == 1:
                self._due = now + self._window
            self._note(event)
        else:
            counted.count += 1
            counted.last = event

    def sweep(self) -> None:
        """Record what has been counted for a window; cheap when nothing is due."""
        if not self._kinds or (now := self._clock()) < self._due:
            return
        for kind, counted in list(self._kinds.items()):
            if now - counted.since >= self._window:
                self._tell(counted)
                if counted.count:  # it goes on: what comes next is counted, and not recorded at once
                    counted.count, counted.since = 0, now
                else:
                    del self._kinds[kind]
        self._due = min((each.since for each in self._kinds.values()), default=now) + self._window

    def flush(self) -> None:
        """Record all that is counted; for the end of a host."""
        for counted in self._kinds.values():
            self._tell(counted)
        self._kinds.clear()

    def _kind_of(self, tenant: str, principal: str, code: str) -> _Kind:
        kind = (tenant, principal, code)
        if kind in self._kinds:
            return kind
        is_full = self._is_full is not None and self._is_full(tenant)
        if len(self._kinds) < MAX_KINDS and not is_full:
            return kind
        others = (tenant, "", OTHERS)
        if others in self._kinds or len(self._kinds) < MAX_KINDS + MAX_TENANTS:
            return others
        return ("", "", OTHERS)

    def _tell(self, counted: _Counted) -> None:
        if counted.count:
            last = counted.last
            self._note(
                Event(
                    event="call.denied",
                    subject=last.subject,
                    note="more of the same",
                    tenant=last.tenant,
                    principal=last.principal,
                    action=last.action,
                    outcome="DENIED",
                    code=last.code,
                    count=counted.count,
                )
            )


def _event(kind: _Kind, resource: str, action: str, session: str, correlation: str) -> Event:
    tenant, principal, code = kind
    if code == OTHERS:
        return Event(event="call.denied", subject=OTHERS, tenant=tenant, outcome="DENIED")
    return Event(
        event="call.denied",
        subject=_held(resource),
        tenant=tenant,
        principal=principal,
        session=_held(session),
        correlation=_held(correlation),
        action=action,
        resource=_held(resource),
        outcome="DENIED",
        code=code,
    )


def _with_data(event: Event, data: Mapping[str, str]) -> Event:
    """Give the event with what is known of the refusal; less of it when all would not fit into one entry."""
    for left_out in ((), ("facts",), ("facts", "call", "version")):
        said: dict[str, JsonValue] = {name: text for name, text in data.items() if text and name not in left_out}
        try:
            return replace(event, data=canonical(said).decode())
        except AltarError:
            continue
    return event


def _held(text: str) -> str:
    """Give text of a caller as an entry can hold it: at most 128 characters, nothing that is no text.

    Characters that take many bytes shorten it further, so that four such texts always fit into one entry: a refusal
    that could not be recorded would be one that nobody sees.
    """
    held = text[:128].encode("utf-8", "replace").decode()
    if not (held.isascii() and held.isprintable()):
        while len(orjson.dumps(held)) > _HELD_BYTES:
            held = held[: len(held) * 3 // 4]
    return held


_HELD_BYTES = 300
