"""What a pipeline is made of: frozen values that say what is to be done, and do nothing themselves.

A run has *fields*: JSON values by name, at first the inputs of the pipeline.
A step takes what it needs from the fields and adds what it gives; nothing that is there is replaced by accident,
because two steps that give the same field are refused before anything runs, unless the later one says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from altar.adm.errors import DeclarationError

if TYPE_CHECKING:
    from altar.later.tool import ToolFunction

__all__ = [
    "BranchStep",
    "Fields",
    "MapStep",
    "ParallelStep",
    "PipelineStep",
    "Retry",
    "Step",
    "ToolStep",
    "TransformStep",
]

Fields = Mapping[str, Any]
"""The JSON values of a run, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often a step is tried, and how long it waits in between; times in seconds.

    ``attempts`` counts the first one. The wait doubles from ``base`` up to ``cap``, and is spread by ``jitter`` of
    itself both ways.
    What a tool may have done is repeated only if its contract says that this is safe, whatever is said here.
    """

    attempts: int = 3
    base: float = 0.1
    cap: float = 30.0
    jitter: float = 0.25

    def __post_init__(self) -> None:
        """Raise DeclarationError INVALID_PIPELINE for numbers that are no plan."""
        times = (self.base, self.cap)
        if not (
            _are(int, self.attempts)
            and _are((int, float), *times, self.jitter)
            and 1 <= self.attempts <= 100
            and 0 <= self.jitter <= 1
            and all(math.isfinite(t) and t >= 0 for t in times)
        ):
            raise DeclarationError(
                "INVALID_PIPELINE",
                f"{self!r} is no plan to try again",
                hint="attempts from 1 to 100, seconds from 0, jitter from 0 to 1",
            )


def _are(kind: type | tuple[type, ...], *given: object) -> bool:
    return all(isinstance(one, kind) and not isinstance(one, bool) for one in given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What every step says, whatever it does.

    ``name`` is unique in its list of steps; one that nobody gave (``is_named`` is false) is numbered where it must be.
    ``timeout`` is in seconds, cut from what is left to the pipeline.
    ``retry`` of a step with steps inside holds for those of them that say nothing themselves.
    ``fallback`` runs in its place when it fails, and gives the same fields.
    ``compensate`` undoes it when a later step fails.
    """

    name: str
    timeout: float | None = None
    retry: Retry = field(default_factory=lambda: Retry(attempts=1))
    fallback: Step | None = None
    compensate: Step | None = None
    is_named: bool = field(default=True, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolStep(Step):
    """A call of a tool; a module of DSPy is one too.

    ``tool`` is ``name`` or ``name@range``; ``made`` is the tool where it was given itself.
    ``arguments`` are values that are the same in each run; ``inputs`` says which field a parameter takes, where that
    is not the field of its own name.
    ``output`` is the field that takes the whole result; without it each member of the result is a field.
    ``program`` says what a module was made of, as text: its ``kind`` and ``signature``, or its ``class``, and ``name``.
    """

    tool: str
    arguments: Fields = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    output: str | None = None
    program: Mapping[str, str] | None = None
    made: ToolFunction[..., Any] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineStep(Step):
    """The steps of a named pipeline, as one step of this one; ``made`` is that pipeline where it was given itself."""

    pipeline: str
    made: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelStep(Step):
    """Steps that run at the same time, at most ``concurrency`` of them (None: all); each sees the same fields.

    Two that give the same field are refused before anything runs.
    The first that fails cancels the others.
    """

    steps: tuple[Step, ...]
    concurrency: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MapStep(Step):
    """One step for each value of the list ``over``, in a field ``item``; the list of results becomes ``output``.

    Results are in the order of the values, at most ``concurrency`` run at a time.
    """

    over: str
    item: str
    step: Step
    output: str
    concurrency: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchStep(Step):
    """Go on in the pipeline that ``cases`` names for the value of the field ``on``, or in ``default``.

    ``on`` may be a function of the fields that gives the value.
    A value that is no text is compared as JSON, such as ``true``.
    A value without a case, and no default, fails the run.
    ``made`` are pipelines that were given themselves.
    """

    on: str | Callable[[Fields], Any]
    cases: Mapping[str, str]
    default: str | None = None
    made: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformStep(Step):
    """A plain function of fields, for what is no tool's work: ``takes`` are its parameters, ``gives`` its fields.

    It runs where the pipeline runs, is no call, and must do nothing to the world.
    One field of ``gives`` takes what it returns; of several, a mapping with them is expected.
    """

    function: Callable[..., Any] | str
    takes: tuple[str, ...]
    gives: tuple[str, ...]
