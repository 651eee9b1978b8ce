"""The gate of a caller that runs tools itself: asks its host for each call, and keeps a journal of what it ran.

A call goes through these states, and each step waits for the one before:

asking → the host has given a permit → beginning → the journal has it on the disk → running → ended → the journal has
that → answered, and reported to the host for as long as it takes.

What cannot be written before it runs does not run; what cannot be written afterwards is answered when the host has it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol

from altar.adm.canonical import digest
from altar.adm.errors import AltarError, ExecutionError, Ran
from altar.grid.client.fallback import Fallback, is_unreachable
from altar.grid.client.governed_link import GovernedLink, Grant
from altar.grid.client.journal import Began, Ended
from altar.grid.client.journal import Call as Journaled
from altar.grid.client.journals import Journals, Place
from altar.later.beside import checked_by
from altar.later.invocation import Answer, Invocation, Outcome, call_facts, late, too_large

if TYPE_CHECKING:
    from altar.later.gate import Gate

__all__ = ["HostGate", "Reach"]

_log = logging.getLogger("altar.grid")

MOST = 1_000
"""Calls of one session that run here, or that the host has not recorded yet."""
WITHHELD_SECONDS = 10.0
"""How long a result that the journal did not take waits for the host to record it."""

_MOST_ASKED = 3
"""Permits that one call is given before it is late; each but the first because the one before ended too soon."""

Run = Callable[[Sequence[Invocation]], None]


class Reach(Protocol):
    """What the gate needs to know of the connection to the host."""

    @property
    def connected(self) -> bool:
        """Whether there is a stream now."""
        ...

    @property
    def max_message_bytes(self) -> int:
        """The host's limit for arguments and results."""
        ...

    @property
    def takes_blobs(self) -> bool:
        """Whether the host takes large bytes beside the JSON; so while there is no connection."""
        ...

    @property
    def session_id(self) -> str:
        """The session on the host."""
        ...

    def reach(self, then: Callable[[AltarError | None], None]) -> None:
        """Try to connect, once; ``then`` hears how that went."""
        ...

    def find_again(self, invocation: Invocation) -> None:
        """Find the contract of a call among those that the host has told since; raises as a catalog does."""
        ...


class HostGate:
    """Decides by asking the host, for calls that were found to run here; the others pass on to the host as they are.

    ``inner`` is the gate of the session, which is asked first and told everything.
    """

    def __init__(
        self,
        inner: Gate,
        *,
        link: GovernedLink,
        journals: Journals,
        reach: Reach,
        fallback: Fallback,
        wall_ms: Callable[[], int],
    ) -> None:
        self._inner = inner
        self.link = link
        self.journals = journals
        self.reach = reach
        self.fallback = fallback
        self.wall_ms = wall_ms
        self.calls: dict[Invocation, _Call] = {}
        self._withheld: list[tuple[float, Callable[[], None]]] = []

    def authorize(self, invocation: Invocation) -> None:
        """Refuse what the session's own gate refuses, what is late or too large, and what is more than may wait."""
        self._inner.authorize(invocation)
        if invocation.where:
            if invocation.blobs is not None and not self.reach.takes_blobs:
                invocation.arguments, invocation.blobs, invocation.values = invocation.text, None, None
            _require_fit(invocation, self.reach.max_message_bytes)
            waiting = len(self.calls) + self.link.unanswered
            if waiting >= MOST:
                raise ExecutionError(
                    "RESOURCE_EXHAUSTED",
                    f"{waiting} calls run in this process, or are not recorded by the host yet",
                    ran="no",
                    hint="wait until the host can be reached and has recorded them",
                    retry_after=timedelta(seconds=1),
                )

    def intend(self, frame: Sequence[Invocation], run: Run, refuse: Answer) -> None:
        """Run what goes to the grid at once, and the others each when it has its permit and its line in the journal."""

        def admitted(frame: Sequence[Invocation]) -> None:
            others = []
            for invocation in frame:
                spare = self._spare(invocation)
                if invocation.where or spare is not None:
                    self.calls[invocation] = call = _Call(self, invocation, run, refuse, spare)
                    call.start()
                else:
                    others.append(invocation)
            if others:
                run(others)

        self._inner.intend(frame, admitted, refuse)

    def record(self, invocation: Invocation, outcome: Outcome, answer: Answer) -> None:
        """Journal how a call ended that ran here, then answer, then report; others are answered as they are."""
        call = self.calls.get(invocation)
        if call is None:
            self._inner.record(invocation, outcome, answer)
            return
        limit = self.reach.max_message_bytes
        if outcome.size > limit:
            outcome = Outcome(error=too_large("contents of the result", outcome.size, limit, ran="yes"))
        self._inner.record(invocation, outcome, lambda _, told: call.ended(told, answer))

    def cancel(self, invocation: Invocation) -> bool:
        """Answer a call that has not begun; false for one that runs, or that is not ours."""
        call = self.calls.get(invocation)
        return call is not None and call.cancel()

    def sweep(self, now: float) -> None:
        """Answer what has waited long enough for the host to record it."""
        for due, give_up in [each for each in self._withheld if each[0] <= now]:
            self._withheld.remove((due, give_up))
            give_up()

    def withhold(self, give_up: Callable[[], None]) -> Callable[[], None]:
        """Do this in a while, unless what is returned is called before."""
        waiting = (time.monotonic() + WITHHELD_SECONDS, give_up)
        self._withheld.append(waiting)
        return lambda: self._withheld.remove(waiting) if waiting in self._withheld else None

    def ship(self, place: Place, journaled: Journaled, told: Callable[[AltarError | None], None] | None = None) -> None:
        """Report a call to the host, for as long as it takes, and note what it says."""

        def taken(error: AltarError | None) -> None:
            if error is not None:
                _log.error(
                    "report disputed",
                    extra={"journal": place.journal, "position": place.position, "code": error.code},
                )
            self.journals.taken(place, disputed="" if error is None else error.code)
            if told is not None:
                told(error)

        self.link.report(journaled.report(place.journal), taken)

    def dropped(self, invocation: Invocation, error: AltarError, refuse: Answer) -> None:
        """Answer a call that did not run; the session's own gate hears of it as of any that fails."""
        self.calls.pop(invocation, None)
        self._inner.record(invocation, Outcome(error=error), refuse)

    def _spare(self, invocation: Invocation) -> Any:
        """What may run here should the host be out of reach; None while it is in reach, or when nothing may."""
        if not self.fallback or self.reach.connected or invocation.chunks is not None or invocation.once:
            return None
        known = getattr(invocation.contract, "digest", "")
        return self.fallback.tool(invocation.name, invocation.version, digest=known)


class _Call:
    """One call on its way through the gate."""

    __slots__ = (
        "_asked",
        "_began",
        "_cancelled",
        "_gate",
        "_grant",
        "_invocation",
        "_number",
        "_place",
        "_refuse",
        "_run",
        "_runs",
        "_spare",
    )

    def __init__(self, gate: HostGate, invocation: Invocation, run: Run, refuse: Answer, spare: Any) -> None:
        self._gate = gate
        self._invocation = invocation
        self._run = run
        self._refuse = refuse
        self._spare = spare
        self._number = 0
        self._asked = 0
        self._grant: Grant | None = None
        self._place: Place | None = None
        self._began: Began | None = None
        self._cancelled = False
        self._runs = False

    def start(self) -> None:
        """Ask the host, once it is known to be in reach where the call could do without it."""
        if self._spare is not None:
            self._gate.reach.reach(self._reached)
        else:
            self._ask()

    def cancel(self) -> bool:
        """Answer as cancelled, now or as soon as it is known that nothing runs; false when the function runs."""
        if self._runs:
            return False
        if not self._cancelled:
            self._cancelled = True
            if self._number and self._gate.link.withdraw(self._number):
                self._drop(_cancelled())
        return True

    def ended(self, outcome: Outcome, answer: Answer) -> None:
        """The function has ended, or was kept from running: journal that, then answer, then report."""
        gate, place, began = self._gate, *self._known()
        error = outcome.error
        said: tuple[str, Ran, str] = (
            ("", "yes", digest(outcome.content)) if error is None else (error.code, error.ran, "")
        )
        ended = self._end(*said)
        journaled = Journaled(began, ended)

        def written(failed: OSError | None) -> None:
            gate.calls.pop(self._invocation, None)
            if failed is None:
                gate.ship(place, journaled)
                answer(self._invocation, outcome)
            else:
                _log.error("journal not written", extra={"journal": place.journal, "reason": str(failed)})
                self._answer_when_logged(place, journaled, outcome, answer)

        gate.journals.end(place, ended, written)

    # ------------------------------------------------------------------------------------------------- before it runs

    def _reached(self, error: AltarError | None) -> None:
        """The host is in reach, or no connection could be made, which alone lets the call run without it."""
        if self._cancelled:
            self._drop(_cancelled())
        elif error is None:
            self._go_on()
        elif not is_unreachable(error):
            self._drop(error)
        else:
            self._fall_back()

    def _go_on(self) -> None:
        """The host was in reach after all: the call goes where it would have gone."""
        invocation = self._invocation
        try:
            if not invocation.where:
                self._gate.reach.find_again(invocation)
        except AltarError as refused:
            self._drop(refused)
            return
        if invocation.where:
            self._ask()
        else:
            del self._gate.calls[invocation]
            self._run((invocation,))

    def _fall_back(self) -> None:
        invocation, spare = self._invocation, self._spare
        try:
            invocation.values = checked_by(spare, invocation)
            _require_fit(invocation, self._gate.reach.max_message_bytes)
        except AltarError as refused:
            self._drop(refused)
            return
        invocation.contract, invocation.version, invocation.where = spare, spare.version, "fallback"
        _log.warning("no host in reach, running here", extra=call_facts(invocation))
        self._begin("")

    def _ask(self) -> None:
        self._asked += 1
        self._number = self._gate.link.ask(self._invocation, self._decided, self._unused)

    def _decided(self, said: Grant | AltarError) -> None:
        if isinstance(said, Grant):
            self._grant = said
            self._invocation.invocation_id, self._invocation.variables = said.permit, said.variables
            self._begin(said.permit)
        else:
            self._drop(said)

    def _unused(self, grant: Grant) -> None:
        """A permit came for a call that nobody waits for: nothing ran, and nothing will."""
        place = self._gate.journals.place()
        ended = Ended(place.position, "ERROR", "CANCELLED", "no", "", self._gate.wall_ms())
        self._gate.ship(place, Journaled(self._beginning(place, grant.permit), ended))

    def _begin(self, permit: str) -> None:
        self._place = place = self._gate.journals.place()
        self._began = self._beginning(place, permit)
        self._gate.journals.begin(place, self._began, self._begun)

    def _begun(self, failed: OSError | None) -> None:
        """The journal has the call, and it may run; or not, and it must not."""
        place, began = self._known()
        if failed is not None:
            self._gate.ship(place, Journaled(began, self._end("LOG_UNAVAILABLE", "no", "")))
            self._drop(_no_room(failed))
        elif self._cancelled:
            self._not_run("CANCELLED")
            self._drop(_cancelled())
        elif self._grant is not None and time.monotonic() >= self._grant.until:
            self._not_run("TIMEOUT")  # never on a permit that has ended: another is asked for
            self._place = self._began = self._grant = None
            if self._asked < _MOST_ASKED:
                self._ask()
            else:
                self._drop(late(self._invocation, ran="no"))
        else:
            self._runs = True
            self._run((self._invocation,))

    def _not_run(self, code: str) -> None:
        """Give the permit back: nothing ran, and nothing will."""
        place, began = self._known()
        journaled = Journaled(began, self._end(code, "no", ""))
        self._gate.journals.end(place, self._end(code, "no", ""), lambda _: self._gate.ship(place, journaled))

    def _drop(self, error: AltarError) -> None:
        """Answer a call that did not run."""
        self._gate.dropped(self._invocation, error, self._refuse)

    # -------------------------------------------------------------------------------------------------- after it ran

    def _answer_when_logged(self, place: Place, journaled: Journaled, outcome: Outcome, answer: Answer) -> None:
        """Answer when the host has recorded the call; when it does not in time, its outcome is not known to anybody."""
        answered = False

        def settle(told: Outcome) -> None:
            nonlocal answered
            if not answered:
                answered = True
                forget()
                answer(self._invocation, told)

        forget = self._gate.withhold(lambda: settle(Outcome(error=_withheld())))
        self._gate.ship(
            place, journaled, lambda error: settle(outcome if error is None else Outcome(error=_withheld()))
        )

    # --------------------------------------------------------------------------------------------------------- lines

    def _known(self) -> tuple[Place, Began]:
        if self._place is None or self._began is None:
            raise RuntimeError("a call has a place in the journal before it runs")
        return self._place, self._began

    def _beginning(self, place: Place, permit: str) -> Began:
        invocation = self._invocation
        return Began(
            place.position,
            permit,
            invocation.call_id,
            invocation.name,
            invocation.version,
            invocation.contract.digest,
            digest(invocation.arguments),
            self._gate.reach.session_id,
            invocation.correlation_id,
            self._gate.wall_ms(),
        )

    def _end(self, code: str, ran: Ran, result: str) -> Ended:
        place, began = self._known()
        status: Literal["SUCCESS", "ERROR"] = "ERROR" if code else "SUCCESS"
        return Ended(place.position, status, code, ran, result, max(began.time, self._gate.wall_ms()))


def _require_fit(invocation: Invocation, limit: int) -> None:
    """Raise unless there is time left and the host would take the arguments: as it would say itself."""
    if time.monotonic() >= invocation.deadline:
        raise late(invocation, ran="no")
    if invocation.size > limit:
        raise too_large("arguments", invocation.size, limit, ran="no")


def _cancelled() -> AltarError:
    return ExecutionError("CANCELLED", "The call was cancelled", ran="no")


def _no_room(failed: OSError) -> AltarError:
    return ExecutionError(
        "LOG_UNAVAILABLE",
        "The journal of this process cannot be written, so the call was refused",
        ran="no",
        hint="make room on its disk, or let the process write to the directory in the setting `journal`",
        detail=str(failed),
    )


def _withheld() -> AltarError:
    return ExecutionError(
        "OUTCOME_UNKNOWN",
        "The call ran, but neither the journal nor the host has its outcome, so it is withheld",
        ran="unknown",
        hint="make room on the disk of the journal; do not repeat a call that is not idempotent",
    )
