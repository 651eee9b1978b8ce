"""The real language model of this machine: forms that its grammar holds, tools, streams, the life of its process."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import httpx
import openai
import pytest

from altar.ai.lm.local import LocalLM, local_lm
from altar.settings import Settings, weights_directory
from tests.e2e.command import altar as run

pytestmark = [pytest.mark.providers, pytest.mark.timeout(300)]

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture(scope="module")
def lm() -> Iterator[LocalLM]:
    with local_lm(directory=weights_directory(Settings.load().ai), fetching=False, context=2048) as started:
        yield started


@pytest.fixture
def client(lm: LocalLM) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=lm.base_url, api_key=lm.api_key, max_retries=0, timeout=120) as made:
        yield made


def ask(client: openai.OpenAI, text: str, **how: Any) -> Any:
    messages: list[Any] = [{"role": "user", "content": text}]
    return client.chat.completions.create(model="local", messages=messages, temperature=0, **how)


def test_it_writes_text_and_counts_tokens(client: openai.OpenAI) -> None:
    told = ask(client, "Say hello.", max_tokens=8)

    assert told.choices[0].message.content
    assert 0 < told.usage.completion_tokens <= 8
    assert told.usage.prompt_tokens > 0


def test_its_text_comes_as_a_stream_and_a_reader_who_leaves_stops_it(client: openai.OpenAI, lm: LocalLM) -> None:
    with ask(client, "Write a long story.", max_tokens=2000, stream=True) as stream:
        pieces = [chunk.choices[0].delta.content for chunk, _ in zip(stream, range(6), strict=False) if chunk.choices]

    assert len([piece for piece in pieces if piece]) >= 3
    assert ask(client, "Say hello.", max_tokens=4).choices[0].message.content  # it is free again


def test_a_schema_is_kept_by_the_grammar(client: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"label": {"enum": ["positive", "negative"]}},
        "required": ["label"],
        "additionalProperties": False,
    }
    form: Any = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
    told = ask(client, "Is this review good? I love it.", max_tokens=60, response_format=form)

    assert json.loads(told.choices[0].message.content)["label"] in {"positive", "negative"}


def test_a_schema_that_no_grammar_can_hold_is_refused(client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "https://example.org/other"}}}
    form: Any = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}

    with pytest.raises(openai.BadRequestError):
        ask(client, "x", response_format=form)


def test_a_tool_is_used_with_arguments_that_fit_and_its_result_is_taken(client: openai.OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
    how: dict[str, Any] = {"model": "local", "tools": [WEATHER], "temperature": 0, "max_tokens": 80}
    first = client.chat.completions.create(messages=messages, tool_choice="required", **how)
    use = first.choices[0].message.tool_calls[0]
    messages += [
        first.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": use.id, "content": "21 degrees"},
    ]
    second = client.chat.completions.create(messages=messages, **how)

    assert "get_weather" == use.function.name
    assert {"city"} == set(json.loads(use.function.arguments))
    repeated = second.choices[0].message.tool_calls or []
    assert use.function.arguments not in [again.function.arguments for again in repeated]


def test_a_request_that_is_too_long_is_refused_with_its_tokens(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="tokens, and the model reads 2048"):
        ask(client, "word " * 4000)


def test_a_picture_is_refused(client: openai.OpenAI) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    messages: list[Any] = [{"role": "user", "content": [picture]}]

    with pytest.raises(openai.BadRequestError, match="text only"):
        client.chat.completions.create(model="local", messages=messages)


def test_nobody_without_the_key_is_answered(lm: LocalLM) -> None:
    assert 401 == httpx.get(f"{lm.base_url}/models").status_code
    assert lm.api_key not in repr(lm)


def test_dspy_gets_fields_of_the_declared_types(lm: LocalLM) -> None:
    import dspy

    class Sentiment(dspy.Signature):
        """Say whether the review is positive or negative."""

        review: str = dspy.InputField()
        label: Literal["positive", "negative"] = dspy.OutputField()

    model = lm.dspy(temperature=0.0, max_tokens=60, cache=False, num_retries=0)
    with dspy.context(lm=model, adapter=dspy.JSONAdapter()):
        assert dspy.Predict(Sentiment)(review="I love it").label in {"positive", "negative"}


PARENT = """
import sys
from pathlib import Path
from altar.ai.lm.local import local_lm
lm = local_lm(directory=Path(sys.argv[1]), fetching=False, context=512)
print(lm.base_url, lm._process.pid, flush=True)
sys.stdin.read()
"""


def test_the_model_ends_with_whoever_started_it_even_when_that_is_killed() -> None:
    directory = weights_directory(Settings.load().ai)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    child = int(parent.stdout.readline().split()[1])
    watched = os.pidfd_open(child)

    parent.send_signal(signal.SIGKILL)
    parent.wait()

    ended, _, _ = select.select([watched], [], [], 30)
    os.close(watched)
    parent.stdin.close()
    parent.stdout.close()
    assert ended


def test_the_command_says_that_the_weights_are_here(tmp_path: Path) -> None:
    directory = weights_directory(Settings.load().ai)
    told = run("lm", "status", "--json", at=tmp_path, environ={"ALTAR_AI_WEIGHTS": str(directory)}).json

    assert told["runner"] is True
    assert "here" == told["weights"][0]["state"]
