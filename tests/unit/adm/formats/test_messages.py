"""Calls and results as providers write them."""

from __future__ import annotations

from typing import Any

import pytest

from altar.adm.call import ErrorObject, FunctionCall, ResultStatus, ToolResult
from altar.adm.errors import ValidationError
from altar.adm.formats import CALL_FORMATS, FORMATS

CALL = FunctionCall("c1", "get_weather", {"city": "Oslo"})


@pytest.mark.parametrize(
    ("format", "document"),
    [
        (
            "openai",
            {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'}},
        ),
        (
            "openai",
            {
                "type": "function_call",
                "id": "fc_9",
                "call_id": "c1",
                "name": "get_weather",
                "arguments": '{"city": "Oslo"}',
            },
        ),
        ("anthropic", {"type": "tool_use", "id": "c1", "name": "get_weather", "input": {"city": "Oslo"}}),
        ("gemini", {"functionCall": {"id": "c1", "name": "get_weather", "args": {"city": "Oslo"}}}),
        ("gemini", {"function_call": {"id": "c1", "name": "get_weather", "args": {"city": "Oslo"}}}),
        ("gemini", {"id": "c1", "name": "get_weather", "args": {"city": "Oslo"}}),
        ("mcp", {"name": "get_weather", "arguments": {"city": "Oslo"}, "_meta": {"altar/call-id": "c1"}}),
    ],
)
def test_a_call_is_read_in_each_form_a_provider_has(format: str, document: dict[str, Any]) -> None:
    assert CALL == CALL_FORMATS[format].read_call(document)


def test_a_call_without_an_id_takes_the_one_it_is_given_and_needs_one() -> None:
    document = {"functionCall": {"name": "get_weather", "args": {"city": "Oslo"}}}

    assert CALL == CALL_FORMATS["gemini"].read_call(document, call_id="c1")
    with pytest.raises(ValidationError, match="The call has no id"):
        CALL_FORMATS["gemini"].read_call(document)


@pytest.mark.parametrize("arguments", ["", "  ", "{}"])
def test_no_arguments_are_an_empty_object(arguments: str) -> None:
    document = {"id": "c1", "function": {"name": "now", "arguments": arguments}}

    assert {} == CALL_FORMATS["openai"].read_call(document).args


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ('{"city": ', "The arguments are not JSON"),
        ('{"a": 1, "a": 2}', "The arguments are not JSON"),
        ("[1]", "must be an object, not an array"),
        ('"Oslo"', "must be an object, not 'Oslo'"),
    ],
)
def test_arguments_that_are_no_object_are_an_error_that_a_model_can_act_on(arguments: str, words: str) -> None:
    document = {"id": "c1", "function": {"name": "get_weather", "arguments": arguments}}

    with pytest.raises(ValidationError, match=words) as caught:
        CALL_FORMATS["openai"].read_call(document)
    assert "INVALID_TOOL_ARGS" == caught.value.code


def test_a_foreign_name_is_the_one_its_declaration_has_here_and_goes_out_as_it_came() -> None:
    tool = {"name": "files.read", "description": "Read.", "inputSchema": {"type": "object", "properties": {}}}
    declaration = FORMATS["mcp"].read(tool).declaration
    mcp = CALL_FORMATS["mcp"]

    call = mcp.read_call({"name": "files.read"}, call_id="c1")

    assert declaration.name == call.name
    assert "files.read" == mcp.write_call(call, declaration=declaration).document["name"]
    assert call == mcp.read_call(mcp.write_call(call, declaration=declaration).document)


@pytest.mark.parametrize("format", CALL_FORMATS)
def test_what_is_no_message_is_refused(format: str) -> None:
    documents: list[Any] = [[], None, "text"]
    for document in documents:
        with pytest.raises(ValidationError) as caught:
            CALL_FORMATS[format].read_call(document)
        assert "MALFORMED_REQUEST" == caught.value.code
        with pytest.raises(ValidationError):
            CALL_FORMATS[format].read_result(document, call=CALL)


@pytest.mark.parametrize(
    ("format", "document"),
    [
        ("openai", {"role": "tool", "tool_call_id": "other", "content": "1"}),
        ("anthropic", {"type": "tool_result", "tool_use_id": "other", "content": "1"}),
        ("gemini", {"functionResponse": {"id": "other", "name": "get_weather", "response": {"output": 1}}}),
    ],
)
def test_a_result_for_another_call_is_refused(format: str, document: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="is for the call 'other', not for 'c1'"):
        CALL_FORMATS[format].read_result(document, call=CALL)


@pytest.mark.parametrize(
    ("format", "document", "content"),
    [
        ("openai", {"role": "tool", "tool_call_id": "c1", "content": "Rain."}, "Rain."),
        ("openai", {"role": "tool", "tool_call_id": "c1", "content": '{"a":1}'}, {"a": 1}),
        (
            "openai",
            {"role": "tool", "content": [{"type": "text", "text": "Ra"}, {"type": "text", "text": "in"}]},
            "Rain",
        ),
        ("openai", {"type": "function_call_output", "call_id": "c1", "output": "[1]"}, [1]),
        ("anthropic", {"type": "tool_result", "tool_use_id": "c1"}, ""),
        ("anthropic", {"tool_use_id": "c1", "content": [{"type": "text", "text": "5"}]}, 5),
        (
            "anthropic",
            {"tool_use_id": "c1", "content": [{"type": "image", "source": {}}]},
            [{"type": "image", "source": {}}],
        ),
        ("gemini", {"functionResponse": {"name": "get_weather", "response": {"sky": "grey"}}}, {"sky": "grey"}),
        ("gemini", {"functionResponse": {"response": {"output": None}}}, None),
        ("mcp", {"content": [{"type": "text", "text": "5"}]}, "5"),
        ("mcp", {"content": []}, None),
        ("mcp", {"content": [{"type": "text", "text": "x"}], "structuredContent": {"result": 1}}, {"result": 1}),
        (
            "mcp",
            {"content": [], "structuredContent": {"result": 1}, "_meta": {"fastmcp": {"wrap_result": True}}},
            1,
        ),
        (
            "mcp",
            {"content": [{"type": "image", "data": "", "mimeType": "image/png"}]},
            [{"type": "image", "data": "", "mimeType": "image/png"}],
        ),
    ],
)
def test_a_result_that_others_wrote_is_read(format: str, document: dict[str, Any], content: Any) -> None:
    result = CALL_FORMATS[format].read_result(document, call=CALL)

    assert (ResultStatus.SUCCESS, content) == (result.status, result.content)
    assert ("c1", "get_weather") == (result.call_id, result.name)


@pytest.mark.parametrize(
    ("format", "document", "message"),
    [
        ("openai", {"role": "tool", "tool_call_id": "c1", "content": '{"error": "no such city"}'}, "no such city"),
        ("anthropic", {"tool_use_id": "c1", "is_error": True, "content": "no such city"}, "no such city"),
        ("anthropic", {"tool_use_id": "c1", "is_error": True, "content": ""}, "The tool failed and said no reason"),
        ("gemini", {"functionResponse": {"response": {"error": {"code": 7}}}}, '{"code":7}'),
        ("mcp", {"isError": True, "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "a\nb"),
        ("mcp", {"isError": True, "content": []}, "The tool failed and said no reason"),
        ("mcp", {"isError": True, "content": [{"type": "image"}]}, '[{"type":"image"}]'),
    ],
)
def test_a_failure_that_others_wrote_is_an_error_with_a_message(
    format: str, document: dict[str, Any], message: str
) -> None:
    result = CALL_FORMATS[format].read_result(document, call=CALL)

    assert ResultStatus.ERROR is result.status
    assert result.error is not None
    assert message == result.error.message


def test_a_server_of_mcp_that_asks_for_more_has_not_answered() -> None:
    with pytest.raises(ValidationError, match="asks for more"):
        CALL_FORMATS["mcp"].read_result({"resultType": "input_required"}, call=CALL)


def test_a_model_reads_message_and_hint_of_a_failure_as_text() -> None:
    error = ErrorObject("No city 'Osl'", type="INVALID_TOOL_ARGS", hint="did you mean 'Oslo'?", ran="no")

    document = CALL_FORMATS["mcp"].write_result(ToolResult.failure(CALL, error)).document

    assert ["No city 'Osl'", "hint: did you mean 'Oslo'?"] == [block["text"] for block in document["content"]]
    assert document["isError"] is True
    assert "structuredContent" not in document


def test_text_is_written_as_it_is_unless_it_could_be_taken_for_json() -> None:
    def content(value: Any) -> str:
        return str(CALL_FORMATS["anthropic"].write_result(ToolResult.success(CALL, value)).document["content"])

    assert "Rain until noon" == content("Rain until noon")
    assert '"5"' == content("5")
    assert "5" == content(5)
    assert '{"a":1}' == content({"a": 1.0})


def test_an_answer_that_openai_s_form_would_show_as_a_failure_is_reported() -> None:
    result = ToolResult.success(CALL, {"error": "none"})

    written = CALL_FORMATS["openai"].write_result(result)

    assert {"/status", "/content", "/error"} == {loss.path for loss in written.losses}
    assert () == CALL_FORMATS["anthropic"].write_result(result).losses


@pytest.mark.parametrize("format", CALL_FORMATS)
def test_a_status_that_is_not_known_here_is_never_told_as_a_success(format: str) -> None:
    document = {"call_id": "c1", "name": "get_weather", "status": "POSTPONED", "content": "soon"}
    result = ToolResult.from_adm(document, mode="lenient")

    back = CALL_FORMATS[format].read_result(CALL_FORMATS[format].write_result(result).document, call=CALL)

    assert ResultStatus.ERROR is back.status
    assert back.error is not None
    assert "a status that is not known here" in back.error.message
