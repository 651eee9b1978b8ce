"""The OpenAI-compatible address: what clients of others are answered, and what is refused."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from altar.ai.lm.chat import ChatAnswer, ChatFailure, ChatRequest, FailureKind, pieces
from altar.ai.lm.openai_form import BadRequest, request_from, written
from altar.ai.lm.openai_front import MAX_BODY_BYTES, ChatServer
from altar.testing import ScriptedLM, ToolUse

HELLO = {"model": "any", "messages": [{"role": "user", "content": "hello"}]}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def post(server: ChatServer, document: Any, **headers: str) -> httpx.Response:
    with httpx.Client(timeout=10) as client:
        return client.post(f"{server.base_url}/chat/completions", json=document, headers=headers)


def served(*answers: Any, **how: Any) -> Any:
    return ScriptedLM(list(answers)).serve(**how)


def test_a_plain_answer_has_text_and_usage() -> None:
    with served("hi there") as server:
        told = post(server, HELLO).json()

    assert {"role": "assistant", "content": "hi there"} == told["choices"][0]["message"]
    assert "stop" == told["choices"][0]["finish_reason"]
    assert {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3} == {
        name: told["usage"][name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    }


def test_an_official_client_runs_the_whole_loop_of_a_tool() -> None:
    import openai

    script = ScriptedLM([ToolUse("weather", {"city": "Rom"}), "sunny"])
    with script.serve() as server, openai.OpenAI(base_url=server.base_url, api_key="x", max_retries=0) as client:
        messages: list[Any] = [{"role": "user", "content": "weather in Rome?"}]
        first = client.chat.completions.create(model="any", messages=messages, tools=[TOOL])
        use = first.choices[0].message.tool_calls[0]
        messages += [
            first.choices[0].message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": use.id, "content": "21 degrees"},
        ]
        second = client.chat.completions.create(model="any", messages=messages, tools=[TOOL])

    assert "tool_calls" == first.choices[0].finish_reason
    assert {"city": "Rom"} == json.loads(use.function.arguments)
    assert "sunny" == second.choices[0].message.content
    asked = script.requests[1]
    assert ("tool", "21 degrees", use.id) == (asked.messages[2].role, asked.text, asked.messages[2].answers)
    assert "weather" == asked.messages[1].tool_uses[0].name
    assert ["city"] == asked.tools[0].parameters["required"]


def test_an_official_client_reads_a_stream() -> None:
    import openai

    with (
        served("one two three", [ToolUse("weather", {"city": "Rom"})]) as server,
        openai.OpenAI(base_url=server.base_url, api_key="x", max_retries=0) as client,
    ):
        options: Any = {"include_usage": True}
        chunks = list(
            client.chat.completions.create(
                model="any", messages=[{"role": "user", "content": "x"}], stream=True, stream_options=options
            )
        )
        uses = list(
            client.chat.completions.create(model="any", messages=[{"role": "user", "content": "x"}], stream=True)
        )

    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert ["one", " two", " three"] == texts
    assert 3 == chunks[-1].usage.completion_tokens
    assert '{"city": "Rom"}' == uses[1].choices[0].delta.tool_calls[0].function.arguments
    assert "tool_calls" == uses[-1].choices[0].finish_reason


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("rate_limit", 429),
        ("auth", 401),
        ("billing", 402),
        ("context_length", 400),
        ("unknown_model", 404),
        ("server", 500),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_has_the_status_that_a_provider_gives_it(kind: FailureKind, status: int, stream: bool) -> None:
    with served(ChatFailure(kind, "as it was said", retry_after=2)) as server:
        told = post(server, {**HELLO, "stream": stream})

    assert status == told.status_code
    assert "2" == told.headers["Retry-After"]
    assert {"message": "as it was said", "type": kind, "code": kind, "param": None} == told.json()["error"]


def test_a_failure_in_the_middle_of_a_stream_is_told_in_the_stream() -> None:
    class Broken:
        name = "broken"

        def complete(self, request: ChatRequest) -> ChatAnswer:
            raise ChatFailure("server")

        def stream(self, request: ChatRequest) -> Iterator[str | ChatAnswer]:
            yield "begun"
            raise ChatFailure("server", "it broke")

    with ChatServer(Broken()) as server:
        told = post(server, {**HELLO, "stream": True})

    assert "begun" in told.text
    assert "it broke" in told.text
    assert told.text.endswith("data: [DONE]\n\n")


def test_a_model_that_raises_something_else_is_an_error_of_the_server() -> None:
    with served(ZeroDivisionError("by nought")) as server:
        told = post(server, HELLO)

    assert 500 == told.status_code
    assert "ZeroDivisionError" in told.json()["error"]["message"]


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"messages": []},
        {"messages": [{"role": "wizard", "content": "x"}]},
        {"messages": ["x"]},
        {**HELLO, "n": 2},
        {**HELLO, "tools": [{}]},
        {**HELLO, "response_format": {"type": "json_schema"}},
        {**HELLO, "temperature": "hot"},
        {"messages": [{"role": "user", "content": "x"}] * 5000},
    ],
)
def test_what_has_not_the_form_is_refused(document: Any) -> None:
    with pytest.raises(BadRequest):
        request_from(json.dumps(document))


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(BadRequest):
        request_from("[" * 100_000)


def test_a_request_without_the_form_gets_400_and_the_connection_stays() -> None:
    with served("fine") as server, httpx.Client(base_url=server.base_url) as client:
        assert 400 == client.post("/chat/completions", content=b"no JSON").status_code
        assert 200 == client.post("/chat/completions", json=HELLO).status_code


def test_a_request_is_the_same_after_it_was_written_and_read() -> None:
    asked = request_from(
        json.dumps(
            {
                **HELLO,
                "tools": [TOOL],
                "tool_choice": {"type": "function", "function": {"name": "weather"}},
                "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}},
                "temperature": 0.5,
                "max_completion_tokens": 9,
                "stop": "END",
                "seed": 3,
            }
        )
    ).request

    assert "weather" == asked.tool_choice
    assert {"type": "object"} == asked.schema
    assert (0.5, 9, ("END",), 3) == (asked.temperature, asked.max_tokens, asked.stop, asked.seed)
    assert asked == request_from(json.dumps(written(asked))).request


def test_parts_that_are_no_text_are_kept_apart() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.org/x.png"}}
    content = [{"type": "text", "text": "look"}, image]
    asked = request_from(json.dumps({"messages": [{"role": "user", "content": content}]})).request

    assert "look" == asked.text
    assert (image,) == asked.messages[0].attachments


# ------------------------------------------------------------------------------------------------------ who may ask


def test_a_wrong_key_is_refused() -> None:
    with served("x", api_key="right") as server:
        assert 401 == post(server, HELLO).status_code
        assert 401 == post(server, HELLO, Authorization="Bearer wrong").status_code
        assert 200 == post(server, HELLO, Authorization="Bearer right").status_code


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}])
def test_a_browser_that_was_led_here_is_refused(headers: dict[str, str]) -> None:
    with served("x") as server:
        assert 403 == post(server, HELLO, **headers).status_code


def test_it_listens_on_loopback_only() -> None:
    with served("x") as server:
        assert server.base_url.startswith("http://127.0.0.1:")
        assert 200 == httpx.get(f"{server.base_url}/models").status_code
        assert 404 == httpx.get(f"{server.base_url}/secrets").status_code


@pytest.mark.parametrize("length", [str(MAX_BODY_BYTES + 1), "-1", "many"])
def test_a_request_that_is_too_long_is_not_read(length: str) -> None:
    with served("x") as server, socket.create_connection(("127.0.0.1", server.port), timeout=5) as link:
        link.sendall(
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n\r\n".encode()
        )
        assert link.recv(64).startswith(b"HTTP/1.1 413")


def test_a_client_that_leaves_in_the_middle_stops_the_model() -> None:
    left = threading.Event()

    class Endless:
        name = "endless"

        def complete(self, request: ChatRequest) -> ChatAnswer:
            raise ChatFailure("server")

        def stream(self, request: ChatRequest) -> Iterator[str | ChatAnswer]:
            try:
                while True:
                    yield "again and again " * 1000
            finally:
                left.set()

    with ChatServer(Endless()) as server, httpx.Client() as client:
        with client.stream("POST", f"{server.base_url}/chat/completions", json={**HELLO, "stream": True}) as told:
            next(told.iter_bytes())
        assert left.wait(10)


def test_the_pieces_of_a_text_are_the_text() -> None:
    text = "  one\n two   three "

    assert text == "".join(pieces(text))
    assert ["a"] == list(pieces("a"))
    assert [] == list(pieces(""))
