"""Calls and results as values, and the way between errors and their documents."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, replace
from datetime import timedelta
from typing import Any

import pytest

from altar.adm.call import ErrorObject, FunctionCall, ResultStatus, ToolResult, succeeded
from altar.adm.canonical import canonical
from altar.adm.codes import ALIASES, CODES
from altar.adm.context import SecurityContext, ToolConfig, ToolMode
from altar.adm.declaration import FunctionDeclaration, Tool, ToolContract, ToolManifest
from altar.adm.defect import Defect
from altar.adm.errors import AltarError, ExecutionError, ValidationError, error_of
from altar.adm.schema import Schema
from altar.adm.version import SUPPORTED, agree

FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "OBJECT"}}
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


def seats(count: int) -> ValidationError:
    """An error with this many defects."""
    defects = [
        Defect(f"/rows/{index}", "TYPE", f"Argument `rows[{index}]` must be an integer") for index in range(count)
    ]
    return ValidationError.from_defects("INVALID_TOOL_ARGS", defects, hint="pick_seats(rows: integer[])")


def test_an_error_tells_every_defect_with_its_place_and_kind() -> None:
    told = ErrorObject.of(seats(2))

    assert {
        "defects": [
            {"path": "/rows/0", "kind": "TYPE", "message": "Argument `rows[0]` must be an integer"},
            {"path": "/rows/1", "kind": "TYPE", "message": "Argument `rows[1]` must be an integer"},
        ]
    } == told.details
    assert told == ErrorObject.from_adm(told.to_adm())


def test_an_error_tells_twenty_defects_and_how_many_more_there_are() -> None:
    told = ErrorObject.of(seats(57))

    assert told.details is not None
    assert 37 == told.details["more"]
    assert 20 == len(ErrorObject.of(told.to_error()).to_error().defects)
    assert told == ErrorObject.of(told.to_error())


def test_a_defect_of_the_whole_has_no_path_and_a_path_of_a_book_is_not_told() -> None:
    defects = [Defect("", "TYPE", "x" * 10_000), Defect("/" + "y" * 10_000, "TYPE", "b"), Defect(None, "PARSE", "c")]

    told = ErrorObject.of(ValidationError.from_defects("SCHEMA_VIOLATION", defects))

    details: Any = told.details
    assert [["kind", "message"]] * 3 == [list(defect) for defect in details["defects"]]
    assert len(canonical(told.to_adm())) < 3_000
    assert told.field_path is None


def test_the_text_for_a_model_has_the_message_each_defect_and_the_hint() -> None:
    assert (
        "Argument `rows[0]` must be an integer (and 1 more) (INVALID_TOOL_ARGS)\n"
        "- /rows/0: Argument `rows[0]` must be an integer\n"
        "- /rows/1: Argument `rows[1]` must be an integer\n"
        "hint: pick_seats(rows: integer[])"
    ) == ErrorObject.of(seats(2)).text


def test_the_text_for_a_model_says_one_defect_once() -> None:
    text = ErrorObject.of(seats(1)).text

    assert "Argument `rows[0]` must be an integer (INVALID_TOOL_ARGS)\nhint: pick_seats(rows: integer[])" == text


def test_the_text_for_a_model_says_when_to_try_again_and_what_is_not_known() -> None:
    error = error_of("CONNECTION_FAILED", "The host is gone", ran="unknown", retry_after=timedelta(seconds=1.5))

    assert (
        "The host is gone (CONNECTION_FAILED)\nIt is not known whether the tool ran\nTry again after 1.5 seconds"
    ) == ErrorObject.of(error).text


def test_the_text_for_a_model_is_bounded_whatever_a_peer_sends() -> None:
    defects: Any = [{"path": "/" + "p" * 900, "kind": "TYPE", "message": "m" * 900}] * 20
    told = ErrorObject("m" * 50_000, "T" * 50_000, details={"defects": defects, "more": 10**6}, hint="h" * 50_000)

    assert len(told.text) <= 4_000
    assert "- and 1000020 more" in told.text


@pytest.mark.parametrize("details", [{}, {"defects": 1}, {"defects": [1, {"path": 2}]}, {"defects": [], "more": "x"}])
def test_details_of_another_form_are_kept_and_break_nothing(details: Any) -> None:
    told = ErrorObject("It failed", "SOME_CODE", details=details)

    assert "It failed (SOME_CODE)" == told.text
    assert details == told.to_adm()["details"]
    assert "It failed" == told.to_error().message


@pytest.mark.parametrize(
    ("content", "text"),
    [("as it is\n", "as it is\n"), (None, "null"), ({"b": 1, "a": [1.0]}, '{"a":[1],"b":1}'), (4.5, "4.5")],
)
def test_a_result_is_one_text_for_a_model(content: Any, text: str) -> None:
    assert text == ToolResult.success(CALL, content).text


def test_a_failed_result_has_the_text_of_its_error() -> None:
    assert ErrorObject.of(seats(3)).text == ToolResult.failure(CALL, seats(3)).text


def test_a_status_of_a_newer_peer_is_kept_and_is_no_success() -> None:
    document = {"call_id": "c-1", "name": "pick_seat", "status": "PARTIAL", "content": 1, "chunks": 3}

    result = ToolResult.from_adm(document, mode="lenient")

    assert ResultStatus.UNKNOWN is result.status
    assert document == result.to_adm()
    assert "status that is not known here" in result.text
    with pytest.raises(AltarError) as caught:
        result.unwrap()
    assert ("PROTOCOL_VIOLATION", "unknown") == (caught.value.code, caught.value.ran)


def test_an_answer_of_a_newer_peer_about_ran_is_kept_and_means_unknown() -> None:
    document = {"message": "m", "ran": "twice"}

    told = ErrorObject.from_adm(document, mode="lenient")

    assert "unknown" == told.ran
    assert "unknown" == told.to_error().ran
    assert document == told.to_adm()


def test_a_mode_of_a_newer_peer_is_kept_and_allows_nothing() -> None:
    document = {"mode": "VALIDATED", "function_names": ["f"]}

    config = ToolConfig.from_adm(document, mode="lenient")

    assert ToolMode.NONE is config.mode
    assert document == config.to_adm()


NEWER: list[tuple[Any, dict[str, Any]]] = [
    (FunctionCall, {"call_id": "c", "name": "f", "args": {}}),
    (ErrorObject, {"message": "m", "ran": "no"}),
    (ToolResult, {"call_id": "c", "name": "f", "status": "ERROR", "error": {"message": "m", "someday": 1}}),
    (SecurityContext, {"principal_id": "p", "tenant_id": "t"}),
    (ToolConfig, {"mode": "AUTO"}),
    (FunctionDeclaration, FUNCTION),
    (Tool, {"function_declarations": [FUNCTION | {"someday": 1}]}),
    (ToolContract, {"name": "c", "description": "d", "function_declarations": [FUNCTION]}),
    (
        ToolManifest,
        {
            "manifest_version": "1.0.0",
            "contracts": [{"name": "c", "description": "d", "function_declarations": [FUNCTION], "someday": [None]}],
        },
    ),
]


@pytest.mark.parametrize(("kind", "document"), NEWER, ids=lambda part: getattr(part, "__name__", ""))
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_lenient_reader_keeps_what_a_newer_minor_says_and_a_strict_one_refuses_it(
    kind: Any, document: dict[str, Any], version: Any
) -> None:
    newer = document | {"someday": {"any": [1, None]}}

    made, found = kind.read(newer, version=version, mode="lenient")

    assert [] == found
    assert newer == made.to_adm()
    assert "/someday" in [defect.path for defect in kind.read(newer, version=version, mode="strict")[1]]


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        (FunctionDeclaration, FUNCTION | {"returns": {"type": "STRING"}, "version": "1.2.0", "metadata": {"a": 1}}),
        (ErrorObject, {"message": "m", "details": {"a": 1}, "ran": "no", "retry_after_ms": 5}),
        (ToolResult, {"call_id": "c", "name": "f", "status": "SUCCESS", "content": 1, "usage": {"input_tokens": 1}}),
        (ToolContract, {"name": "c", "description": "d", "version": "2.0.0", "function_declarations": [FUNCTION]}),
    ],
    ids=lambda part: getattr(part, "__name__", ""),
)
def test_a_reader_of_1_0_keeps_what_1_1_added_without_reading_it(kind: Any, document: dict[str, Any]) -> None:
    made, found = kind.read(document, version="1.0", mode="lenient")

    assert [] == found
    assert document == made.to_adm()
    assert kind.from_adm(document) == kind.from_adm(made.to_adm())
    assert kind.read(document, version="1.0", mode="strict")[0] is None


def test_the_words_of_1_1_in_a_schema_are_kept_by_a_reader_of_1_0() -> None:
    document = {"type": "STRING", "minLength": 3}

    schema = Schema.from_adm(document, version="1.0", mode="lenient")

    assert document == schema.to_adm()


def test_a_success_made_quickly_is_the_same_as_one_made_by_its_parts() -> None:
    made = succeeded("call-1", "add", {"sum": 3})

    assert ToolResult("call-1", "add", ResultStatus.SUCCESS, {"sum": 3}) == made
    assert type(made) is ToolResult
    assert repr(ToolResult("call-1", "add", ResultStatus.SUCCESS, {"sum": 3})) == repr(made)
    assert copy.deepcopy(made) == pickle.loads(pickle.dumps(made)) == made
    assert replace(made, name="other").name == "other"
    with pytest.raises(FrozenInstanceError):
        made.content = 4  # type: ignore[misc]  # that is the point


def test_two_successes_share_nothing() -> None:
    first, second = succeeded("1", "add", 1), succeeded("2", "add", 1)

    assert first.extensions is not second.extensions
