"""`altar conformance`: judges the cases that all ALTAR languages share.

One JSON case comes in on each line of stdin.
One line goes out for each: `{"id", "valid", "error_path", "error_category"}`.
Each line is flushed, so that a driver may wait for an answer before it sends the next case.

Documents and values are judged by the data model.
A case that runs a function (LocalExecution) goes through the executor that every local call goes through.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from altar.cli import output

if TYPE_CHECKING:
    from altar.adm.call import FunctionCall
    from altar.adm.conformance import Verdict
    from altar.adm.declaration import FunctionDeclaration
    from altar.adm.errors import AltarError

__all__ = ["conformance", "execute"]


@click.command()
@click.option("--json", is_flag=True, expose_value=False, help="Nothing changes: the answers are JSON.")
def conformance() -> None:
    """Read one JSON case a line on stdin; write one verdict a line on stdout.

    A line that is no case is answered too, as not valid.
    A file that is an array with one case a line can be given as it is.
    """
    from altar.adm.conformance import judge

    for text in sys.stdin.buffer:
        line = text.strip().removesuffix(b",")  # a file of cases is an array with one case a line
        if line not in {b"", b"[", b"]"}:
            verdict = judge(_case(line), local_execution=execute)
            output.raw(json.dumps(verdict.to_json()).encode() + b"\n")


def execute(case: Mapping[str, Any]) -> Verdict:
    """Run the call of a LocalExecution case in a session of its own, and say how it ended.

    The input holds `declarations`, the `session_tools` among them, a `call`, and an `impl`.
    Every function does what `impl` says: `returns` a value, `returns_text` its JSON, or `raises` a text.
    Anything else stands for a result that JSON cannot hold.
    Raises KeyError or TypeError for a case that is none.
    """
    from altar.adm.call import FunctionCall
    from altar.adm.conformance import Verdict

    name, held = str(case["id"]), case["input"]
    declarations, refused = _declarations(held["declarations"])
    call, found = FunctionCall.read(held["call"])
    if refused is not None or call is None:
        path, category = refused or (found[0].under("/call").path, found[0].category)
        return Verdict(name, valid=False, error_path=path, error_category=category)
    for index, tool in enumerate(held["session_tools"]):
        if tool not in declarations:
            path = f"/session_tools/{index}"
            return Verdict(name, valid=False, error_path=path, error_category="TOOL_NOT_AVAILABLE")
    allowed = [declarations[tool] for tool in held["session_tools"]]
    error = _run(allowed, call, _implementation(held["impl"]))
    if error is None:
        return Verdict(name, valid=True)
    path, category = _seen(error)
    return Verdict(name, valid=False, error_path=path, error_category=category)


def _case(line: bytes) -> dict[str, Any]:
    # A case may hold on purpose what the strict reader refuses, so its envelope is read by the plain one.
    try:
        case = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return case if isinstance(case, dict) else {}


def _declarations(
    documents: Sequence[Any],
) -> tuple[dict[str, FunctionDeclaration], tuple[str | None, str] | None]:
    from altar.adm.declaration import FunctionDeclaration

    declarations: dict[str, FunctionDeclaration] = {}
    for index, document in enumerate(documents):
        made, found = FunctionDeclaration.read(document)
        if made is None:
            defect = found[0].under(f"/declarations/{index}")
            return declarations, (defect.path, defect.category)
        known = declarations.setdefault(made.name, made)
        if known.digest != made.digest:
            return declarations, (f"/declarations/{index}/name", "DUPLICATE")
    return declarations, None


def _implementation(impl: Mapping[str, Any]) -> Callable[..., Any]:
    def function(**_arguments: Any) -> Any:
        if "raises" in impl:
            raise RuntimeError(str(impl["raises"]))
        if "returns_text" in impl:
            return json.loads(impl["returns_text"])
        return impl["returns"] if "returns" in impl else object()

    return function


def _run(allowed: Sequence[FunctionDeclaration], call: FunctionCall, function: Callable[..., Any]) -> AltarError | None:
    from pydantic import TypeAdapter

    from altar.adm.canonical import canonical
    from altar.later.executor import Executor
    from altar.later.gate import OpenGate
    from altar.later.introspection.binder import Binder
    from altar.later.invocation import Invocation, Outcome
    from altar.later.registry import SessionTools
    from altar.later.source import LocalSource
    from altar.later.tool import ToolFunction
    from altar.later.workplace import CallerThread

    binder = Binder(TypeAdapter(dict[str, Any]))
    tools = [ToolFunction(function, declaration=one, binder=binder) for one in allowed]
    outcomes: list[Outcome] = []
    executor = Executor(
        SessionTools(tools, ttl=timedelta(hours=1)),
        OpenGate(),
        LocalSource(CallerThread()),
        lambda _, outcome: outcomes.append(outcome),
    )
    executor.execute((Invocation(call.name, canonical(call.args), call.call_id),))
    (outcome,) = outcomes
    return outcome.error


def _seen(error: AltarError) -> tuple[str | None, str]:
    """The place and the kind of a failed call, in the words of the cases."""
    if error.code == "UNSUPPORTED_TOOL":
        return "/call/name", "TOOL_NOT_AVAILABLE"
    if error.code == "INVALID_TOOL_ARGS":
        return f"/call/args{error.path or ''}", "PARAMETER_VALIDATION_FAILED"
    if error.code == "SERIALIZATION_ERROR":
        return None, "RESULT_NOT_SERIALIZABLE"
    return None, "EXECUTION_ERROR"
