"""Language models as DSPy sees them: scripts, recordings, what they take, how they fail, and which one is asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dspy
import pytest
from dspy.utils.usage_tracker import UsageTracker

from altar.adm.errors import AltarError, ConfigurationError
from altar.ai.lm import configure
from altar.ai.lm.chat import FailureKind
from altar.ai.lm.configure import LMOptions, language_model
from altar.ai.lm.correcting import correcting
from altar.ai.lm.errors import lm_error
from altar.ai.lm.usage import usage_of
from altar.testing import ChatAnswer, ChatFailure, ChatRequest, RecordedLM, ScriptedLM, ToolUse

# ------------------------------------------------------------------------------------------------------- scripts


@pytest.mark.parametrize("adapter", ["ChatAdapter", "JSONAdapter", "XMLAdapter"])
def test_fields_are_written_in_the_form_that_the_adapter_asks_for(adapter: str) -> None:
    lm = ScriptedLM([{"reasoning": "because", "numbers": [1, 2], "answer": "a <b> & c"}])

    with dspy.context(lm=lm.dspy(), adapter=getattr(dspy, adapter)()):
        told = dspy.ChainOfThought("question -> numbers: list[int], answer")(question="why?")

    assert {"reasoning": "because", "numbers": [1, 2], "answer": "a <b> & c"} == told.toDict()
    assert 1 == len(lm.requests)
    assert "why?" in lm.requests[0].prompt


def test_answers_by_words_do_not_hang_on_the_order_of_the_questions() -> None:
    lm = ScriptedLM(
        {"red": {"answer": "stop"}, "green": [{"answer": "go"}, {"answer": "still go"}], "": {"answer": "?"}}
    )

    with dspy.context(lm=lm.dspy()):
        ask = dspy.Predict("light -> answer")
        said = [ask(light=light).answer for light in ("green", "red", "green", "green", "blue")]

    assert ["go", "stop", "still go", "still go", "?"] == said


def test_a_function_answers_what_the_request_says() -> None:
    def answer(request: ChatRequest) -> dict[str, Any]:
        return {"answer": request.system.count("output fields")}

    with dspy.context(lm=ScriptedLM(answer).dspy()):
        assert 1 == dspy.Predict("question -> answer: int")(question="x").answer


def test_the_end_of_a_script_is_an_error_that_says_so() -> None:
    lm = ScriptedLM([{"answer": "only one"}])

    with dspy.context(lm=lm.dspy()):
        dspy.Predict("question -> answer")(question="x")
        with pytest.raises(Exception, match="has 1 answer, and this is request 2"):
            dspy.Predict("question -> answer")(question="x")


def test_a_script_repeats_itself_when_it_is_told_to() -> None:
    lm = ScriptedLM(["a", "b"], repeat=True)

    assert ["a", "b", "a"] == [lm.complete(ChatRequest(())).text for _ in range(3)]


async def test_a_scripted_answer_streams_word_by_word() -> None:
    lm = ScriptedLM([{"answer": "one two three"}]).dspy()

    with dspy.context(lm=lm):
        listener = dspy.streaming.StreamListener(signature_field_name="answer")
        program = dspy.streamify(dspy.Predict("question -> answer"), stream_listeners=[listener])
        said = [step async for step in program(question="x")]

    pieces = [step.chunk for step in said if isinstance(step, dspy.streaming.StreamResponse)]
    assert "one two three" == "".join(pieces)
    assert len([piece for piece in pieces if piece]) >= 3
    assert "one two three" == said[-1].answer


def test_a_react_agent_uses_the_tool_that_the_script_names() -> None:
    steps = [
        {"next_thought": "look", "next_tool_name": "find", "next_tool_args": {"what": "tea"}},
        {"next_thought": "done", "next_tool_name": "finish", "next_tool_args": {}},
        {"reasoning": "found", "answer": "green"},
    ]

    def find(what: str) -> str:
        return f"{what}: green"

    with dspy.context(lm=ScriptedLM(steps).dspy()):
        told = dspy.ReAct("question -> answer", tools=[find])(question="which tea?")

    assert "green" == told.answer
    assert "tea: green" == told.trajectory["observation_0"]


def test_uses_of_tools_reach_dspy_with_an_id_of_their_own() -> None:
    lm = ScriptedLM([[ToolUse("find", {"a": 1}), ToolUse("find", {"a": 2})], ToolUse("find", {"a": 3})])

    ids = [use.id for _ in range(2) for use in lm.complete(ChatRequest(())).tool_uses]

    assert 3 == len(set(ids))
    assert all(ids)


def test_a_script_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "answers.json"
    file.write_text(json.dumps({"Paris": {"answer": "France"}, "": [{"tool": "find", "arguments": {"x": 1}}]}))
    lm = ScriptedLM.from_file(file)

    with dspy.context(lm=lm.dspy()):
        assert "France" == dspy.Predict("question -> answer")(question="Paris?").answer
    assert "find" == lm.complete(ChatRequest(())).tool_uses[0].name


@pytest.mark.parametrize("text", ["no JSON", "3"])
def test_a_file_that_is_no_script_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "answers.json").write_text(text)

    with pytest.raises(ConfigurationError, match=r"answers\.json"):
        ScriptedLM.from_file(tmp_path / "answers.json")


# ------------------------------------------------------------------------------------------------------- failures

CODES: dict[FailureKind, str] = {
    "rate_limit": "LM_RATE_LIMITED",
    "timeout": "LM_TIMEOUT",
    "server": "LM_UNAVAILABLE",
    "auth": "LM_REFUSED",
    "billing": "LM_REFUSED",
    "unknown_model": "LM_REFUSED",
    "context_length": "LM_REFUSED",
    "invalid_request": "LM_REFUSED",
}


def failed(*, answer: Any, adapter: Any = None, signature: str = "question -> n: int") -> BaseException:
    with dspy.context(lm=ScriptedLM(lambda _: answer).dspy(), adapter=adapter), pytest.raises(Exception) as raised:  # noqa: PT011
        dspy.Predict(signature)(question="geheim")
    return raised.value


@pytest.mark.parametrize("kind", CODES)
def test_each_failure_of_a_provider_has_its_code(kind: FailureKind) -> None:
    raised = failed(answer=ChatFailure(kind, "sk-of-somebody", retry_after=1.5))

    error = lm_error(raised)

    assert error is not None
    assert CODES[kind] == error.code
    assert "yes" == error.ran
    assert timedelta(seconds=1.5) == error.retry_after
    assert "sk-of-somebody" not in f"{error}{error.hint}{error.detail}"


def test_an_answer_in_the_wrong_shape_is_told_by_its_fields_and_never_by_its_words() -> None:
    error = lm_error(failed(answer={"n": "geheimnis"}))

    assert error is not None
    assert "LM_BAD_ANSWER" == error.code
    assert "'n'" in error.message
    assert "geheimnis" not in f"{error}{error.hint}{error.detail}"


def test_what_is_no_failure_of_a_language_model_stays_what_it_is() -> None:
    assert lm_error(ValueError("mine")) is None
    assert lm_error(AltarError("TIMEOUT", "ours")) is None


def test_a_failure_that_an_openai_client_raises_has_the_same_codes() -> None:
    import openai

    with ScriptedLM(lambda _: ChatFailure("rate_limit", retry_after=7)).serve() as server:
        client = openai.OpenAI(base_url=server.base_url, api_key="x", max_retries=0)
        with pytest.raises(openai.RateLimitError) as raised:
            client.chat.completions.create(model="any", messages=[{"role": "user", "content": "x"}])

    error = lm_error(raised.value)

    assert error is not None
    assert ("LM_RATE_LIMITED", timedelta(seconds=7)) == (error.code, error.retry_after)


# ----------------------------------------------------------------------------------------------------- asking again


@pytest.mark.parametrize("adapter", ["ChatAdapter", "JSONAdapter"])
def test_an_answer_in_the_wrong_shape_is_asked_again_with_what_was_wrong(adapter: str) -> None:
    def answer(request: ChatRequest) -> dict[str, Any]:
        return {"n": 3} if "could not be read" in request.system and "three of them" in request.system else told

    told = {"n": "three of them"}
    with dspy.context(lm=ScriptedLM(answer).dspy(), adapter=correcting(getattr(dspy, adapter)())):
        assert 3 == dspy.Predict("question -> n: int")(question="x").n


async def test_it_is_asked_again_in_coroutines_too() -> None:
    lm = ScriptedLM(lambda request: {"n": 3} if "could not be read" in request.system else {"n": "?"})

    with dspy.context(lm=lm.dspy(), adapter=correcting()):
        assert 3 == (await dspy.Predict("question -> n: int").acall(question="x")).n


def test_it_is_asked_again_only_as_often_as_was_said() -> None:
    lm = ScriptedLM(lambda _: {"n": "?"})

    with (
        dspy.context(lm=lm.dspy(), adapter=correcting(dspy.JSONAdapter(), attempts=2)),
        pytest.raises(dspy.utils.exceptions.AdapterParseError),
    ):
        dspy.Predict("question -> n: int")(question="x")
    assert 3 == len(lm.requests)


def test_an_adapter_that_asks_again_is_still_told_apart_by_its_class() -> None:
    adapter = correcting(dspy.JSONAdapter())

    assert isinstance(adapter, dspy.JSONAdapter)
    assert "JSONAdapter" == type(adapter).__name__
    assert adapter is correcting(adapter)


# ----------------------------------------------------------------------------------------------------------- usage


def test_tokens_and_exchanges_are_counted() -> None:
    tracker = UsageTracker()
    with dspy.context(lm=ScriptedLM(["a", "b"]).dspy(), usage_tracker=tracker):
        dspy.settings.lm("one two three")
        dspy.settings.lm("one two")

    assert {
        "input_tokens": 5,
        "output_tokens": 2,
        "cached_tokens": 0,
        "total_tokens": 7,
        "lm_calls": 2,
    } == usage_of(tracker)


def test_nothing_that_was_asked_is_nothing_that_was_used() -> None:
    assert {} == usage_of(UsageTracker())


def test_the_cost_is_there_only_when_every_price_is_known() -> None:
    tracker = UsageTracker()
    details = {"cached_tokens": 400}
    tracker.add_usage(
        "openai/gpt-4o-mini", {"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": details}
    )
    assert usage_of(tracker)["cost_usd"] == pytest.approx(600 * 0.15e-6 + 400 * 0.075e-6 + 100 * 0.6e-6)

    tracker.add_usage("openai/gpt-of-nobody", {"prompt_tokens": 1, "completion_tokens": 1})
    assert "cost_usd" not in usage_of(tracker)


# ------------------------------------------------------------------------------------------------------ recordings


def record(file: Path, *answers: Any, **how: Any) -> RecordedLM:
    return RecordedLM(file, model=ScriptedLM(list(answers)).dspy(), mode="record", **how)


def ask(lm: Any, question: str) -> str:
    with dspy.context(lm=lm.dspy()):
        return str(dspy.Predict("question -> answer")(question=question).answer)


def test_what_was_recorded_is_answered_again_without_the_model(tmp_path: Path) -> None:
    file = tmp_path / "lm.jsonl"
    with record(file, {"answer": "one"}, {"answer": "two"}, {"answer": "three"}) as lm:
        first = [ask(lm, "x"), ask(lm, "y"), ask(lm, "x")]

    again = RecordedLM(file)

    assert ["one", "two", "three"] == first
    assert first == [ask(again, "x"), ask(again, "y"), ask(again, "x")]
    assert "three" == ask(again, "x")


def test_a_request_that_was_not_recorded_is_a_failure_and_nobody_is_asked(tmp_path: Path) -> None:
    file = tmp_path / "lm.jsonl"
    ask(record(file, {"answer": "one"}), "x")

    with pytest.raises(Exception, match="does not hold this request"):
        ask(RecordedLM(file), "another")


def test_only_what_is_missing_is_asked_when_that_is_wanted(tmp_path: Path) -> None:
    file = tmp_path / "lm.jsonl"
    ask(record(file, {"answer": "one"}), "x")
    real = ScriptedLM([{"answer": "new"}])

    with RecordedLM(file, model=real, mode="missing") as lm:
        assert ["one", "new", "one"] == [ask(lm, "x"), ask(lm, "y"), ask(lm, "x")]

    assert 1 == len(real.requests)
    assert "new" == ask(RecordedLM(file), "y")


def test_a_failure_and_a_use_of_a_tool_are_recorded_too(tmp_path: Path) -> None:
    file = tmp_path / "lm.jsonl"
    request = ChatRequest(())
    lm = RecordedLM(
        file, model=ScriptedLM([ChatFailure("rate_limit", retry_after=2), ToolUse("f", {"x": [1]})]), mode="record"
    )
    with pytest.raises(ChatFailure):
        lm.complete(request)
    made = lm.complete(request)

    again = RecordedLM(file)
    with pytest.raises(ChatFailure) as raised:
        again.complete(request)

    assert ("rate_limit", 2) == (raised.value.kind, raised.value.retry_after)
    assert made == again.complete(request)


def test_a_recording_can_leave_out_what_was_asked(tmp_path: Path) -> None:
    file = tmp_path / "lm.jsonl"
    ask(record(file, {"answer": "one"}, keeps_requests=False), "somebody's words")

    assert "somebody" not in file.read_text()
    assert "one" == ask(RecordedLM(file), "somebody's words")


def test_the_temperature_and_the_schema_tell_requests_apart(tmp_path: Path) -> None:
    file = tmp_path / "lm.jsonl"
    lm = RecordedLM(file, model=ScriptedLM(["cold", "hot", "shaped"]), mode="record")
    asked = [
        ChatRequest((), temperature=0.0),
        ChatRequest((), temperature=1.0),
        ChatRequest((), schema={"type": "object"}),
    ]
    said = [lm.complete(one).text for one in asked]

    assert said == [RecordedLM(file).complete(one).text for one in asked]


@pytest.mark.parametrize("text", ["", "{}\n", '{"format":"altar-lm-recording/1"}\n{"key": 1}\n'])
def test_a_file_that_is_no_recording_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "lm.jsonl").write_text(text)

    with pytest.raises(ConfigurationError, match="cannot be read"):
        RecordedLM(tmp_path / "lm.jsonl")


# -------------------------------------------------------------------------------------------------- which one it is


@pytest.fixture
def nobody() -> Iterator[None]:
    configure.use("")
    yield
    configure.use("")


def test_words_become_a_language_model(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"answer": "scripted"}]')
    ask(record(tmp_path / "r.jsonl", {"answer": "recorded"}), "x")

    for words in (f"scripted:{tmp_path}/a.json", f"recorded:{tmp_path}/r.jsonl"):
        with dspy.context(lm=language_model(words)):
            assert words.startswith(dspy.Predict("question -> answer")(question="x").answer)


def test_a_key_comes_from_a_function_and_stands_in_no_text() -> None:
    lm = language_model("openai/gpt-4.1-mini", LMOptions(key=lambda: "sk-geheim", timeout=5), temperature=0.0)

    assert "sk-geheim" == lm.kwargs["api_key"]
    assert "sk-geheim" not in f"{lm!r}{lm.dump_state()}{LMOptions(key=lambda: 'sk-geheim')!r}"


def test_a_key_among_the_settings_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no setting"):
        language_model("openai/gpt-4.1-mini", api_key="sk-geheim")


@pytest.mark.parametrize("words", ["", "gpt", "openai/", "/x", "open ai/x", "scripted:", "recorded:"])
def test_words_that_name_no_language_model_are_refused(words: str) -> None:
    with pytest.raises(ConfigurationError, match="names no language model"):
        language_model(words)


def test_the_language_model_of_the_process_is_made_once_when_it_is_needed(tmp_path: Path, nobody: None) -> None:
    file = tmp_path / "a.json"

    configure.use(f"scripted:{file}")  # there is no such file yet
    file.write_text('["x"]')
    first = configure.current()
    configure.use(f"scripted:{file}")

    assert first is not None
    assert first is configure.current()


def test_a_process_without_one_has_none(nobody: None) -> None:
    assert configure.current() is None


def test_a_provider_of_the_openai_interface_is_asked_at_its_address() -> None:
    script = ScriptedLM([{"answer": "from the server"}])

    with script.serve(api_key="sk-1") as server:
        lm = language_model("openai/any", LMOptions(key=lambda: "sk-1", base_url=server.base_url), cache=False)
        with dspy.context(lm=lm):
            assert "from the server" == dspy.Predict("question -> answer")(question="x").answer


def test_a_request_that_nobody_answers_times_out() -> None:
    with ScriptedLM(lambda _: ChatFailure("timeout")).serve() as server:
        options = LMOptions(key=lambda: "x", base_url=server.base_url, timeout=0.3, retries=0)
        with dspy.context(lm=language_model("openai/any", options, cache=False)), pytest.raises(Exception) as raised:  # noqa: PT011
            dspy.Predict("question -> answer")(question="x")

    error = lm_error(raised.value)
    assert error is not None
    assert "LM_TIMEOUT" == error.code


def test_a_script_may_be_asked_by_several_loops() -> None:
    lm = ScriptedLM([{"answer": str(n)} for n in range(6)]).dspy()

    async def two() -> list[str]:
        with dspy.context(lm=lm):
            told = await asyncio.gather(*(dspy.Predict("question -> answer").acall(question="x") for _ in range(2)))
        return [one.answer for one in told]

    said = [answer for _ in range(3) for answer in asyncio.run(two())]

    assert ["0", "1", "2", "3", "4", "5"] == sorted(said)


def test_a_whole_answer_is_given_as_it_is() -> None:
    answer = ChatAnswer("text", thinking="hm", finish="length")

    assert answer == ScriptedLM([answer]).complete(ChatRequest(()))


def test_numbers_that_nobody_can_have_used_do_not_spoil_an_answer() -> None:
    tracker = UsageTracker()
    said = {"prompt_tokens": 10**30, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 10**31}}
    tracker.add_usage("openai/gpt-4.1-mini", said)

    numbers = usage_of(tracker)

    assert 10**12 == numbers["input_tokens"]
    assert all(0 <= number <= 2**53 for number in numbers.values())
