"""A pipeline: a name and steps in a frozen value that is checked when it is made, and can be run in any session.

:func:`pipeline` makes one. Two are equal when everything that a run depends on is the same, wherever it was written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Required, TypedDict, Unpack, overload

from altar.adm.errors import ValidationError
from altar.adm.ranges import SEMVER
from altar.adm.reader import NAME, NAME_RULE
from altar.ai.pipelines.flow import require_flow
from altar.ai.pipelines.inputs import schema_of_inputs
from altar.ai.pipelines.making import as_step, numbered, refused, seconds_of
from altar.ai.pipelines.plan import known_contract
from altar.ai.pipelines.shape import Shape, documents_of, walked
from altar.ai.pipelines.steps import BranchStep, PipelineStep, Step
from altar.ai.pipelines.undoing import undoing_of_undoing
from altar.later.front import SyncSession

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from os import PathLike

    from altar.ai.pipelines.checkpoints import Checkpoints
    from altar.ai.pipelines.events import OnEvent
    from altar.ai.pipelines.flow import Flow
    from altar.ai.pipelines.result import PipelineResult
    from altar.ai.pipelines.stream import PipelineStream, SyncPipelineStream
    from altar.later.session import Session
    from altar.later.tool import ToolFunction

__all__ = ["Pipeline", "pipeline", "shaped"]

MOST_STEPS = 10_000
"""Steps that a pipeline may have in all."""


def pipeline(
    name: str,
    steps: Iterable[Any],
    /,
    *,
    inputs: Mapping[str, Any] | str | None = None,
    outputs: Iterable[str] | None = None,
    pipelines: Mapping[str, Any] | None = None,
    timeout: float | timedelta | None = None,
    version: str = "1.0.0",
    description: str = "",
) -> Pipeline:
    """A pipeline of these steps, checked as far as the contracts of its tools are known in this process.

    ``inputs`` gives a type of Python or a schema for each field that a run begins with, or says the same as text,
    ``"topic: str, limit: int = 10"``; without it they are what the first steps take.
    ``outputs`` are the fields that a run answers; without it they are what the last step gives.
    ``pipelines`` are lists of steps by name, for ``branch`` and ``sub``.
    ``timeout`` is in seconds for the whole run; without it that of the configuration holds.
    Raises DeclarationError INVALID_PIPELINE, naming the step, for what could never run.
    """
    made = shaped(
        name,
        steps,
        inputs=inputs,
        outputs=outputs,
        pipelines=pipelines,
        timeout=timeout,
        version=version,
        description=description,
    )
    made.check()
    return made


def shaped(
    name: str,
    steps: Iterable[Any],
    /,
    *,
    inputs: Mapping[str, Any] | str | None = None,
    outputs: Iterable[str] | None = None,
    pipelines: Mapping[str, Any] | None = None,
    timeout: float | timedelta | None = None,
    version: str = "1.0.0",
    description: str = "",
) -> Pipeline:
    """What :func:`pipeline` makes, before anybody looks whether the fields flow."""
    if not (_is_text(name) and NAME.fullmatch(name)):
        raise refused(f"The name {str(name)[:64]!r} of a pipeline is not {NAME_RULE}", "choose another name")
    if not (_is_text(version) and SEMVER.fullmatch(version)):
        raise refused(f"The version of {name!r} is {str(version)[:64]!r}", "write a version such as 1.2.0")
    if not _is_text(description):
        raise refused(f"The description of {name!r} is of type {type(description).__name__!r}", "give a text")
    listed = _steps(steps, name)
    named = {_name(each, name): _steps(held, each) for each, held in (pipelines or {}).items()}
    brought = [held for held in (pipelines or {}).values() if isinstance(held, Pipeline)]
    _collect([*listed, *(step for held in named.values() for step in held)], brought, named)
    if sum(1 for held in (listed, *named.values()) for _ in walked(held)) > MOST_STEPS:
        raise refused(f"The pipeline {name!r} has more than {MOST_STEPS} steps", "make a tool of a part of it")
    made = Pipeline(
        name=name,
        steps=listed,
        pipelines=named,
        inputs=schema_of_inputs(inputs, name),
        outputs=None if outputs is None else _outputs(outputs, name),
        timeout=seconds_of(timeout, f"the pipeline {name!r}"),
        version=version,
        description=description,
    )
    _require_undone_once(made)
    return made


class _Resuming(TypedDict, total=False):
    """What :meth:`Pipeline.resume` is told beside the run."""

    checkpoint: Required[Checkpoints | str | PathLike[str]]
    unknown: Any
    timeout: float | timedelta | None
    on_event: OnEvent | None


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Pipeline(Shape):
    """Steps that are run one after the other in a session; make one with :func:`pipeline`.

    ``inputs`` is the JSON Schema of an object, or None when nobody said what a run begins with.
    ``timeout`` is in seconds. ``pipelines`` are the steps of every named pipeline in it.
    """

    def mermaid(self) -> str:
        """A picture of the pipeline as a flowchart of Mermaid."""
        from altar.ai.pipelines.mermaid import mermaid

        return mermaid(self)

    def to_yaml(self) -> str:
        """The pipeline as YAML; :func:`altar.ai.pipelines.load_pipeline` reads it. Needs the extra ``yaml``."""
        from altar.ai.pipelines.yaml_writing import to_yaml

        return to_yaml(self)

    def check(self, session: Session | SyncSession | None = None) -> Flow:
        """Look whether the fields flow, with the contracts of a session, or those that this process knows.

        A session must have every tool; without one, a tool that is not known here is left to the run.
        Returns which fields each step takes and gives. Raises DeclarationError INVALID_PIPELINE, which names everything
        that is wrong, with its step.
        """
        tools = None if session is None else session.tools
        return require_flow(self, known_contract(self, session), tools=tools)

    # --------------------------------------------------------------------------------------------------- running

    @overload
    def run(self, session: SyncSession, inputs: Mapping[str, Any] | None = None, /, **named: Any) -> PipelineResult: ...
    @overload
    def run(
        self, session: Session, inputs: Mapping[str, Any] | None = None, /, **named: Any
    ) -> Coroutine[Any, Any, PipelineResult]: ...
    def run(
        self,
        session: Session | SyncSession,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        timeout: float | timedelta | None = None,
        checkpoint: Checkpoints | str | PathLike[str] | None = None,
        run_id: str | None = None,
        on_event: OnEvent | None = None,
        **named: Any,
    ) -> Any:
        """Run it in a session, and return what came of it; to be awaited with a session of an event loop.

        The inputs are one mapping, or given by name. Each step is a call through the session.
        ``timeout`` is in seconds. ``checkpoint`` is the file where the run is kept, so that it can be resumed under its
        ``run_id``. ``on_event`` is told each step as it begins and ends, with a SyncSession in the calling thread.
        A step that fails makes a result with an error; inputs that do not fit are one too (INVALID_TOOL_ARGS).
        Raises INVALID_PIPELINE when the contracts of the session do not let the fields flow, UNSUPPORTED_TOOL when it
        has not all tools.
        """
        from altar.ai.pipelines.running import Wanted, running

        return running(
            session,
            Wanted(
                self,
                inputs=_given(self.name, inputs, named),
                timeout=seconds_of(timeout, f"a run of {self.name!r}"),
                checkpoint=checkpoint,
                run_id=run_id,
                on_event=on_event,
            ),
        )

    @overload
    def resume(self, session: SyncSession, run_id: str, /, **how: Unpack[_Resuming]) -> PipelineResult: ...
    @overload
    def resume(
        self, session: Session, run_id: str, /, **how: Unpack[_Resuming]
    ) -> Coroutine[Any, Any, PipelineResult]: ...
    def resume(
        self,
        session: Session | SyncSession,
        run_id: str,
        /,
        *,
        checkpoint: Checkpoints | str | PathLike[str],
        unknown: Any = None,
        timeout: float | timedelta | None = None,
        on_event: OnEvent | None = None,
    ) -> Any:
        """Go on with a run that was interrupted; what is finished is not run again. A run that is over is answered.

        ``unknown`` says what becomes of a step of which nobody knows whether it ran: ``"again"`` runs such steps again,
        a mapping gives their results by their paths.
        Raises OUTCOME_UNKNOWN naming the step without it, VERSION_MISMATCH for a run of another pipeline,
        UNKNOWN_RESOURCE for one that is not there, RESOURCE_CONFLICT while another process runs it.
        """
        from altar.ai.pipelines.running import Wanted, running

        return running(
            session,
            Wanted(
                self,
                timeout=seconds_of(timeout, f"a run of {self.name!r}"),
                checkpoint=checkpoint,
                run_id=run_id,
                resumes=True,
                unknown=unknown,
                on_event=on_event,
            ),
        )

    @overload
    def stream(
        self, session: SyncSession, inputs: Mapping[str, Any] | None = None, /, **named: Any
    ) -> SyncPipelineStream: ...
    @overload
    def stream(self, session: Session, inputs: Mapping[str, Any] | None = None, /, **named: Any) -> PipelineStream: ...
    def stream(
        self,
        session: Session | SyncSession,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        timeout: float | timedelta | None = None,
        checkpoint: Checkpoints | str | PathLike[str] | None = None,
        run_id: str | None = None,
        **named: Any,
    ) -> Any:
        """Run it, and read its events as they come; the last one has the result. Takes what :meth:`run` takes.

        Nothing happens before the first event is asked for; to leave the stream is to cancel the run.
        """
        from altar.ai.pipelines.running import Wanted
        from altar.ai.pipelines.stream import PipelineStream, SyncPipelineStream

        wanted = Wanted(
            self,
            inputs=_given(self.name, inputs, named),
            timeout=seconds_of(timeout, f"a run of {self.name!r}"),
            checkpoint=checkpoint,
            run_id=run_id,
        )
        if isinstance(session, SyncSession):
            return SyncPipelineStream(session, wanted)
        return PipelineStream(session, wanted)

    def as_tool(self, name: str | None = None, *, register: bool = True) -> ToolFunction[..., Any]:
        """The pipeline as a tool: its parameters are the inputs, its result an object of the outputs.

        It runs in the session that it is called in, so it nests and is promoted like any tool.
        Raises INVALID_PIPELINE when the contracts of its tools are not known in this process.
        """
        from altar.ai.pipelines.as_tool import tool_of

        return tool_of(self, name=name, register=register)


# ---------------------------------------------------------------------------------------------------------- inside


def _is_text(given: object) -> bool:
    return isinstance(given, str)


def _steps(given: object, name: str) -> tuple[Step, ...]:
    if isinstance(given, Pipeline):
        return given.steps
    if isinstance(given, (str, Mapping)) or not isinstance(given, Iterable):
        raise refused(f"The steps of {name!r} are of type {type(given).__name__!r}", "give a list of steps")
    found = numbered(as_step(each, f"the pipeline {name!r}") for each in given)
    if not found:
        raise refused(f"The pipeline {name!r} has no steps", "give it at least one")
    return found


def _name(given: object, name: str) -> str:
    if not (isinstance(given, str) and NAME.fullmatch(given)):
        raise refused(f"{str(given)[:64]!r} in the pipelines of {name!r} is not {NAME_RULE}", "choose another name")
    return given


def _collect(steps: Iterable[Step], brought: Iterable[Pipeline], named: dict[str, tuple[Step, ...]]) -> None:
    """Add the pipelines that were given themselves, with those that they name in turn."""
    found = [pair for given in brought for pair in given.pipelines.items()]
    for step in walked(steps):
        for name, given in step.made.items() if isinstance(step, (BranchStep, PipelineStep)) else ():
            found += [(name, given.steps), *given.pipelines.items()]
    for name, held in found:
        known = named.setdefault(name, held)
        if known is not held and documents_of(known) != documents_of(held):
            raise refused(f"Two pipelines are called {name!r}", "give one of them another name")


def _require_undone_once(made: Pipeline) -> None:
    """Raise INVALID_PIPELINE for what would undo a compensation, which is never called."""
    found = undoing_of_undoing(made)
    if found is not None:
        step, back, inside, again = found
        has = f"has in it the step {inside.name!r} with" if inside is not back else "has"
        raise refused(
            f"The compensation {back.name!r} of the step {step.name!r} of {made.name!r} {has} the compensation "
            f"{again.name!r}, which would never be called",
            "leave that out; fallback= says what is done when a compensation fails",
        )


def _outputs(given: object, name: str) -> tuple[str, ...]:
    if isinstance(given, (str, Mapping)) or not isinstance(given, Iterable):
        raise refused(f"The outputs of {name!r} are of type {type(given).__name__!r}", "give a list of fields")
    listed = list(given)
    if not listed or not all(isinstance(each, str) and each for each in listed):
        raise refused(f"The outputs of {name!r} are no names of fields", "give a list of fields: ['report']")
    return tuple(dict.fromkeys(listed))


def _given(name: str, inputs: Mapping[str, Any] | None, named: dict[str, Any]) -> Mapping[str, Any]:
    if inputs is not None and not isinstance(inputs, Mapping):
        raise ValidationError(
            "MALFORMED_REQUEST",
            f"The inputs of {name!r} are of type {type(inputs).__name__!r}, and must be a mapping",
            ran="no",
            hint="name each input, topic='whales', or give one mapping, {'topic': 'whales'}",
        )
    if inputs and named:
        raise ValidationError(
            "MALFORMED_REQUEST",
            f"The inputs of {name!r} are given in a mapping and by name",
            ran="no",
            hint="put all of them into the mapping, or name all of them",
        )
    return inputs or named
