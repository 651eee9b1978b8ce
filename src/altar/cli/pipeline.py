"""`altar pipeline`: check, show, run and resume pipelines, written in YAML or in Python."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from altar.adm.errors import AltarError, ExecutionError, ValidationError
from altar.cli import output
from altar.cli.call import arguments_of
from altar.cli.pipeline_check import check, schema, show, source_option, tools_option
from altar.cli.pipeline_source import pipeline_named

if TYPE_CHECKING:
    from collections.abc import Callable

    from altar.ai.pipelines.definition import Pipeline
    from altar.ai.pipelines.events import PipelineEvent
    from altar.ai.pipelines.result import PipelineResult, StepRecord
    from altar.ai.pipelines.run_list import RunSummary

__all__ = ["pipeline"]

_timeout = click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Limit of the whole run."
)
_checkpoints = click.option("--checkpoint", required=True, metavar="FILE", help="File of the runs.")


@click.group()
def pipeline() -> None:
    """Check, show, run and resume pipelines.

    A PIPELINE is a file such as research.yaml, or one of a module: app:research, app.py:research.
    """


for _command in (check, schema, show):
    pipeline.add_command(_command)


@pipeline.command()
@click.argument("which", metavar="PIPELINE")
@tools_option
@click.option("--input", "inputs", multiple=True, metavar="FIELD=VALUE", help="One input.")
@click.option("--input-json", metavar="JSON", help="Inputs as one JSON object.")
@source_option
@_timeout
@click.option("--checkpoint", metavar="FILE", help="Keep the run in this file, so that it can be resumed.")
@click.option("--run-id", metavar="ID", help="Name of the run; without it, one is made up.")
@output.json_option
def run(
    *,
    which: str,
    modules: tuple[str, ...],
    inputs: tuple[str, ...],
    input_json: str | None,
    source: str | None,
    timeout: float | None,
    checkpoint: str | None,
    run_id: str | None,
    as_json: bool,
) -> int:
    """Run PIPELINE and print its outputs as JSON.

    A value is taken as text where the input is a string, and as JSON where it is anything else.
    With `--json` the whole result is printed, with its fields and what became of each step.
    """
    import altar
    from altar.ai.pipelines.checkpoints import new_run_id

    if run_id is not None and checkpoint is None:
        raise ValidationError(
            "MALFORMED_REQUEST",
            f"The run is to be called {run_id[:80]!r}, and is kept nowhere",
            ran="no",
            hint="say where it is kept, --checkpoint FILE, or leave --run-id out",
        )
    made = pipeline_named(which, modules)
    named = new_run_id() if run_id is None else run_id
    with redirect_stdout(sys.stderr), altar.session(source=source) as session:  # what tools print is not our data
        values = arguments_of(
            inputs, json_args=input_json, option="--input-json", parameters=made.check(session).inputs
        )
        with _shown(made, named, checkpoint) as on_event:
            result = made.run(session, values, timeout=timeout, checkpoint=checkpoint, run_id=named, on_event=on_event)
    return _answer(result, as_json=as_json)


@pipeline.command()
@click.argument("run_id", metavar="RUN")
@click.argument("which", metavar="PIPELINE")
@_checkpoints
@tools_option
@click.option(
    "--unknown",
    multiple=True,
    metavar="again|STEP=JSON",
    help="Call steps of unknown outcome again, or take this as the result of one.",
)
@source_option
@_timeout
@output.json_option
def resume(
    *,
    run_id: str,
    which: str,
    checkpoint: str,
    modules: tuple[str, ...],
    unknown: tuple[str, ...],
    source: str | None,
    timeout: float | None,
    as_json: bool,
) -> int:
    """Go on with the RUN of PIPELINE that was interrupted; what is finished is not run again.

    Of a step that must not happen twice, and had begun, nobody may know whether it ran: then nothing is run, and the
    step is named. Look at its effect, and say `--unknown again`, or give its result.
    """
    import altar

    made = pipeline_named(which, modules)
    said = _said(unknown)
    try:
        with (
            redirect_stdout(sys.stderr),
            altar.session(source=source) as session,
            _shown(made, run_id, checkpoint) as on_event,
        ):
            result = made.resume(
                session, run_id, checkpoint=checkpoint, unknown=said, timeout=timeout, on_event=on_event
            )
    except ExecutionError as lost:
        if lost.code == "OUTCOME_UNKNOWN":
            lost.hint = _HOW_TO_SAY
        raise
    return _answer(result, as_json=as_json)


@pipeline.command()
@_checkpoints
@output.json_option
def runs(*, checkpoint: str, as_json: bool) -> None:
    """List the runs of a file, the newest first, with how each stands."""
    from altar.ai.pipelines.run_list import list_runs

    found = list_runs(checkpoint)
    rows = [("RUN", "PIPELINE", "BEGAN", "STEPS", "STATUS"), *map(_row, found)] if found else []
    output.data([one.to_json() for one in found], as_json=as_json, text=output.columns(rows))
    if not found and not as_json:
        output.say(f"no run is kept in {checkpoint!r}")


@pipeline.command()
@click.argument("run_ids", nargs=-1, metavar="[RUN]...")
@_checkpoints
@click.option("--older-than", type=click.FloatRange(min=0), metavar="DAYS", help="Every run that ended before.")
@output.json_option
def forget(*, run_ids: tuple[str, ...], checkpoint: str, older_than: float | None, as_json: bool) -> None:
    """Remove runs from a file, with their inputs and results; one that is being run stays.

    Where a RUN is not there, none is removed.
    """
    from altar.ai.pipelines.run_list import forget_runs, list_runs

    if not run_ids and older_than is None:
        raise ValidationError(
            "MALFORMED_REQUEST", "No run is named", ran="no", hint="name runs, or say --older-than DAYS"
        )
    gone = forget_runs(checkpoint, dict.fromkeys(run_ids), all_there=True)
    if older_than is not None:
        before = datetime.fromtimestamp(time.time(), UTC) - timedelta(days=older_than)
        ended = [one.run_id for one in list_runs(checkpoint) if one.ended is not None and one.ended < before]
        gone += forget_runs(checkpoint, ended)
    output.data(gone, as_json=as_json, text="\n".join(gone))


# --------------------------------------------------------------------------------------------------------- running


@contextmanager
def _shown(made: Pipeline, run_id: str, checkpoint: str | None) -> Iterator[Callable[[PipelineEvent], None]]:
    """A bar for the steps of a run; who interrupts one that is kept is told how it goes on."""
    from altar.cli.progress import progress_bar

    with progress_bar(made.name) as bar:

        def on_event(event: PipelineEvent) -> None:
            bar(event.done, event.total)

        try:
            yield on_event
        except KeyboardInterrupt:
            if checkpoint is None:
                output.say(f"the run was kept nowhere and cannot be resumed; {_UNDONE if made.undoes else _NOT_UNDONE}")
            else:
                output.say(f"`altar pipeline resume {run_id} … --checkpoint {checkpoint}` goes on with it")
            raise


def _answer(result: PipelineResult, *, as_json: bool) -> int:
    """Print what came of a run, and give the number to end with."""
    if result.error is None:
        output.data(result.to_json() if as_json else dict(result.outputs), as_json=True)
        return output.DONE
    error = result.error.to_error()
    if as_json:
        output.data(result.to_json(), as_json=True)
        return output.exit_code(error)
    if error.code == "TIMEOUT" and error.hint:
        error.hint = error.hint.replace("timeout=… of the run", "--timeout SECONDS of this command")
    rows = [_record(step) for step in result.steps]
    if rows:
        output.say(output.columns(rows))
    return output.fail(error, as_json=False)


def _record(step: StepRecord) -> tuple[str, ...]:
    tried = f"{step.attempts} attempts" if step.attempts > 1 else ""
    return ("", str(step.status), step.path, f"{step.seconds:.2f} s", tried)


def _said(unknown: tuple[str, ...]) -> Any:
    """What a person says of steps whose outcome is unknown, as `resume` takes it."""
    from altar.ai.pipelines.checkpoints import AGAIN

    if not unknown:
        return None
    if set(unknown) == {"again"}:
        return "again"
    found: dict[str, Any] = {}
    for word in unknown:
        path, equals, text = word.partition("=")
        if not equals or path in found:
            raise ValidationError(
                "MALFORMED_REQUEST",
                f"{word!r} says nothing of a step",
                ran="no",
                hint="write --unknown again, or for each step --unknown STEP=JSON or --unknown STEP=again",
            )
        found[path] = AGAIN if text == "again" else _result(path, text)
    return found


def _result(path: str, text: str) -> Any:
    """The result that a person gives for a step."""
    from altar.adm.canonical import parse

    try:
        return parse(text)
    except AltarError as unfit:
        raise ValidationError(
            "MALFORMED_REQUEST",
            f"The result given for step {path[:200]!r} is no JSON: {unfit}",
            ran="no",
            hint=f"a text is written with quotes, which the shell must leave: --unknown '{path[:80]}=\"done\"'",
        ) from unfit


def _row(one: RunSummary) -> tuple[str, ...]:
    status = f"{one.status} in {', '.join(one.begun[:_SHOWN])}" if one.begun else one.status
    began = one.began.astimezone().isoformat(sep=" ", timespec="seconds")
    return (one.run_id, f"{one.pipeline} {one.version}", began, str(one.steps), status)


_SHOWN = 3
_UNDONE = "what it had done was undone, as far as its steps say how"
_NOT_UNDONE = "what it had done stays, because no step says how it is undone"
_HOW_TO_SAY = (
    "look at the effect; then say `--unknown again` to call it again, or `--unknown STEP=JSON` to go on with its result"
)
