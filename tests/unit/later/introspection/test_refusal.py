"""Arguments that a type refuses after the contract's check: told in the same form as by that check."""

from __future__ import annotations

import datetime as dt
import functools
from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, BaseModel, field_validator

from altar.adm.canonical import canonical
from altar.adm.errors import ValidationError
from altar.later.tool import ToolFunction, tool

declared = functools.partial(tool, description="d", register=False)


class Guest(BaseModel):
    kind: Literal["guest"]
    name: str

    @field_validator("name")
    @classmethod
    def _is_somebody(cls, name: str) -> str:
        if name == "broken":
            raise RuntimeError("secret")
        if name == "nobody":
            raise ValueError("nobody cannot come")
        return name


class Group(BaseModel):
    kind: Literal["group"]
    size: int


@declared
def invite(
    guests: list[Guest | Group] | int = 0, days: list[dt.date] | None = None, keyed: dict[str, dt.time] | None = None
) -> None: ...


def refused(function: ToolFunction[..., Any], **arguments: Any) -> ValidationError:
    """The error of a call whose arguments fit the contract, and not their types."""
    written = canonical(arguments)
    values = function.check(written)
    with pytest.raises(ValidationError) as raised:
        function.bind(written, values)
    return raised.value


@pytest.mark.parametrize(
    ("arguments", "path", "kind", "message"),
    [
        ({"days": ["2026-01-01", "x"]}, "/days/1", "PATTERN", "Argument `days[1]` must be a valid date"),
        ({"keyed": {"a": "noon"}}, "/keyed/a", "PATTERN", "Argument `keyed.a` must be in a valid time format"),
        (
            {"guests": [{"kind": "group", "size": 1}, {"kind": "guest", "name": "nobody"}]},
            "/guests/1/name",
            "FORBIDDEN",
            "Argument `guests[1].name`: nobody cannot come",
        ),
        (
            {"guests": [{"kind": "guest", "name": "broken"}]},
            "",
            "FORBIDDEN",
            "The arguments of 'invite' could not be read",
        ),
    ],
)
def test_one_defect_has_its_place_its_kind_and_the_signature_as_hint(
    arguments: dict[str, Any], path: str, kind: str, message: str
) -> None:
    error = refused(invite, **arguments)

    assert ("INVALID_TOOL_ARGS", "no", path, invite.declaration.signature) == (
        error.code,
        error.ran,
        error.path,
        error.hint,
    )
    assert error.message.startswith(message)
    assert [(path, kind)] == [(defect.path, defect.category) for defect in error.defects]
    assert "secret" not in error.message


def test_every_place_is_a_defect_of_its_own() -> None:
    error = refused(invite, days=["x", "2026-01-01", "y"])

    assert ["/days/0", "/days/2"] == [defect.path for defect in error.defects]
    assert error.message.endswith(" (and 1 more)")


def test_without_a_check_before_the_same_words_are_used_as_by_the_check() -> None:
    with pytest.raises(ValidationError) as missing:
        invite.bind(b'{"guests":[{"kind":"group"}]}')
    with pytest.raises(ValidationError) as undeclared:
        invite.bind(b'{"other":1}')

    assert "Argument `guests[0].size` is missing" in {defect.message for defect in missing.value.defects}
    assert "Argument `other` is not declared" == undeclared.value.message


def test_a_validator_that_speaks_our_errors_has_a_defect_and_a_hint_too() -> None:
    def judge(city: str) -> str:
        raise ValidationError("SCHEMA_VIOLATION", f"There is no {city!r}", path="/city", hint="ask for another one")

    @declared
    def take(city: Annotated[str, AfterValidator(judge)]) -> None: ...

    error = refused(take, city="Atlantis")

    assert ("There is no 'Atlantis'", "ask for another one") == (error.message, error.hint)
    assert ["/city"] == [defect.path for defect in error.defects]
