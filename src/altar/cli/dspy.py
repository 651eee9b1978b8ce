"""`altar dspy`: what the DSPy that is installed has, and what of it can be called by name or served as a tool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from altar.adm.errors import ConfigurationError, ValidationError
from altar.adm.near import nearest
from altar.cli import output
from altar.cli.call import arguments_of
from altar.cli.dspy_compile import compile_program
from altar.cli.tools import load_modules

if TYPE_CHECKING:
    from altar.ai.discovery import Found

__all__ = ["dspy"]


@click.group()
def dspy() -> None:
    """See what DSPy has for tools of ALTAR."""


@dspy.command()
@click.option("--kind", metavar="KIND", help="Only this kind, such as module or optimizer.")
@click.option("--callable", "only_callable", is_flag=True, help="Only what altar.ai.call reaches.")
@click.option("--served", "only_served", is_flag=True, help="Only what can be a tool.")
@output.json_option
def discover(*, kind: str | None, only_callable: bool, only_served: bool, as_json: bool) -> None:
    """List every public class and function of DSPy by kind.

    Each says whether `altar.ai.call` reaches it by its name, whether it can be a tool, and how, or why not.
    """
    from altar.ai.discovery import KINDS
    from altar.ai.discovery import discover as found_in

    chosen = next((each for each in KINDS if each == kind), None)
    if kind is not None and chosen is None:
        near = nearest(kind, KINDS)
        raise ValidationError(
            "MALFORMED_REQUEST",
            f"DSPy has nothing of the kind {kind!r}",
            ran="no",
            hint=f"did you mean {near!r}?" if near else f"one of: {', '.join(KINDS)}",
        )
    rows = [
        row for row in found_in(kind=chosen) if (row.callable or not only_callable) and (row.served or not only_served)
    ]
    output.data([row.to_json() for row in rows], as_json=as_json, text="\n".join(_sections(rows)))
    if not as_json:
        output.say(_summary(rows))


@dspy.command()
@click.argument("name")
@output.json_option
def show(*, name: str, as_json: bool) -> None:
    """Show one class or function of DSPy: what it takes, and whether it can be called or served."""
    from altar.ai.discovery import discover as found_in
    from altar.ai.discovery import entry_of

    entry = entry_of(name)
    if entry is None:
        near = nearest(name, [row.name for row in found_in()])
        raise ValidationError(
            "UNKNOWN_RESOURCE",
            f"DSPy has no public {name!r}",
            ran="no",
            hint=f"did you mean {near!r}?" if near else "`altar dspy discover` lists what there is",
        )
    output.data(entry[0].to_json(), as_json=as_json, text="\n".join(_page(entry[0])))


@dspy.command()
@click.argument("name")
@click.argument("signature")
@click.argument("values", nargs=-1, metavar="[FIELD=VALUE]...")
@click.option("--json-args", metavar="JSON", help="Fields as one JSON object.")
@click.option("--lm", metavar="MODEL", help="Language model, as the setting `ai.lm` takes it.")
@click.option(
    "--tools", "modules", multiple=True, metavar="MODULE", help="Module or .py file of tools that it may use."
)
@output.json_option
def call(
    *,
    name: str,
    signature: str,
    values: tuple[str, ...],
    json_args: str | None,
    lm: str | None,
    modules: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make the module NAME of a SIGNATURE, ask it once, and print its output fields as JSON.

    A field is taken as text where the signature wants a string, and as JSON where it wants anything else.
    With `--json` the whole ToolResult is printed, with what the language model took.
    """
    import altar
    from altar.adapters.dspy import to_dspy
    from altar.ai import call as made_by
    from altar.ai import tool_from_module
    from altar.ai.discovery import entry_of
    from altar.ai.signatures import signature_from

    load_modules(modules)
    entry = entry_of(name)
    with altar.session(source="later:") as tools:
        takes = [each.name for each in entry[0].parameters] if entry is not None else []
        if "signature" in takes:
            signature_from(signature)  # what is none is told in words, before DSPy sees it
        given: dict[str, Any] = {"tools": to_dspy(tools)} if "tools" in takes else {}
        tool = tool_from_module(made_by(name, signature, **given), name="asked_once", lm=lm)
        _require_lm(lm)
        with altar.session([tool], source="later:") as session:
            parameters = tool.declaration.parameters.json_schema
            result = session.call(tool, arguments_of(values, json_args=json_args, parameters=parameters))
    content = result.unwrap()
    output.data(result.to_adm() if as_json else content, as_json=True)


dspy.add_command(compile_program)


def _require_lm(lm: str | None) -> None:
    """Refuse to ask where neither the option, nor a module of tools, nor the settings name a language model."""
    import dspy as framework

    from altar.ai.lm.configure import current

    if lm is None and framework.settings.lm is None and current() is None:
        raise ConfigurationError(
            "ENVIRONMENT_ERROR",
            "There is no language model to ask",
            ran="no",
            hint="name one: --lm openai/gpt-4.1-mini, or set `ai.lm`",
        )


def _sections(rows: Sequence[Found]) -> Iterator[str]:
    for kind, alike in groupby(rows, key=lambda row: row.kind):
        of_kind = list(alike)
        yield f"{kind} ({len(of_kind)})"
        table = output.columns([(row.name, _marks(row), row.note or row.summary) for row in of_kind])
        for line in table.splitlines():
            yield f"  {line}" if len(line) <= _WIDTH else f"  {line[: _WIDTH - 1]}…"


_WIDTH = 118


def _marks(row: Found) -> str:
    marks = [word for word, holds in (("tool", row.served), ("call", row.callable)) if holds]
    return ",".join([*marks, *([row.stage] if row.stage != "stable" else [])]) or "-"


def _summary(rows: Sequence[Found]) -> str:
    kinds = Counter(row.kind == "function" for row in rows)
    return (
        f"{kinds[False]} classes and {kinds[True]} functions;"
        f" {sum(row.callable for row in rows)} are called by name, {sum(row.served for row in rows)} can be tools"
    )


def _page(row: Found) -> Iterator[str]:
    parameters = ", ".join(
        each.name
        + (f": {each.annotation}" if each.annotation else "")
        + (f" = {each.default}" if each.default is not None else "")
        for each in row.parameters
    )
    yield f"{row.name}({parameters})"
    yield f"  {row.kind}, {row.stage}"
    yield f"  called by name: {'yes' if row.callable else 'no'}; can be a tool: {'yes' if row.served else 'no'}"
    if row.note:
        yield f"  {row.note}"
    if row.summary:
        yield f"  {row.summary}"
