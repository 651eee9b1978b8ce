"""What a call took: said through the context, summed, bounded, and never believed of another process unread."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

import altar
from altar.adm.errors import TransportError, ValidationError
from altar.later.bound_variables import bound_by, require_recorded, values_digest
from altar.later.extras import loaded, missing_extra
from altar.later.invocation import Invocation
from altar.later.usage import MAX_USAGE_BYTES, add_usage, read_usage, written_usage

pytestmark = pytest.mark.usefixtures("altar_registry")


def result_of(function: Any, **arguments: Any) -> altar.ToolResult:
    tool = altar.tool(function)
    with altar.session([tool], source="later:") as session:
        return session.call(tool, **arguments)


def test_numbers_of_one_name_are_summed() -> None:
    def costs(context: altar.ToolContext) -> int:
        """Cost something."""
        context.used(input_tokens=3, cost_usd=0.25)
        context.used(input_tokens=4)
        return 1

    result = result_of(costs)

    assert 1 == result.unwrap()
    assert {"input_tokens": 7, "cost_usd": 0.25} == result.usage
    assert result.usage == result.to_adm()["usage"]


def test_who_says_nothing_has_no_usage() -> None:
    def quiet(context: altar.ToolContext) -> int:
        """Cost nothing."""
        return 1

    assert result_of(quiet).usage is None


def test_a_call_that_fails_says_what_it_took_until_then() -> None:
    def fails(context: altar.ToolContext) -> int:
        """Fail."""
        context.used(lm_calls=2)
        raise ValueError("no")

    result = result_of(fails)

    assert result.error is not None
    assert {"lm_calls": 2} == result.usage


def test_a_generator_that_is_collected_says_what_it_took() -> None:
    def values(context: altar.ToolContext) -> Iterator[int]:
        """Yield two values."""
        for number in range(2):
            context.used(lm_calls=1)
            yield number

    assert {"lm_calls": 2} == result_of(values).usage


def test_large_bytes_and_usage_come_together() -> None:
    def picture(context: altar.ToolContext) -> bytes:
        """Give many bytes."""
        context.used(compute_ms=5)
        return bytes(200_000)

    result = result_of(picture)

    assert bytes(200_000) == result.bytes_at()
    assert {"compute_ms": 5} == result.usage


@pytest.mark.parametrize("number", [-1, math.nan, math.inf, 2**54, True, "3", None])
def test_what_is_no_number_is_refused_and_nothing_is_added(number: Any) -> None:
    invocation = Invocation("tool", b"{}")

    with pytest.raises(ValidationError):
        add_usage(invocation, {"good": 1, "bad": number})

    assert invocation.usage is None


@pytest.mark.parametrize("name", ["", "Tokens", "a b", "1st", "x" * 65])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        add_usage(Invocation("tool", b"{}"), {name: 1})


def test_more_names_than_the_limit_are_refused() -> None:
    invocation = Invocation("tool", b"{}")
    add_usage(invocation, {f"name_{number}": 1 for number in range(32)})

    with pytest.raises(ValidationError, match="33 names, and the limit is 32"):
        add_usage(invocation, {"one_more": 1})

    assert len(invocation.usage or {}) == 32


def test_a_context_that_has_ended_takes_no_numbers() -> None:
    kept: list[altar.ToolContext] = []

    def keeps(context: altar.ToolContext) -> int:
        """Keep the context."""
        kept.append(context)
        return 1

    result_of(keeps)

    with pytest.raises(altar.AltarError, match="has ended"):
        kept[0].used(lm_calls=1)


def test_what_was_written_is_read() -> None:
    assert {"cost_usd": 0.5, "lm_calls": 2} == read_usage(written_usage({"lm_calls": 2, "cost_usd": 0.5}))


HOSTILE = [
    b"",
    b"[]",
    b"null",
    b"{",
    b'{"lm_calls":"2"}',
    b'{"lm_calls":-1}',
    b'{"lm_calls":true}',
    b'{"lm_calls":1e999}',
    b'{"lm_calls":{}}',
    b'{"Lm":1}',
    b'{"lm_calls":18446744073709551615}',
    written_usage({f"n{number}": 1 for number in range(33)}),
    b'{"lm_calls":1' + b" " * MAX_USAGE_BYTES + b"}",
]


@pytest.mark.parametrize("written", HOSTILE)
def test_another_process_that_says_something_else_breaks_the_protocol(written: bytes) -> None:
    with pytest.raises(TransportError) as broken:
        read_usage(written)

    assert ("PROTOCOL_VIOLATION", "yes") == (broken.value.code, broken.value.ran)


# ----------------------------------------------------------------------------------------------- bound variables


def declared(metadata: dict[str, Any]) -> altar.FunctionDeclaration:
    return altar.FunctionDeclaration(
        "tool", "A tool.", altar.Schema.from_json_schema({"type": "object"}), metadata=metadata
    )


def test_a_contract_binds_the_variables_that_its_metadata_name() -> None:
    assert ("a", "b") == bound_by(declared({"variables": {"b": {}, "a": {}}}))


@pytest.mark.parametrize("said", [{}, {"variables": {}}, {"variables": ["a"]}, {"variables": "a"}, {"variables": None}])
def test_a_contract_that_names_none_binds_none(said: dict[str, Any]) -> None:
    assert bound_by(declared(said)) is None


def test_a_contract_that_names_too_many_binds_none() -> None:
    assert bound_by(declared({"variables": {f"v{number}": {} for number in range(65)}})) is None


def test_other_values_than_those_of_the_record_are_refused() -> None:
    invocation = Invocation("tool", b"{}")
    require_recorded(invocation, {"warmth": 1})  # nothing is recorded in a session of this process
    invocation.variables = values_digest({"warmth": 1})
    require_recorded(invocation, {"warmth": 1})

    with pytest.raises(ValidationError) as refused:
        require_recorded(invocation, {"warmth": 2})

    assert "VARIABLE_CONFLICT" == refused.value.code


# -------------------------------------------------------------------------------------------------------- extras


def test_a_missing_extra_is_told_with_the_line_that_installs_it() -> None:
    error = missing_extra("dspy", what="A program")

    assert ("ENVIRONMENT_ERROR", 'pip install "altar-ai[dspy]"') == (error.code, error.hint)
    assert "A program needs the extra 'dspy', which is not installed" == error.message


def test_a_package_that_is_not_there_is_a_missing_extra() -> None:
    with pytest.raises(altar.ConfigurationError, match="needs the extra 'nothing'"):
        loaded("altar_no_such_package.inner", extra="nothing", what="It")


def test_what_a_package_itself_lacks_is_its_own_fault(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "altar_half_package.py").write_text("import altar_no_such_package\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ModuleNotFoundError):
        loaded("altar_half_package", extra="half", what="It")
