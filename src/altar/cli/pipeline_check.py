"""`altar pipeline check`, `show` and `schema`: what is wrong with a pipeline and what it looks like; nothing is run."""

from __future__ import annotations

import shutil
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from altar.adm.errors import DeclarationError, ValidationError
from altar.cli import output
from altar.cli.pipeline_source import pipeline_named
from altar.cli.tools import named_or_set

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from altar.ai.pipelines.definition import Pipeline
    from altar.ai.pipelines.flaws import Flaw
    from altar.ai.pipelines.flow import Flow
    from altar.later.front import SyncSession

__all__ = ["check", "schema", "show", "source_option", "tools_option"]

tools_option = click.option(
    "--tools", "modules", multiple=True, metavar="MODULE", help="Module or .py file that declares tools."
)
source_option = click.option("--source", help="Where to run: `later:` or `grid://host:port`.")


@click.command()
@click.argument("which", metavar="PIPELINE")
@tools_option
@source_option
@output.json_option
def check(*, which: str, modules: tuple[str, ...], source: str | None, as_json: bool) -> int:
    """Check that every step of PIPELINE finds its tool and its fields; nothing is run.

    The tools are those of the host that the source names, or those that MODULES declare.
    Without either, only what is known of a tool in this process is checked, and a warning names the others.

    Ends with 1 when something is wrong, and tells all of it.
    """
    from altar.ai.pipelines.flaws import flaws_of
    from altar.cli.pipeline_tree import members_of

    try:
        found = _examined(which, modules, source)
    except DeclarationError as refused:
        if refused.code != "INVALID_PIPELINE":
            raise
        flaws = flaws_of(refused)
        output.data(
            {"ok": False, "pipeline": which, "findings": [one.to_json() for one in flaws]},
            as_json=as_json,
            text=_table(flaws),
        )
        if not as_json:
            output.say(f"error: {len(flaws)} {'thing is' if len(flaws) == 1 else 'things are'} wrong with {which}")
        return output.FAILED
    if found.unknown:
        output.warn(
            f"the {'tool' if len(found.unknown) == 1 else 'tools'} {', '.join(map(repr, found.unknown))} "
            f"{'is' if len(found.unknown) == 1 else 'are'} not known here, so it was not checked what they take and "
            "give; name their modules with --tools, or a host with --source"
        )
    output.data(
        {"ok": True, "findings": [], **_flow_json(found)},
        as_json=as_json,
        text=f"{_title(found.pipeline)}\n"
        f"takes {members_of(found.flow.inputs)}\nanswers {members_of(found.flow.outputs)}",
    )
    return output.DONE


@click.command()
@click.argument("which", metavar="PIPELINE")
@tools_option
@click.option("--mermaid", "as_mermaid", is_flag=True, help="Write a flowchart in the language of Mermaid.")
@click.option("--yaml", "as_yaml", is_flag=True, help="Write it as YAML.")
@output.json_option
def show(*, which: str, modules: tuple[str, ...], as_mermaid: bool, as_yaml: bool, as_json: bool) -> None:
    """Show the steps of PIPELINE as a tree: what each is, takes and gives, and what happens when it fails."""
    from altar.cli.pipeline_tree import tree_of

    asked = [
        word for word, is_asked in (("--json", as_json), ("--yaml", as_yaml), ("--mermaid", as_mermaid)) if is_asked
    ]
    if len(asked) > 1:
        raise ValidationError(
            "MALFORMED_REQUEST",
            f"{' and '.join(asked)} are answers of different forms",
            ran="no",
            hint="ask for one of them",
        )
    made = pipeline_named(which, modules)
    if as_mermaid or as_yaml:
        output.data(None, as_json=False, text=(made.mermaid() if as_mermaid else made.to_yaml()).rstrip("\n"))
        return
    found = _Examined(made, made.check(), _unknown(made, None))
    is_read = sys.stdout is not None and sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if is_read else None
    tree = tree_of(made, found.flow, width=width, encoding=output.encoding_of(sys.stdout))
    text = f"{_title(made)}\n{tree}"
    output.data(_flow_json(found) | {"pipeline": made.to_json()}, as_json=as_json, text=text)


@click.command()
@output.json_option
def schema(*, as_json: bool) -> None:
    """Print the JSON Schema of a pipeline in YAML, by which an editor completes and checks one."""
    import json

    from altar.ai.pipelines.yaml_keys import json_schema

    output.data(json_schema(), as_json=as_json, text=json.dumps(json_schema(), indent=2))


# --------------------------------------------------------------------------------------------------------- checking


@dataclass(frozen=True, slots=True)
class _Examined:
    """A pipeline in which nothing is wrong, its flow, and the tools that nobody knows here."""

    pipeline: Pipeline
    flow: Flow
    unknown: Sequence[str]


def _examined(which: str, modules: Sequence[str], source: str | None) -> _Examined:
    """Load a pipeline and check it with the tools that a run would have.

    Raises INVALID_PIPELINE with everything that is wrong.
    """
    import altar
    from altar.ai.pipelines.flow import require_flow
    from altar.ai.pipelines.plan import known_contract
    from altar.settings import Settings

    with ExitStack() as stack:
        session: SyncSession | None = None
        if not (source or Settings.load().source).startswith("later:"):
            session = stack.enter_context(altar.session(source=source))
        names = None if session is None and not named_or_set(modules) else (lambda: _names(session))

        flows: list[Flow] = []

        def look(made: Pipeline) -> None:
            there = None if names is None else names()
            flows.append(require_flow(made, known_contract(made, session), tools=there))

        made = pipeline_named(which, modules, check=look)
        return _Examined(made, flows[-1], _unknown(made, session))


def _names(session: SyncSession | None) -> Collection[str]:
    """The names of all tools that there are: those of a session, or those that are declared here."""
    from altar.later.registry import REGISTRY

    return {tool.name for tool in REGISTRY.tools()} if session is None else session.tools


def _unknown(made: Pipeline, session: SyncSession | None) -> list[str]:
    """The names of tools whose contract nobody here knows."""
    from altar.ai.pipelines.plan import known_contract

    contract = known_contract(made, session)
    asked = {step.tool for step in made.tool_steps if step.made is None or session is not None}
    return sorted({one.partition("@")[0] for one in asked if contract(one) is None})


def _table(flaws: Sequence[Flaw]) -> str:
    """One line for each flaw: where, the step, the field, what is near, and what is wrong with it."""
    head = ("LINE", "STEP", "FIELD", "NEAREST", "WHAT IS WRONG")
    rows = [head, *(_row(one) for one in flaws)]
    told = [at for at in range(len(head)) if at == len(head) - 1 or any(row[at] for row in rows[1:])]
    return output.columns([[row[at] for at in told] for row in rows])


def _row(flaw: Flaw) -> tuple[str, ...]:
    place = f"{flaw.line}:{flaw.column}" if flaw.line else ""
    what = f"{flaw.words}; {flaw.hint}" if flaw.hint else flaw.words
    return (place, flaw.step, flaw.field, flaw.nearest, " ".join(what.split()))


# ---------------------------------------------------------------------------------------------------------- showing


def _title(made: Pipeline) -> str:
    said = f": {' '.join(made.description.split())}" if made.description else ""
    return f"{made.name} {made.version}{said}"


def _flow_json(found: _Examined) -> dict[str, Any]:
    made, flow = found.pipeline, found.flow
    return {
        "name": made.name,
        "version": made.version,
        "digest": made.digest,
        "inputs": flow.inputs,
        "outputs": flow.outputs,
        "steps": [
            {"path": path, "takes": dict(taken), "gives": list(flow.gives.get(path, ()))}
            for path, taken in flow.takes.items()
        ],
        "unknown_tools": list(found.unknown),
    }
