"""Calls and results from the members of a foreign message.

In: the parts that a provider's message names, and the call that a result answers.
Out: a `FunctionCall` or a `ToolResult`.
A message that is not what its format asks for is refused with MALFORMED_REQUEST and the place in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from altar.adm.call import ErrorObject, FunctionCall, ResultStatus, ToolResult
from altar.adm.canonical import JsonValue
from altar.adm.declaration import FunctionDeclaration
from altar.adm.defect import Defect, quoted
from altar.adm.errors import AltarError, ValidationError
from altar.adm.formats.format import Format, Loss, abroad, unheld_extensions
from altar.adm.formats.names import fitting
from altar.adm.formats.text import UNEXPLAINED


def call_of(
    *, name: object, args: Mapping[str, Any], call_id: object, extensions: Mapping[str, Any] | None = None
) -> FunctionCall:
    """Return the call with these parts; a foreign name becomes the one its declaration has here."""
    document = {**(extensions or {}), "call_id": call_id, "name": name, "args": args}
    if isinstance(name, str) and name:
        document["name"] = fitting(name)
    if call_id is None:
        raise malformed("/id", "The call has no id; give one as `call_id`")
    call, found = FunctionCall.read(document, mode="lenient")
    if call is None:
        raise ValidationError.from_defects("MALFORMED_REQUEST", found)
    return call


def answer_of(call: FunctionCall, content: JsonValue, error: ErrorObject | None, **parts: Any) -> ToolResult:
    """Return the result of `call`: the error if there is one, else the content."""
    status = ResultStatus.SUCCESS if error is None else ResultStatus.ERROR
    return ToolResult(call.call_id, call.name, status, None if error else content, error, **parts)


def message(document: object, *, what: str) -> Mapping[str, Any]:
    """Return a message that is an object; refuse any other."""
    if not isinstance(document, Mapping):
        raise malformed("", f"{what} must be an object, not {quoted(document)}")
    return document


def answers(held: object, call: FunctionCall, *, at: str) -> None:
    """Refuse a result whose id is that of another call; one without an id cannot be held against it."""
    if held is not None and held != call.call_id:
        raise malformed(at, f"The result is for the call {quoted(held)}, not for {call.call_id!r}")


def malformed(at: str, text: str) -> ValidationError:
    """Return the error for a message that is wrong at a place."""
    return ValidationError.from_defects("MALFORMED_REQUEST", [Defect(at, "MISMATCH", text)])


def name_abroad(name: str, declaration: FunctionDeclaration | None, *, format: Format) -> str:
    """Return what a function is called abroad: the name kept at its import, or its own."""
    return name if declaration is None else abroad(declaration, format=format, known=()).name


def failure_of(result: ToolResult) -> ErrorObject | None:
    """Return the error of a result that is no success, whatever its status is called; None for a success."""
    if result.status is ResultStatus.SUCCESS:
        return None
    if result.error is not None:
        return result.error
    try:
        result.unwrap()
    except AltarError as error:
        return ErrorObject.of(error)
    return ErrorObject(UNEXPLAINED)


def unheld_call(call: FunctionCall, *, title: str, own: str) -> Iterator[Loss]:
    """Yield a loss for each member of a call that a format has no place for."""
    yield from unheld_extensions(call.extensions, title=title, own=own)


def unheld_result(result: ToolResult, *, title: str, own: str) -> Iterator[Loss]:
    """Yield a loss for each member of a result that a format has no place for."""
    for name in ("usage", "metadata"):
        if getattr(result, name) is not None:
            yield Loss(f"/{name}", "left out", f"{title} has no member for it")
    yield from unheld_extensions(result.extensions, title=title, own=own)
