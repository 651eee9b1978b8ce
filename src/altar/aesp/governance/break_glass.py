"""Break-glass: for a while, calls of some tools of a tenant pass without approval, and everybody hears of it.

It opens only when an alarm was taken by somebody; it ends by itself after an hour at most.
A policy that denies goes on denying, unless it says itself that a break-glass passes over it.
What runs under it is marked in the record, call by call.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import orjson

from altar.adm.canonical import canonical
from altar.adm.errors import AltarError, AuthorizationError, ExecutionError, ValidationError
from altar.aesp.permissions import Scope, parse_scope
from altar.ledger.entry import Entry, Event

if TYPE_CHECKING:
    from altar.aesp.governance.restoring import Told
    from altar.later.invocation import Invocation
    from altar.ledger.ledger import Then
    from altar.ledger.subjects import Subjects

__all__ = ["Alarm", "BreakGlass", "Glass"]

_log = logging.getLogger("altar.aesp")

LONGEST_SECONDS = 3_600
MOST_OPEN = 8
"""How many one tenant has open at a time."""
SHORTEST_REASON, MOST_REASON_BYTES = 10, 400


class Alarm(Protocol):
    """Tells somebody outside of this host."""

    async def sound(self, facts: Mapping[str, str | int]) -> None:
        """Return when somebody has taken it; raises DEPENDENCY_UNAVAILABLE when nobody has."""
        ...


@dataclass(slots=True, eq=False)
class Glass:
    """One that is open: for whose tools, why, by whom, until when (milliseconds since 1970), how often used."""

    id: str
    tenant: str
    tools: str
    scope: Scope
    reason: str
    principal: str
    opened_ms: int
    until_ms: int
    used: int = 0
    place: int = -1


class BreakGlass:
    """What is open on this host. For its event loop; ``now`` gives seconds since 1970."""

    def __init__(self, alarm: Alarm, *, now: Callable[[], float]) -> None:
        self._alarm = alarm
        self._now = now
        self._open: dict[str, Glass] = {}
        self._last = ""
        self._used: Counter[str] = Counter()
        self._commit: Callable[[Sequence[Entry], Then], None] | None = None

    def join(self, *, commit: Callable[[Sequence[Entry], Then], None]) -> None:
        """Say where to record; nothing opens before."""
        self._commit = commit

    def take_up(self, events: Iterable[Told], subjects: Subjects) -> None:
        """Go on with what earlier processes of this host had open."""
        for place, tenant, said in events:
            name, glass_id = str(said["event"]), str(said["subject"])
            if name == "breakglass.opened":
                data, who = orjson.loads(str(said["data"])), subjects.name_of(str(said["principal"]))
                self._open[glass_id] = Glass(
                    glass_id,
                    tenant,
                    str(data["tools"]),
                    parse_scope(f"tools/{data['tools']}"),
                    str(data["reason"]),
                    who[1] if who is not None else str(said["principal"]),
                    int(said["time"]),
                    int(data["until"]),
                    place=place,
                )
            elif name == "breakglass.closed":
                self._open.pop(glass_id, None)

    def floor(self, size: int) -> int:
        """From which commit on the log tells of what is open; ``size`` when nothing is."""
        return min((glass.place for glass in self._open.values()), default=size)

    def covers(self, invocation: Invocation) -> bool:
        """Whether one is open for this call; that it was used is recorded then, once for each call."""
        if not self._open:
            return False
        if self._last and self._last == invocation.invocation_id:
            return True
        now_ms = self._now() * 1000
        for glass in self._open.values():
            is_for = glass.tenant == invocation.tenant and glass.scope.covers("tools", invocation.name)
            if is_for and now_ms < glass.until_ms:
                self._last = invocation.invocation_id
                glass.used += 1
                self._used[glass.tenant] += 1
                self._note(glass, "breakglass.used", invocation.principal, invocation=invocation)
                return True
        return False

    def has_let_pass(self, invocation: Invocation) -> bool:
        """Whether this call, the last that was asked about, passed under one."""
        return bool(self._last) and self._last == invocation.invocation_id

    def of(self, tenant: str) -> tuple[Glass, ...]:
        """What is open in a tenant."""
        return tuple(glass for glass in self._open.values() if glass.tenant == tenant and not self._is_over(glass))

    def figures(self) -> dict[str, dict[str, int]]:
        """By tenant: how many are open, and how many calls passed under one since this process began."""
        still = Counter(glass.tenant for glass in self._open.values() if not self._is_over(glass))
        return {"break_glass_open": dict(still), "break_glass_calls": dict(self._used)}

    async def open(self, *, tenant: str, tools: str, reason: str, seconds: int, principal: str) -> Glass:
        """Open one for the tools whose names the pattern matches, when an alarm was taken.

        Raises MALFORMED_REQUEST for what is no pattern, no reason or too long, RESOURCE_EXHAUSTED for too many at a
        time, DEPENDENCY_UNAVAILABLE when the alarm reached nobody.
        """
        glass = self._asked(tenant=tenant, tools=tools, reason=reason, seconds=seconds, principal=principal)
        await self._alarm.sound(_facts(glass))
        await self._durable(glass, "breakglass.opened", principal)
        self._open[glass.id] = glass
        _log.error(
            "break-glass opened", extra={"id": glass.id, "tenant": tenant, "tools": tools, "until": glass.until_ms}
        )
        return glass

    async def close(self, glass_id: str, *, tenant: str, principal: str) -> Glass:
        """End one before its time; UNKNOWN_RESOURCE when there is none."""
        glass = self._open.get(glass_id)
        if glass is None or glass.tenant != tenant or self._is_over(glass):
            raise ValidationError("UNKNOWN_RESOURCE", f"No break-glass {glass_id[:64]!r} is open", ran="no")
        del self._open[glass_id]
        await self._durable(glass, "breakglass.closed", principal)
        _log.error("break-glass closed", extra={"id": glass.id, "tenant": tenant, "used": glass.used})
        return glass

    def sweep(self) -> None:
        """End what is over. Called some twenty times a second."""
        for glass in [one for one in self._open.values() if self._is_over(one)] if self._open else ():
            del self._open[glass.id]
            self._note(glass, "breakglass.closed", "")
            _log.error("break-glass closed", extra={"id": glass.id, "tenant": glass.tenant, "used": glass.used})

    def _asked(self, *, tenant: str, tools: str, reason: str, seconds: int, principal: str) -> Glass:
        if self._commit is None:
            raise AuthorizationError("NOT_ACTIVE", "The host is not ready yet", ran="no")
        reason = reason.strip()
        if len(reason) < SHORTEST_REASON or len(reason.encode()) > MOST_REASON_BYTES:
            raise ValidationError(
                "MALFORMED_REQUEST",
                f"A break-glass needs a reason of {SHORTEST_REASON} to {MOST_REASON_BYTES} characters",
                ran="no",
                path="/reason",
            )
        if not 0 < seconds <= LONGEST_SECONDS:
            raise ValidationError(
                "MALFORMED_REQUEST",
                f"A break-glass lasts 1 to {LONGEST_SECONDS} seconds, not {seconds}",
                ran="no",
                path="/seconds",
            )
        if len(self.of(tenant)) >= MOST_OPEN:
            raise ExecutionError(
                "RESOURCE_EXHAUSTED",
                f"{MOST_OPEN} are open already",
                ran="no",
                hint="close one: altar break-glass close",
            )
        now_ms = int(self._now() * 1000)
        glass_id = f"glass-{secrets.token_hex(8)}"
        scope = parse_scope(f"tools/{tools}")
        return Glass(glass_id, tenant, tools, scope, reason, principal, now_ms, now_ms + seconds * 1000)

    def _is_over(self, glass: Glass) -> bool:
        return self._now() * 1000 >= glass.until_ms

    def _note(self, glass: Glass, name: str, principal: str, *, invocation: Invocation | None = None) -> None:
        if self._commit is not None:
            self._commit([_event(glass, name, principal, invocation=invocation)], _nobody)

    async def _durable(self, glass: Glass, name: str, principal: str) -> None:
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def then(place: int, error: AltarError | None) -> None:
            if name == "breakglass.opened":
                glass.place = place
            if not durable.done():
                durable.set_result(None) if error is None else durable.set_exception(error)

        if self._commit is not None:
            self._commit([_event(glass, name, principal)], then)
            await durable


def _facts(glass: Glass) -> dict[str, str | int]:
    return {
        "break_glass": glass.id,
        "reason": glass.reason,
        "tenant": glass.tenant,
        "tools": glass.tools,
        "until_ms": glass.until_ms,
    }


def _event(glass: Glass, name: str, principal: str, *, invocation: Invocation | None = None) -> Event:
    data: dict[str, str | int] = {"tools": glass.tools}
    if name == "breakglass.opened":
        data |= {"reason": glass.reason, "until": glass.until_ms}
    elif name == "breakglass.closed":
        data |= {"used": glass.used}
    elif invocation is not None:
        data |= {"invocation": invocation.invocation_id}
    return Event(
        event=name,
        subject=glass.id,
        tenant=glass.tenant,
        principal=principal,
        session=invocation.session_id if invocation is not None else "",
        correlation=invocation.correlation_id if invocation is not None else "",
        action="break_glass",
        resource=f"tools/{invocation.name if invocation is not None else glass.tools}",
        outcome="SUCCESS",
        data=canonical(data).decode(),
    )


def _nobody(_first: int, _error: AltarError | None) -> None:
    """Nobody waits for it to be durable; a ledger that fails has told the host already."""
