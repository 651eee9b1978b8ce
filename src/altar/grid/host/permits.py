"""Permits: the host decides and records, and the caller's own process runs the function (GRID §5.4, §8.3).

A call that asks for a permit goes through find, check and authorize like any other, and its intent is committed with
``where: caller``.
Step 5 is other: nothing is sent anywhere, the permit is kept here until the caller reports what became of the call.
A permit is the id of its intent.
It is good for one run, by the principal that asked, of the contract and the arguments that were authorized, and it is
closed once: by the first report, or as OUTCOME_UNKNOWN when none comes in time.

This is cooperative, and the record says so: an outcome that was reported carries the place in the caller's journal.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from altar.adm.errors import (
    AltarError,
    AuthorizationError,
    ConfigurationError,
    ExecutionError,
    Ran,
    ValidationError,
    error_of,
)
from altar.grid.host.known_reports import History, KnownReports
from altar.grid.host.permit import Permit, PermitLimits, Reported
from altar.grid.host.session_gate import SessionGate
from altar.grid.host.sessions import tenant_of
from altar.grid.manifests.manifest import HostContract
from altar.grid.reports import Content, FallbackCall, Report, SeenLines, malformed, remember
from altar.later.approvals import is_handle
from altar.later.invocation import Answer, Invocation, Outcome
from altar.later.local_dispatch import allows_fallback, allows_local_dispatch
from altar.ledger import entry
from altar.ledger.ledger import Ledger

__all__ = ["PermitLimits", "Permits", "Reported"]

_log = logging.getLogger("altar.grid")

_LAPSED = 4_096
"""Permits that nobody closed and that are remembered, so that a late report is told why it is refused."""
_REFUSALS = 64
"""Entries and log lines that reports of one principal can make in a minute by being refused; the rest is one count."""
_MINUTE = 60.0


class Permits:
    """Gate and source of the row of calls that run where they are made. For one thread, the host's loop.

    ``answer`` takes a call that was refused, ``granted`` one whose permit is open.
    ``contract_of`` gives the host's contract of a name and exact version, or None.
    ``history`` is asked, in another thread, when a report comes that this process cannot know, or know any more.
    ``mint`` makes the id of an invocation, from ``prefix``: the name of the host, and its epoch.
    ``decide`` raises unless a call may run; the gate that records does so itself unless another one is in front of it.
    ``standing``, when there is one, gives the code of why a principal and who proved to be it may not act any more,
    empty when they may.
    """

    def __init__(
        self,
        gate: SessionGate,
        ledger: Ledger,
        *,
        limits: PermitLimits,
        granted: Callable[[Invocation], None],
        contract_of: Callable[[str, str], HostContract | None],
        prefix: tuple[str, int],
        mint: Callable[[], str],
        history: History | None = None,
        clock: Callable[[], float] = time.monotonic,
        decide: Callable[[Invocation], None] | None = None,
    ) -> None:
        self.limits = limits
        self._decide = decide or gate.authorize
        self._gate = gate
        self._ledger = ledger
        self._granted = granted
        self._contract_of = contract_of
        self._mint = mint
        self._prefix = prefix
        self._clock = clock
        self._open: dict[str, Permit] = {}
        self._held: Counter[str] = Counter()
        self._known = KnownReports(history)
        self._pending: dict[str, tuple[Content, list[Reported]]] = {}
        self._lapsed: dict[str, str] = {}
        self._refused: Counter[str] = Counter()
        self._refused_since = clock()
        self._journals = SeenLines(limits.close.total_seconds())
        self.standing: Callable[[str, Any], str] | None = None

    def __len__(self) -> int:
        """How many permits are open."""
        return len(self._open)

    def allows(self, principal: str) -> bool:
        """Whether this principal may run tools where it is."""
        return principal in self.limits.principals or "*" in self.limits.principals

    def holder_of(self, permit: str) -> str:
        """The principal that holds an open permit; empty for one that is not open."""
        held = self._open.get(permit)
        return held.principal if held is not None else ""

    # ------------------------------------------------------------------------------------------------ as a gate

    def authorize(self, invocation: Invocation) -> None:
        """Refuse who may not, what may not, and what is too much; a place is taken for what may."""
        if not self.allows(invocation.principal):
            raise AuthorizationError(
                "PERMISSION_DENIED",
                f"{invocation.principal!r} may not run tools in its own process",
                ran="no",
                hint="call it on the grid, or ask the operator to name you in host.local_dispatch",
            )
        contract: HostContract = invocation.contract
        if not (contract.trusted and allows_local_dispatch(contract.declaration)):
            raise AuthorizationError(
                "POLICY_VIOLATION",
                f"The contract of {invocation.name!r} does not allow it to run where it is called",
                ran="no",
                hint="call it on the grid; its author can declare it with local_dispatch=True",
            )
        if invocation.once and not is_handle(invocation.call_id):
            raise ConfigurationError(
                "FEATURE_UNAVAILABLE",
                "A call with an idempotency key runs on the grid only, where its result is kept",
                ran="no",
                hint="call it on the grid, or without a key",
            )
        self._decide(invocation)
        held = self._held[invocation.principal]
        if held >= self.limits.per_principal or self._held.total() >= self.limits.most:
            raise ExecutionError(
                "RESOURCE_EXHAUSTED",
                f"{held} calls of {invocation.principal!r} run where they were made, or are not reported yet",
                ran="no",
                hint="wait until their outcomes have been reported",
                retry_after=timedelta(seconds=1),
            )
        self._held[invocation.principal] += 1

    def intend(self, frame: Sequence[Invocation], run: Callable[[Sequence[Invocation]], None], refuse: Answer) -> None:
        """Commit one intent for each call, also of contracts that are read-only: a permit is an intent.

        An approved call, which has its handle as its key, is let pass once.
        """
        if self._gate.hold is not None:
            frame = self._gate.held_back(frame, lambda call: self._intend([call], run, refuse), self._kept_out(refuse))
        self._intend(frame, run, refuse)

    def _intend(self, frame: Sequence[Invocation], run: Callable[[Sequence[Invocation]], None], refuse: Answer) -> None:
        kept_out = self._kept_out(refuse)
        admitted = self._gate.admit(frame, kept_out) if any(each.once for each in frame) else frame

        def durable(first_seq: int, error: AltarError | None) -> None:
            if error is not None:
                for invocation in admitted:
                    self._gate.settled(invocation, Outcome(error=error))
                    kept_out(invocation, Outcome(error=error))
                return
            for seq, invocation in enumerate(admitted, first_seq):
                invocation.intent = seq
            run(admitted)

        if admitted:
            self._ledger.commit([invocation.record for invocation in admitted], durable)

    def _kept_out(self, refuse: Answer) -> Answer:
        """Refuses a call, and gives its place back."""

        def kept_out(invocation: Invocation, outcome: Outcome) -> None:
            self._release(invocation.principal)
            refuse(invocation, outcome)

        return kept_out

    def record(self, invocation: Invocation, outcome: Outcome, answer: Answer) -> None:
        """Answer what went wrong here; the permit that nobody heard of ends like any that is not closed."""
        answer(invocation, outcome)

    # ---------------------------------------------------------------------------------------------- as a source

    def run(self, invocation: Invocation, settle: Answer) -> None:
        """Keep the permit and tell the caller."""
        self._open[invocation.invocation_id] = Permit(
            invocation.invocation_id,
            invocation.principal,
            invocation.call_id,
            invocation.intent,
            self._clock(),
            invocation.who,
            call=invocation if invocation.once else None,
        )
        self._granted(invocation)

    def cancel(self, invocation: Invocation) -> None:
        """Nothing runs here; the permit stays open until its caller reports."""

    # -------------------------------------------------------------------------------------------------- reports

    def report(self, report: Report, principal: str, told: Reported) -> None:
        """Record what a caller says became of its call; ``told`` hears when that is durable, or why it is refused.

        The same report again is answered as before, and recorded once.
        """
        try:
            report.require_sound()
        except AltarError as malformed:
            self._reject(report, principal, malformed, told)
            return
        known = self._known.get(report.place)
        permit = self._open.get(report.permit) if report.permit else None
        if known is not None:
            self._again(report, principal, known, told)
        elif report.place in self._pending:
            content, waiting = self._pending[report.place]
            if content == report.content:
                waiting.append(told)
            else:
                self._reject(report, principal, _conflict(), told)
        elif permit is not None and permit.principal == principal:
            self._close(permit, report, told)
        elif self._known.must_look(report.place, is_fallback=report.fallback is not None):
            self._known.look(report.place, lambda: self.report(report, principal, told), told)
        elif report.fallback is not None:
            self._take_fallback(report, report.fallback, principal, told)
        else:
            self._reject(report, principal, self._unknown(report, principal), told)

    def withdraw(self) -> None:
        """Somebody may not act any more: record which permits are still in their hands, each once.

        Nothing here can stop a function in their own process; what they report of it is recorded as coming after that.
        """
        for permit in self._open.values():
            if not permit.withdrawn and (event := self._revoked("permit.withdrawn", permit.invocation, permit)):
                permit.withdrawn = True
                self._ledger.commit([event], _ignore)

    def sweep(self) -> None:
        """End permits whose time is up. Called some twenty times a second; there is no timer per permit."""
        now = self._clock()
        latest = now - self.limits.close.total_seconds()
        for permit in list(self._open.values()):
            if permit.since > latest:
                break  # they stand in the order in which they were given
            if permit.report is None:
                self._lapse(permit)
        for journal, missing in self._journals.missing(now):
            _log.warning("journal has gaps", extra={"journal": journal, "missing": missing})
            self._note("journal.gap", journal, missing)
        if now - self._refused_since >= _MINUTE:
            for principal, count in self._refused.items():
                if count > _REFUSALS:
                    named = self._gate.named(tenant_of(principal), principal)
                    self._note("report.rejected", named, f"{count - _REFUSALS} more within a minute")
            self._refused.clear()
            self._refused_since = now

    def _close(self, permit: Permit, report: Report, told: Reported) -> None:
        if permit.report is not None:
            self._reject(report, permit.principal, _conflict(), told)
            return
        if permit.call_id != report.call_id:
            self._reject(report, permit.principal, malformed("is about another call than its permit"), told)
            return
        permit.report = report

        def durable(error: AltarError | None) -> None:
            permit.report = None
            if error is None and self._open.pop(permit.invocation, None) is not None:
                self._release(permit.principal)
                self._settle(permit, code=report.code, ran=report.ran)

        outcome = self._outcome(report, permit.principal, intent=permit.intent, invocation=permit.invocation)
        late = self._revoked("report.after_revocation", permit.invocation, permit)
        self._commit([outcome] if late is None else [late, outcome], report, durable, told)

    def _take_fallback(self, report: Report, call: FallbackCall, principal: str, told: Reported) -> None:
        """Record intent and outcome of a call that asked nobody, together, if its contract allows that."""
        try:
            recorded = self._fallback_intent(report, call, principal)
        except AltarError as refused:
            self._reject(report, principal, refused, told)
            return
        outcome = self._outcome(report, principal, intent=-1, invocation=recorded.invocation)
        holder = Permit(recorded.invocation, principal, report.call_id, -1, 0.0)
        late = self._revoked("report.after_revocation", recorded.invocation, holder)
        self._commit([recorded, outcome, *([late] if late is not None else [])], report, _nobody, told)

    def _revoked(self, event: entry.EventName, subject: str, permit: Permit) -> entry.Event | None:
        """The entry that says that the principal of a permit may not act any more; None while it may."""
        code = "" if self.standing is None else self.standing(permit.principal, permit.who)
        if not code:
            return None
        tenant = tenant_of(permit.principal)
        who = self._gate.named(tenant, permit.principal)
        return entry.Event(event=event, subject=subject, tenant=tenant, principal=who, outcome="DENIED", code=code)

    def _fallback_intent(self, report: Report, call: FallbackCall, principal: str) -> entry.Intent:
        contract = self._contract_of(call.tool, call.version)
        if contract is None or contract.digest != call.contract:
            raise ValidationError(
                "VERSION_MISMATCH",
                f"The host has no such contract of {call.tool[:64]!r}, so it cannot have allowed the call",
                hint="the operator of the host must look at the journal",
            )
        if not (self.allows(principal) and contract.trusted and allows_fallback(contract.declaration)):
            raise AuthorizationError(
                "POLICY_VIOLATION",
                f"The call of {call.tool!r} ran without a host, which {principal!r} may not do, or not with this tool",
                ran="yes",
                hint="its author can declare it with fallback=True, and the operator name you in host.local_dispatch",
            )
        invocation, tenant = self._mint(), tenant_of(principal)
        return entry.Intent(
            invocation=invocation,
            call=report.call_id,
            tool=contract.name,
            version=contract.version,
            contract=contract.digest,
            arguments=self._gate.recorded(call.arguments, tenant=tenant, principal=principal, invocation=invocation),
            principal=self._gate.named(tenant, principal),
            tenant=tenant,
            session=call.session,
            correlation=call.correlation,
            where="fallback",
        )

    def _outcome(self, report: Report, principal: str, *, intent: int, invocation: str) -> entry.Outcome:
        """The outcome that a report says, with its digest as the record has it."""
        outcome = report.outcome(intent=intent, invocation=invocation)
        outcome.result = self._gate.recorded(
            report.result, tenant=tenant_of(principal), principal=principal, invocation=invocation
        )
        return outcome

    def _commit(
        self,
        entries: Sequence[entry.Entry],
        report: Report,
        ended: Callable[[AltarError | None], None],
        told: Reported,
    ) -> None:
        waiting = [told]
        self._pending[report.place] = (report.content, waiting)

        def durable(_first_seq: int, error: AltarError | None) -> None:
            del self._pending[report.place]
            ended(error)
            if error is None:
                self._known.keep(report.place, report.content)
                self._journals.saw(report.journal, report.position, self._clock())
            elif error.retry_after is None:
                error.retry_after = timedelta(seconds=1)  # it is not the caller's fault, who must keep it
            for each in waiting:
                each(error)

        self._ledger.commit(entries, durable)

    def _again(self, report: Report, principal: str, known: Content, told: Reported) -> None:
        said = report.content
        if known[4].startswith("hmac-"):  # it was read from the log
            tenant = tenant_of(principal)
            result = self._gate.recorded(report.result, tenant=tenant, principal=principal, invocation=known[0])
            said = (*said[:4], result)
        if said == known or (report.fallback is not None and said[1:] == known[1:]):
            told(None)
        else:
            self._reject(report, principal, _conflict(), told)

    def _lapse(self, permit: Permit) -> None:
        """Nobody closed it in time: that is an alarm, and its outcome is unknown."""
        del self._open[permit.invocation]
        self._release(permit.principal)
        remember(self._lapsed, permit.invocation, permit.principal, _LAPSED)
        _log.warning(
            "permit not closed in time", extra={"invocation": permit.invocation, "principal": permit.principal}
        )
        unknown = entry.Outcome(
            intent=permit.intent,
            invocation=permit.invocation,
            status="ERROR",
            code="OUTCOME_UNKNOWN",
            ran="unknown",
            result="",
            runtime="",
            attempts=0,
        )
        tenant = tenant_of(permit.principal)
        note = self._gate.named(tenant, permit.principal)
        event = entry.Event(event="permit.unclosed", subject=permit.invocation, note=note, tenant=tenant)
        self._ledger.commit([event, unknown], _ignore)
        self._settle(permit, code="OUTCOME_UNKNOWN", ran="unknown")

    def _settle(self, permit: Permit, *, code: str, ran: Ran) -> None:
        """Let the key of an approved call know how it ended; one that did not run leaves its approval as it was."""
        if permit.call is not None:
            error = error_of(code, "The call ended so where it was made", ran=ran) if code else None
            self._gate.settled(permit.call, Outcome(error=error))

    def _unknown(self, report: Report, principal: str) -> AltarError:
        """There is no such permit, or not of this principal; one that was its own is told apart from the others."""
        was_own = self._lapsed.get(report.permit) == principal or self._is_earlier(report.permit)
        if was_own:
            return ExecutionError(
                "OUTCOME_UNKNOWN",
                "The permit was closed before the report came, and the outcome of its call is recorded as unknown",
                ran="unknown",
                hint="the operator of the host must compare the journal with the log",
            )
        return AuthorizationError(
            "PERMISSION_DENIED",
            "The caller has no such permit",
            ran="unknown",
            hint="ask for a permit before the tool runs, and report each once",
        )

    def _is_earlier(self, permit: str) -> bool:
        """Whether it looks like a permit that this host gave before it was started again."""
        name, epoch = self._prefix
        given, _, _number = permit.removeprefix(f"{name}-").partition("-")
        return permit.startswith(f"{name}-") and given.isdecimal() and 0 < int(given[:18]) < epoch

    def _reject(self, report: Report, principal: str, error: AltarError, told: Reported) -> None:
        """Refuse a report, and leave a trace of it in the log and in the record."""
        self._refused[principal] += 1
        if self._refused[principal] <= _REFUSALS:
            facts = {"principal": principal, "permit": report.permit[:128], "code": error.code}
            _log.warning("report rejected", extra=facts)
            said = " ".join((report.status, report.code[:64], report.ran, report.result[:80])).replace("  ", " ")
            where = f"{report.journal[:64]}:{report.position}"
            subject = (report.permit or report.call_id)[:128]
            named = self._gate.named(tenant_of(principal), principal)
            self._note("report.rejected", subject, f"{error.code}: {named} at {where} says {said}")
        told(error)

    def _note(self, event: entry.EventName, subject: str, note: str) -> None:
        printable = subject.encode("ascii", "replace").decode()
        self._gate.note(event, printable, note.encode("ascii", "replace").decode()[:400])

    def _release(self, principal: str) -> None:
        self._held[principal] -= 1
        if not self._held[principal]:
            del self._held[principal]


def _conflict() -> AltarError:
    return ValidationError(
        "IDEMPOTENCY_CONFLICT",
        "Another report was recorded for this permit, or for this line of the journal",
        ran="unknown",
        hint="the operator of the host must compare the journal with the log",
    )


def _nobody(_error: AltarError | None) -> None:
    """No permit waits for it."""


def _ignore(_first_seq: int, _error: AltarError | None) -> None:
    """Nobody waits for it; a ledger that fails has told the host already."""
