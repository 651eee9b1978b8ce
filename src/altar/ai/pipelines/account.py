"""What a run has done so far, and who is told: the records of its steps, what they took, events and checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from altar.adm.call import ErrorObject, ResultStatus
from altar.adm.errors import AltarError
from altar.ai.pipelines.events import EventKind, OnEvent, PipelineEvent
from altar.ai.pipelines.result import PipelineResult, StepRecord
from altar.ai.pipelines.stops import StepFailedError, failed_at
from altar.ai.pipelines.trying import is_final, is_interruption

if TYPE_CHECKING:
    from altar.adm.declaration import FunctionDeclaration
    from altar.ai.pipelines.kept import Kept
    from altar.ai.pipelines.places import Begins
    from altar.ai.pipelines.shape import Shape

__all__ = ["Account"]

_UNFIT = frozenset({"SERIALIZATION_ERROR", "MESSAGE_TOO_LARGE"})
"""Codes of values that no checkpoint can hold."""
_SHOWN = 8
_log = logging.getLogger("altar.ai")


class Account:
    """The account of one run.

    ``records`` are the steps by their paths, in the order they began; ``done`` counts those of the pipeline itself.
    ``cut_off`` are calls that were left while they ran, and must not happen twice: nobody knows what became of them.
    ``tell`` is None when nobody listens, ``kept`` when there are no checkpoints.
    """

    __slots__ = (
        "_pipeline",
        "_usage",
        "compensated",
        "cut_off",
        "done",
        "kept",
        "not_undone",
        "records",
        "run_id",
        "tell",
    )

    def __init__(self, pipeline: Shape, run_id: str, *, tell: OnEvent | None, kept: Kept | None) -> None:
        self._pipeline = pipeline
        self._usage: dict[str, float] = {}
        self.run_id = run_id
        self.tell = tell
        self.kept = kept
        self.records: dict[str, StepRecord] = {}
        self.done = 0
        self.compensated: list[str] = []
        self.not_undone: list[str] = []
        self.cut_off: list[str] = []

    def say(
        self,
        kind: EventKind,
        path: str = "",
        *,
        record: StepRecord | None = None,
        message: str | None = None,
        result: PipelineResult | None = None,
    ) -> None:
        """Tell one event; a listener that raises is itself told in the log."""
        if self.tell is None:
            return
        total = len(self._pipeline.steps)
        try:
            self.tell(PipelineEvent(kind, self.run_id, path, self.done, total, record, message, result))
        except Exception:  # noqa: BLE001 - somebody else's run goes on
            _log.exception("listener failed", extra={"pipeline": self._pipeline.name, "run": self.run_id})

    def add(self, usage: Mapping[str, Any] | None) -> None:
        """Add what a call took."""
        for name, number in (usage or {}).items():
            if isinstance(number, (int, float)):
                self._usage[name] = self._usage.get(name, 0) + number

    async def ended(self, record: StepRecord, fields: Mapping[str, Any], begins: Begins = ()) -> None:
        """A step has ended, and gave these fields: put it into the checkpoints, then say so.

        ``begins`` are the steps that are called next, with their contracts: that is written down together with it.
        Raises StepFailedError for fields that no checkpoint can hold: the step has then failed.
        """
        self.records[record.path] = record
        if self.kept is not None:
            try:
                await self.kept.ended(record.path, fields, record.to_json(), begins=begins)
            except AltarError as unfit:
                if unfit.code not in _UNFIT or not fields:
                    raise
                failed = failed_at(self._pipeline.name, record.path, ErrorObject.of(unfit), final=False)
                if record.error is None:
                    record = replace(record, status="failed", error=failed.error)
                await self.ended(record, {})
                raise failed from unfit
        if self.tell is not None:
            self.say("step_ended", record.path, record=record)

    def restored(self, path: str, contract: FunctionDeclaration | None = None) -> Mapping[str, Any] | None:
        """The fields of a step that ended in an earlier process; None for one that did not.

        Raises StepFailedError for one that failed there, but for one that failed because of fields that it gave.
        """
        found = None if self.kept is None else self.kept.restored(path)
        if found is None:
            return None
        record = StepRecord.from_json(found.record)
        self.add(record.usage)
        if record.error is not None:
            self.records[path] = record
            if found.fields:
                return found.fields
            raise StepFailedError(record.error, final=is_final(record.error, contract))
        self.records[path] = record = replace(record, status="restored")
        self.say("step_ended", path, record=record)
        return found.fields

    def undone(self, path: str) -> None:
        """A step was undone."""
        self.compensated.append(path)
        record = self.records.get(path)
        if record is not None:
            self.records[path] = replace(record, status="compensated")

    async def over(
        self, outputs: Mapping[str, Any], fields: Mapping[str, Any], error: ErrorObject | None
    ) -> PipelineResult:
        """The run has ended: what came of it, which is kept and told.

        Raises StepFailedError for a run that went well, and whose fields are together more than a checkpoint can hold;
        one that failed is kept without them.
        """
        if error is not None:
            told = [
                error.hint,
                self.not_undone and f"not undone, because the compensation failed: {_listed(self.not_undone)}",
                self.cut_off and f"left while it ran, so that nobody knows its outcome: {_listed(self.cut_off)}",
                self.kept is not None and is_interruption(error) and _goes_on(self.run_id, error),
            ]
            error = replace(error, hint="; ".join(str(one) for one in told if one) or None)
        result = PipelineResult(
            self._pipeline.name,
            self.run_id,
            ResultStatus.SUCCESS if error is None else ResultStatus.ERROR,
            outputs,
            fields,
            error,
            tuple(self.records.values()),
            self._usage,
            tuple(self.compensated),
        )
        if self.kept is not None:
            try:
                await self.kept.over(result.status.value, result.to_json())
            except AltarError as unfit:
                if unfit.code not in _UNFIT or not fields:
                    raise
                if error is None:
                    raise StepFailedError(ErrorObject.of(unfit), final=True) from unfit
                result = replace(result, fields={})
                await self.kept.over(result.status.value, result.to_json())
        self.say("run_ended", result=result)
        return result


def _goes_on(run_id: str, error: ErrorObject) -> str:
    """What is said of a run that is kept and was interrupted."""
    doubt = "" if error.ran == "no" else "; the step may have run, and is asked for then"
    return f"to resume the run {run_id!r} goes on here{doubt}"


def _listed(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return f"{', '.join(map(repr, paths[:_SHOWN]))}{more}"
