"""Calls and results as values, and the way between errors and their documents."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from altar.adm.call import ErrorObject, FunctionCall, ResultStatus, ToolResult
from altar.adm.codes import ALIASES, CODES
from altar.adm.context import SecurityContext, ToolConfig, ToolMode
from altar.adm.errors import ExecutionError, ValidationError, error_of
from altar.adm.version import SUPPORTED, agree

CALL = FunctionCall("c-1", "pick_seat", {"row": 4})


def test_a_call_survives_a_round_trip() -> None:
    document = {"call_id": "c-1", "name": "pick_seat", "args": {"row": None}, "x_trace": "t"}

    assert document == FunctionCall.from_adm(document).to_adm()


def test_a_call_that_is_none_is_a_schema_violation_with_its_place() -> None:
    with pytest.raises(ValidationError) as caught:
        FunctionCall.from_adm({"call_id": "c-1", "name": "pick_seat"})

    assert ("SCHEMA_VIOLATION", "/args") == (caught.value.code, caught.value.path)
    assert "A function call needs `args`" == caught.value.message


def test_a_long_value_is_cut_in_the_message_of_an_error() -> None:
    with pytest.raises(ValidationError) as caught:
        FunctionCall.from_adm({"call_id": "c", "name": "x" * 100_000, "args": {}, "y" * 100_000: 1})

    assert len(caught.value.message) < 600


@pytest.mark.parametrize("content", [None, 0, "", [], {"a": [1.5, None]}])
def test_a_success_survives_a_round_trip_and_unwraps_to_its_content(content: Any) -> None:
    result = ToolResult.success(CALL, content, usage={"input_tokens": 3})

    again = ToolResult.from_adm(result.to_adm())

    assert result == again
    assert "content" in result.to_adm()
    assert content == again.unwrap()
    assert [] == result.answers(CALL)


def test_a_failure_keeps_what_the_caller_may_know_and_leaves_the_detail_behind() -> None:
    error = error_of(
        "TIMEOUT",
        "It took too long",
        hint="Ask for less",
        detail="worker-7 10.0.0.3",
        path="/row",
        ran="no",
        retry_after=timedelta(milliseconds=250),
    )

    result = ToolResult.failure(CALL, error)

    document = result.to_adm()
    assert result == ToolResult.from_adm(document)
    assert {
        "message": "It took too long",
        "type": "TIMEOUT",
        "field_path": "/row",
        "retry_after_ms": 250,
        "ran": "no",
        "hint": "Ask for less",
    } == document["error"]
    assert "worker-7" not in repr(result)


def test_unwrap_raises_the_same_error_that_was_recorded() -> None:
    error = error_of("RATE_LIMIT_EXCEEDED", "Too many", hint="Wait", retry_after=timedelta(seconds=2))

    with pytest.raises(type(error)) as caught:
        ToolResult.failure(CALL, error).unwrap()

    assert error.__dict__ == caught.value.__dict__


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_comes_back_as_its_own_error(code: str) -> None:
    error = ErrorObject.of(error_of(code, "words")).to_error()

    assert (code, CODES[code].ran) == (error.code, error.ran)


@pytest.mark.parametrize(("name", "code"), sorted(ALIASES.items()))
def test_a_name_of_another_system_is_read_as_the_code_it_means(name: str, code: str) -> None:
    assert code == ErrorObject("words", type=name).to_error().code


@pytest.mark.parametrize("kind", [None, "SEAT_TAKEN", "seat taken"])
def test_a_type_that_nobody_knows_is_a_failed_execution(kind: str | None) -> None:
    result = ToolResult("c-1", "pick_seat", ResultStatus.ERROR, error=ErrorObject("taken", type=kind))

    with pytest.raises(ExecutionError, match="taken") as caught:
        result.unwrap()

    assert "TOOL_EXECUTION_FAILED" == caught.value.code


def test_a_result_of_another_call_does_not_answer() -> None:
    found = ToolResult("c-2", "halt", ResultStatus.SUCCESS).answers(CALL)

    assert [("/call_id", "MISMATCH"), ("/name", "MISMATCH")] == [(one.path, one.category) for one in found]


def test_a_lenient_reader_keeps_unknown_members_of_a_result_and_its_error() -> None:
    document = {
        "call_id": "c-1",
        "name": "pick_seat",
        "status": "ERROR",
        "error": {"message": "m", "severity": "HIGH"},
        "took_ms": 3,
    }

    assert document == ToolResult.from_adm(document, mode="lenient").to_adm()
    with pytest.raises(ValidationError) as caught:
        ToolResult.from_adm(document)
    assert ["/error/severity", "/took_ms"] == [defect.path for defect in caught.value.defects]


def test_the_values_beside_a_call_survive_a_round_trip() -> None:
    context = {"principal_id": "u-9", "tenant_id": "t-1", "claims": {"dept": "ops"}, "x_a": 1}
    config = {"mode": "ANY", "function_names": ["pick_seat"]}

    assert context == SecurityContext.from_adm(context).to_adm()
    assert config == ToolConfig.from_adm(config).to_adm()
    assert ToolMode.ANY is ToolConfig.from_adm(config).mode


def test_two_sides_agree_on_the_highest_version_that_both_speak() -> None:
    assert "1.1.0" == agree(SUPPORTED, ["1.1.3", "1.2.0", "2.0.0", "next"])
    with pytest.raises(ValidationError, match=r"1\.1 here, 2\.0 there") as caught:
        agree(SUPPORTED, ["2.0.0"])
    assert ("VERSION_MISMATCH", "no") == (caught.value.code, caught.value.ran)
