"""What happens when a tool is called: one frame of invocations, eight steps, read downwards.

A frame is the invocations that arrived together; a local call is a frame of one.
Session, host and runtime all run this one function; a mode is which catalog, gate and source they join in it.

==========================  ======================  ==============  =================
where                       catalog                 gate            source
==========================  ======================  ==============  =================
``later:`` session          the session's tools     `OpenGate`      `LocalSource`
``grid://`` session         contracts of the host   `OpenGate`      `GridSource`
governed local session      those that are here     `HostGate`      `LocalSource`
host                        `HostCatalog`           `SessionGate`   `RuntimeSource`
runtime                     its own registry        `OpenGate`      `LocalSource`
tool that calls a tool      contracts of the host   `OpenGate`      `NestedCalls`
==========================  ======================  ==============  =================

Steps 1 to 3 are plain functions over the frame.
The frame then waits once for its intents; from there each call completes by itself.
There is no task and no timer per call here: who needs to wait hands over a callback.

A call whose caller wants its values one by one carries `Chunks`.
They are opened in step 5, so the intent precedes the first value; each value passes step 6 by itself on its way;
they are closed with the outcome, which follows the last value and says how many there were, and with what digest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from altar.adm.errors import AltarError
from altar.later.invocation import Answer, Contract, Invocation, Outcome, defect
from altar.later.nesting import require_nestable

if TYPE_CHECKING:
    from altar.later.gate import Gate
    from altar.later.source import ToolSource

__all__ = ["Catalog", "Executor"]


class Catalog(Protocol):
    """What does this name mean here, for this principal?"""

    def find(self, invocation: Invocation) -> Contract:
        """Return the contract, or raise ValidationError UNSUPPORTED_TOOL.

        Must answer in the same words for a tool that does not exist and for one that may not be seen.
        """
        ...


class Executor:
    """Joins a catalog, a gate and a source. Every invocation is answered exactly once."""

    __slots__ = ("_answer", "_catalog", "_gate", "_source")

    def __init__(self, catalog: Catalog, gate: Gate, source: ToolSource, answer: Answer) -> None:
        self._catalog = catalog
        self._gate = gate
        self._source = source
        self._answer = answer

    def execute(self, frame: Sequence[Invocation]) -> None:
        """Carry out a frame. Returns at once; the answers follow, each when its call has ended."""
        admitted = list(filter(self._admit, frame))
        if admitted:
            self._gate.intend(admitted, self._run, self._answer)  # 4 the intents are durable, together

    def _admit(self, invocation: Invocation) -> bool:
        try:
            contract = self._catalog.find(invocation)  # 1 what is meant, and may they see it?
            invocation.contract = contract
            if invocation.blobs is None:
                invocation.values = contract.check(invocation.arguments)  # 2 do the arguments fit?
            else:
                invocation.values = contract.check_beside(invocation)
            if invocation.parent is not None:
                require_nestable(invocation)
            self._gate.authorize(invocation)  # 3 may it run?
        except Exception as refused:  # noqa: BLE001 - in doubt the answer is no, whatever was raised
            self._answer(invocation, _refusal(refused))
            return False
        return True

    def _run(self, frame: Sequence[Invocation]) -> None:
        for invocation in frame:  # 5 from here on exactly one outcome follows
            try:
                if invocation.chunks is not None:
                    invocation.chunks.open(invocation.contract)
                self._source.run(invocation, self._settle)
            except Exception as failed:  # noqa: BLE001 - an intent is never left without its outcome
                self._settle(invocation, _refusal(failed))

    def _settle(self, invocation: Invocation, outcome: Outcome) -> None:
        if invocation.chunks is not None:
            outcome = invocation.chunks.close(outcome)
        if outcome.error is None and outcome.streamed is None:
            try:
                if outcome.blobs is None:
                    outcome.value = invocation.contract.check_result(outcome.content)  # 6 is it what was promised?
                else:
                    invocation.contract.check_result_beside(outcome)
            except Exception as broken:  # noqa: BLE001 - a result nobody could check is not passed on
                outcome = Outcome.failed(broken)
        self._gate.record(invocation, outcome, self._answer)  # 7 the outcome is durable, then 8 the answer


def _refusal(error: Exception) -> Outcome:
    """An AltarError is the answer as it stands; anything else is our own fault, and nothing ran."""
    if isinstance(error, AltarError):
        return Outcome(error=error)
    return Outcome(error=defect(error, ran="no"))
