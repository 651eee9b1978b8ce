"""What came of a run: :class:`PipelineResult`, with a :class:`StepRecord` for each step in the order they began.

A run that failed is a value too: it says why, and what had been done before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from altar.adm.call import ErrorObject, ResultStatus
from altar.adm.canonical import canonical

__all__ = ["PipelineResult", "StepRecord", "StepStatus"]

StepStatus = Literal["running", "done", "failed", "cancelled", "skipped", "restored", "compensated"]
"""What became of a step: ``restored`` comes from a checkpoint, ``compensated`` was done and then undone."""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step of a run: a call of a tool, or a plain function of fields.

    ``path`` says where it stands, such as ``intent/billing/fetch`` or ``pages[3]``.
    ``seconds`` is how long it took with all its ``attempts``; ``call_id`` is that of the last one.
    ``usage`` is what the last call took, such as tokens; ``error`` is why it failed.
    """

    path: str
    status: StepStatus
    tool: str | None = None
    call_id: str | None = None
    seconds: float = 0.0
    attempts: int = 1
    usage: Mapping[str, Any] | None = None
    error: ErrorObject | None = None

    def to_json(self) -> dict[str, Any]:
        """The record as a JSON object; what is not known is left out."""
        document: dict[str, Any] = {"path": self.path, "status": self.status}
        for name in ("tool", "call_id", "usage"):
            held = getattr(self, name)
            if held is not None:
                document[name] = dict(held) if name == "usage" else held
        document["seconds"] = round(self.seconds, 6)
        document["attempts"] = self.attempts
        if self.error is not None:
            document["error"] = self.error.to_adm()
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> StepRecord:
        """The record of what :meth:`to_json` wrote; raises KeyError for what has no path and no status."""
        return cls(
            document["path"],
            document["status"],
            document.get("tool"),
            document.get("call_id"),
            float(document.get("seconds", 0.0)),
            int(document.get("attempts", 1)),
            document.get("usage"),
            _error_from(document.get("error")),
        )


@dataclass(frozen=True, slots=True)
class PipelineResult:
    """The answer of a run: ``outputs`` on SUCCESS, ``error`` on ERROR.

    ``fields`` are all fields as they were at the end, also of a run that failed.
    ``usage`` is the sum of what the calls took. ``compensated`` are the paths of the steps that were undone.
    """

    pipeline: str
    run_id: str
    status: ResultStatus
    outputs: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)
    error: ErrorObject | None = None
    steps: tuple[StepRecord, ...] = ()
    usage: Mapping[str, float] = field(default_factory=dict)
    compensated: tuple[str, ...] = ()

    def unwrap(self) -> dict[str, Any]:
        """Return the outputs of a SUCCESS; raise the error of a run that failed, with the code of its step."""
        if self.error is not None:
            raise self.error.to_error()
        return dict(self.outputs)

    @property
    def text(self) -> str:
        """The result as one text for a model: the one output that is text as it stands, else outputs as JSON."""
        if self.error is not None:
            return self.error.text
        values = list(self.outputs.values())
        if len(values) == 1 and isinstance(values[0], str):
            return values[0]
        return canonical(dict(self.outputs)).decode("utf-8")

    def to_json(self) -> dict[str, Any]:
        """The result as a JSON object, with all of its fields and records."""
        document: dict[str, Any] = {
            "pipeline": self.pipeline,
            "run_id": self.run_id,
            "status": self.status.value,
            "outputs": dict(self.outputs),
            "fields": dict(self.fields),
            "steps": [step.to_json() for step in self.steps],
            "usage": dict(self.usage),
            "compensated": list(self.compensated),
        }
        if self.error is not None:
            document["error"] = self.error.to_adm()
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> PipelineResult:
        """The result of what :meth:`to_json` wrote; raises KeyError for what is none."""
        return cls(
            document["pipeline"],
            document["run_id"],
            ResultStatus(document["status"]),
            dict(document["outputs"]),
            dict(document["fields"]),
            _error_from(document.get("error")),
            tuple(StepRecord.from_json(step) for step in document["steps"]),
            dict(document["usage"]),
            tuple(document["compensated"]),
        )


def _error_from(document: Mapping[str, Any] | None) -> ErrorObject | None:
    return None if document is None else ErrorObject.read(document, mode="lenient")[0]
