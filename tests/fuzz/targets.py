"""What must hold for any bytes whatever: each target raises if something does not.

No hang, no crash, nothing raised but the errors of ALTAR, no NaN taken, and one canonical form for one value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import rfc8785

from altar.adm.call import MAX_TEXT, ErrorObject, FunctionCall, ToolResult
from altar.adm.canonical import canonical, parse, parse_canonical
from altar.adm.conformance import judge
from altar.adm.context import SecurityContext, ToolConfig
from altar.adm.declaration import MAX_DOCUMENT_DEPTH, FunctionDeclaration, Tool, ToolContract, ToolManifest
from altar.adm.errors import AltarError, DeclarationError
from altar.adm.reader import Mode
from altar.adm.schema import Schema
from altar.later.introspection.introspect import declare
from tests.fuzz.draws import Draws

STRUCTURES: Final[tuple[Any, ...]] = (
    FunctionCall,
    ToolResult,
    ErrorObject,
    ToolConfig,
    SecurityContext,
    FunctionDeclaration,
    Tool,
    ToolContract,
    ToolManifest,
)
MODES: Final[tuple[Mode, ...]] = ("strict", "lenient")
EXACT: Final = 2**53 - 1


def text(data: bytes) -> None:
    """What is read is finite, is what the standard library reads, and has one canonical form."""
    try:
        value = parse(data)
    except AltarError:
        return
    assert no_nan(value), "a NaN or an infinity was read"
    assert equal(value, json.loads(data)), "the standard library reads something else"
    canonical_form(value)


def value(data: bytes) -> None:
    """What is written is read back as the same value, and is what `rfc8785` writes inside 2^53."""
    canonical_form(Draws(data).value())


def schema(data: bytes) -> None:
    """A schema is refused or survives the way to ADM and back, and explains exactly what it refuses."""
    draws = Draws(data)
    document, mode = draws.schema(), draws.pick(MODES)
    try:
        made = Schema.from_json_schema(document, mode=mode)
    except DeclarationError as error:
        hold(bool(error.defects), "a refusal without a defect")
        return
    written = canonical(made.to_adm(), max_depth=MAX_DOCUMENT_DEPTH)
    again = Schema.from_adm(parse(written, max_depth=MAX_DOCUMENT_DEPTH), mode=mode)  # type: ignore[arg-type]
    assert made == again, "another schema came back"
    for _ in range(4):
        held = draws.value()
        assert made.accepts(held) == again.accepts(held) == (made.defects(held) == []), "no verdict, or two"


def arguments(data: bytes) -> None:
    """Arguments fit, or are refused with an error that a caller gets whole and a model can read."""
    draws = Draws(data)
    document = draws.declaration()
    try:
        parameters = Schema.from_json_schema(document["parameters"], mode="lenient")
        declaration = FunctionDeclaration(document["name"], "d", parameters)
    except DeclarationError:
        return
    assert declaration.signature
    for _ in range(4):
        try:
            declaration.check_arguments(draws.value())
        except AltarError as error:
            told(error)


def declarations(data: bytes) -> None:
    """A document is a declaration or not, in both readings; one that is keeps its digest on the way."""
    draws = Draws(data)
    document: Any = draws.declaration() if draws.byte() % 2 else draws.value()
    for mode in MODES:
        made, found = FunctionDeclaration.read(document, mode=mode)
        assert (made is None) == bool(found), "neither a declaration nor a defect, or both"
        if made is not None:
            assert made.digest == FunctionDeclaration.from_adm(made.to_adm(), mode=mode).digest


def structures(data: bytes) -> None:
    """Any JSON text is a structure or not, in both readings; one that is comes back from its own document."""
    draws = Draws(data)
    kind, mode = draws.pick(STRUCTURES), draws.pick(MODES)
    try:
        document = parse(draws.rest(), max_depth=MAX_DOCUMENT_DEPTH)
    except AltarError:
        return
    made, found = kind.read(document, mode=mode)
    assert (made is None) == bool(found), "neither a structure nor a defect, or both"
    if made is not None:
        again, found = kind.read(made.to_adm(), mode=mode)
        assert again == made, f"another structure came back: {found}"


def cases(data: bytes) -> None:
    """Any case of conformance is answered."""
    try:
        case = parse(data, max_depth=MAX_DOCUMENT_DEPTH)
    except AltarError:
        return
    judge(case)  # type: ignore[arg-type]  # whatever it is


def signatures(data: bytes) -> None:
    """A function becomes a sound declaration, or is refused in words."""
    try:
        declaration, _ = declare(Draws(data).function(), name="made")
    except DeclarationError as error:
        hold(bool(error.message), "a refusal without a word")
        return
    assert declaration == FunctionDeclaration.from_adm(declaration.to_adm())


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    "text": text,
    "value": value,
    "schema": schema,
    "arguments": arguments,
    "declarations": declarations,
    "structures": structures,
    "cases": cases,
    "signatures": signatures,
}


def hold(truth: bool, otherwise: str) -> None:
    """Raise with the words for what does not hold."""
    assert truth, otherwise


def canonical_form(value: Any) -> None:
    """Hold the canonical bytes of a value against the value and against the oracle."""
    try:
        written = canonical(value)
    except AltarError as error:
        hold(error.code == "SERIALIZATION_ERROR", "another error of the writer")
        return
    assert no_nan(value), "a NaN or an infinity was written"
    back = parse_canonical(written)
    assert equal(back, value), "another value came back"
    assert equal(back, parse(written)), "two readers differ"
    assert canonical(back) == written, "two canonical forms of one value"
    if within(value):
        assert rfc8785.dumps(value) == written, "RFC 8785 has it otherwise"


def told(error: AltarError) -> None:
    """Hold an error against what its caller gets of it."""
    shown = ErrorObject.of(error)
    canonical(shown.to_adm())
    assert shown == ErrorObject.of(shown.to_error()), "another error came back"
    assert len(shown.text) <= MAX_TEXT, "the text for a model is too long"


def no_nan(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(no_nan, value.values()))
    if isinstance(value, list | tuple):
        return all(map(no_nan, value))
    return not isinstance(value, float) or math.isfinite(value)


def within(value: Any) -> bool:
    """Whether a value is one that RFC 8785 writes exactly."""
    if isinstance(value, dict):
        return all(map(within, value.values()))
    if isinstance(value, list | tuple):
        return all(map(within, value))
    return isinstance(value, bool) or not isinstance(value, int) or abs(value) <= EXACT


def equal(one: Any, other: Any) -> bool:
    """Whether two values are one in JSON: 1 and 1.0 are, 1 and true are not.

    A float beyond 2^53 is written with the fewest digits that mean it, and those are read as an integer.
    """
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, float) or isinstance(other, float):
        return float(one) == float(other) if isinstance(one, int | float) and isinstance(other, int | float) else False
    return bool(one == other)
