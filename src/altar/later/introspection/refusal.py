"""Why arguments that fit the contract could still not be bound, in the words that the contract's own check uses.

In: what pydantic, or a validator of the user's own, raised while the arguments were read.
Out: a ValidationError with a defect for each place, and the signature as its hint.
No value is quoted, and nothing is told that a validator let slip.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import orjson

from altar.adm.defect import Defect, Kind, pointer
from altar.adm.errors import AltarError, ValidationError
from altar.adm.findings import MAX_FINDINGS, Wording

if TYPE_CHECKING:
    from altar.adm.declaration import FunctionDeclaration

__all__ = ["refused_arguments"]

_ARGUMENTS: Final = Wording(root="The arguments", member="Argument")
_SHOULD: Final = re.compile(
    r"(?:\w+ )?(?:input|value|string|data|url|uuid|list|tuple|set|dictionary|bytes) should ", re.IGNORECASE
)
_OWN_WORDS: Final = ("Value error, ", "Assertion failed, ")
_KINDS: Final[tuple[tuple[re.Pattern[str], Kind], ...]] = (
    (re.compile("missing"), "REQUIRED"),
    (re.compile("extra_forbidden"), "UNKNOWN_FIELD"),
    (re.compile("literal_error|enum"), "ENUM"),
    (re.compile(r"\w+_type|union_tag_\w+"), "TYPE"),
    (re.compile(r"(greater|less)_than(_equal)?|multiple_of|finite_number|\w+_(past|future)|decimal_\w+"), "RANGE"),
    (re.compile(r"\w*too_(short|long)"), "LENGTH"),
    (re.compile("json_invalid"), "PARSE"),
    (re.compile(r"\w+_(parsing|pattern_mismatch|inexact|encoding|scheme)|timezone_\w+"), "PATTERN"),
)
"""The kinds of defect by pydantic's names of errors; any other is a value that is refused as such."""

_WRITTEN_AS_TEXT: Final = re.compile("(date|datetime|time|time_delta|uuid|url|bytes|decimal)_type")

_SEEN_BEFORE: Final = frozenset({"REQUIRED", "UNKNOWN_FIELD", "ENUM", "TYPE"})
"""What the contract's check refuses; after it these come from forms of a union that were not meant."""


def refused_arguments(declaration: FunctionDeclaration, refused: Exception, arguments: bytes) -> ValidationError:
    """Return INVALID_TOOL_ARGS, `ran` no, for what reading `arguments` for a function raised."""
    from pydantic import ValidationError as Refusal

    hint = declaration.signature
    if isinstance(refused, AltarError):
        found = refused.defects or (Defect(refused.path, "FORBIDDEN", refused.message),)
        return ValidationError(
            "INVALID_TOOL_ARGS",
            refused.message,
            hint=refused.hint or hint,
            path=refused.path,
            ran="no",
            defects=found,
            more_defects=refused.more_defects,
        )
    if not isinstance(refused, Refusal):
        message = f"The arguments of {declaration.name!r} could not be read"
        return ValidationError(
            "INVALID_TOOL_ARGS",
            message,
            hint=hint,
            detail=f"{type(refused).__name__}: {refused}",
            path="",
            ran="no",
            defects=(Defect("", "FORBIDDEN", message),),
        )
    errors: list[Any] = refused.errors(include_url=False, include_context=False, include_input=False)[:MAX_FINDINGS]
    value = orjson.loads(arguments) if any(error["loc"] for error in errors) else None
    defects = list(dict.fromkeys(_defect(error, value) for error in errors))
    meant = [defect for defect in defects if defect.category not in _SEEN_BEFORE] or defects
    return ValidationError.from_defects("INVALID_TOOL_ARGS", meant, hint=hint, ran="no")


def _defect(error: dict[str, Any], value: Any) -> Defect:
    """The defect for one of pydantic's errors."""
    name: str = error["type"]
    kind: Kind = next((kind for pattern, kind in _KINDS if pattern.fullmatch(name)), "FORBIDDEN")
    steps, held = _existing(error["loc"], value)
    if isinstance(held, str) and _WRITTEN_AS_TEXT.fullmatch(name):
        kind = "PATTERN"  # pydantic calls a text of another form a wrong type
    if kind == "REQUIRED":
        steps = [*steps, error["loc"][-1]]
    return Defect(pointer(*steps), kind, f"{_ARGUMENTS.subject(steps)}{_phrase(error['msg'], kind)}")


def _phrase(message: str, kind: Kind) -> str:
    """What is said of a place; a validator of the user's own keeps its words."""
    if kind == "REQUIRED":
        return " is missing"
    if kind == "UNKNOWN_FIELD":
        return " is not declared"
    for own in _OWN_WORDS:
        if message.startswith(own):
            return f": {message.removeprefix(own)}"
    should = _SHOULD.match(message)
    return f" must {message[should.end() :]}" if should else f": {message}"


def _existing(location: tuple[int | str, ...], value: Any) -> tuple[list[int | str], Any]:
    """The steps of pydantic's location that exist in the arguments, and what is there.

    The others name branches of a union.
    """
    steps: list[int | str] = []
    for step in location:
        if isinstance(value, dict) and str(step) in value:
            value = value[str(step)]
            steps.append(str(step))
        elif isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value):
            value = value[step]
            steps.append(step)
    return steps, value
