"""Why a run stops at a step: :class:`StepFailedError`, and what the walk itself finds wrong, in words for the caller.

Each error names the step and its pipeline, and says nothing of the values.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from altar.adm.call import ErrorObject
from altar.adm.codes import Ran
from altar.adm.errors import AltarError
from altar.adm.near import nearest

__all__ = [
    "StepFailedError",
    "failed_at",
    "group_is_late",
    "late_step",
    "no_case",
    "no_list",
    "replaces",
    "times_up",
    "too_many_calls",
    "too_many_values",
    "unfit_function",
]


class StepFailedError(Exception):
    """A step failed, and with it the run, unless a step around it has a fallback; never seen outside of a run.

    ``final`` says that no fallback may take its place.
    """

    def __init__(self, error: ErrorObject, *, final: bool = False) -> None:
        super().__init__(error.message)
        self.error = error
        self.final = final


def failed_at(pipeline: str, path: str, error: ErrorObject, *, final: bool) -> StepFailedError:
    """The error of a call, with the step that it was for."""
    return StepFailedError(replace(error, message=f"{_step(pipeline, path)}: {error.message}"), final=final)


def times_up(pipeline: str, path: str, seconds: float, error: ErrorObject | None) -> StepFailedError:
    """The time of the whole run was up; ``error`` is that of the call which ran then, None when none had begun."""
    while_ = "before" if error is None else "while"
    did = "began" if error is None else "ran"
    return StepFailedError(
        ErrorObject(
            f"{pipeline!r} may take {float(f'{seconds:.4g}'):g} s, and its time was up {while_} step {path!r} {did}",
            "TIMEOUT",
            ran="no" if error is None else error.ran,
            hint="give it more time: pipeline(…, timeout=…), or timeout=… of the run",
        ),
        final=True,
    )


def group_is_late(pipeline: str, path: str, error: ErrorObject | None) -> StepFailedError:
    """The time of a step was up before one inside of it began, or while that ran with this ``error``."""
    when = "before it began" if error is None else "while it ran"
    what = f"{_step(pipeline, path)}: the time of the step around it was up {when}"
    hint = "give the step around it more time: timeout=…"
    return StepFailedError(ErrorObject(what, "TIMEOUT", ran="no" if error is None else error.ran, hint=hint))


def late_step(error: ErrorObject, seconds: float) -> ErrorObject:
    """The same error of a call whose time was up, for a step that has a time of its own."""
    hint = f"the step may take {seconds:g} s: give it more, timeout=… of the step, or ask for less in one call"
    return replace(error, hint=hint)


def replaces(pipeline: str, path: str, field: str) -> StepFailedError:
    """A result has a member that would replace a field which the step does not take."""
    return _failed(
        pipeline,
        path,
        f"its result has {field!r}, and there is a field of this name already",
        "put the whole result into one field: output='…'",
        ran="yes",
    )


def no_list(pipeline: str, path: str, field: str) -> StepFailedError:
    """A map goes over a field that is no list in this run."""
    return _failed(pipeline, path, f"the field {field!r} is no list", "map goes over a list of values")


def too_many_values(pipeline: str, path: str, count: int, most: int) -> StepFailedError:
    """A map goes over more values than it may."""
    return _failed(pipeline, path, f"the list has {count} values, and a map takes {most}", "give it fewer at a time")


def too_many_calls(pipeline: str, path: str, most: int) -> StepFailedError:
    """A run has called as often as it may."""
    return _failed(pipeline, path, f"the run has made {most} calls, and makes no more", "give it fewer at a time")


def no_case(pipeline: str, path: str, case: str, cases: Iterable[str]) -> StepFailedError:
    """A branch has no way for this value."""
    listed = sorted(cases)
    near = nearest(case, listed)
    there = f"did you mean {near!r}?" if near else f"there are {', '.join(map(repr, listed[:8]))}"
    return _failed(pipeline, path, f"no case is for {case[:64]!r}, and there is no default", there)


def unfit_function(pipeline: str, path: str, failed: Exception) -> StepFailedError:
    """A plain function of the pipeline raised, or returned what it must not."""
    if isinstance(failed, AltarError):
        return failed_at(pipeline, path, ErrorObject.of(failed), final=False)
    kind = type(failed).__name__
    return StepFailedError(
        ErrorObject(
            f"{_step(pipeline, path)}: its function failed with {kind}",
            "TOOL_EXECUTION_FAILED",
            ran="yes",
            hint="the log of this process has the reason",
        )
    )


def _failed(pipeline: str, path: str, what: str, hint: str, *, ran: Ran = "no") -> StepFailedError:
    error = ErrorObject(f"{_step(pipeline, path)}: {what}", "INVALID_PIPELINE", ran=ran, hint=hint)
    return StepFailedError(error)


def _step(pipeline: str, path: str) -> str:
    return f"Step {path!r} of {pipeline!r}"
