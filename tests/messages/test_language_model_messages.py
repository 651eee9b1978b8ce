"""What a user is told when a language model cannot be had, or does not do what it should: stored word for word."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dspy
import pytest

import altar
from altar.ai import tool_from_module
from altar.ai.lm.configure import LMOptions, language_model
from altar.ai.lm.correcting import correcting
from altar.ai.lm.errors import lm_error
from altar.ai.lm.local import local_lm
from altar.ai.lm.weights import DEFAULT, WEIGHTS, require
from altar.testing import ChatFailure, RecordedLM, ScriptedLM
from tests.messages.conftest import Told
from tests.messages.test_wrong_use import of_error


def of_program(answer: Any) -> str:
    with dspy.context(lm=ScriptedLM(lambda _: answer).dspy(), adapter=correcting()), pytest.raises(Exception) as raised:  # noqa: PT011
        dspy.Predict("question -> count: int")(question="how many?")
    error = lm_error(raised.value)
    assert error is not None
    waits = "" if error.retry_after is None else f"retry_after: {error.retry_after}\n"
    return of_error(error) + waits


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("language_model_in_the_wrong_shape", {"count": "several"}),
        ("language_model_that_times_out", ChatFailure("timeout")),
        ("language_model_asked_too_often", ChatFailure("rate_limit", retry_after=20)),
        ("language_model_that_refuses_the_key", ChatFailure("auth")),
        ("language_model_without_credit", ChatFailure("billing")),
        ("language_model_that_failed", ChatFailure("server")),
        ("language_model_given_too_much", ChatFailure("context_length")),
        ("language_model_that_does_not_exist", ChatFailure("unknown_model")),
    ],
)
def test_a_language_model_that_fails(told: Told, name: str, answer: Any) -> None:
    told(name, of_program(answer))


def test_a_request_that_is_not_recorded(told: Told, tmp_path: Path) -> None:
    path = tmp_path / "exchange.jsonl"
    RecordedLM(path, model=ScriptedLM([]), mode="record").close()
    tool = tool_from_module(dspy.Predict("question -> count: int"), name="unrecorded", lm=RecordedLM(path).dspy())

    with altar.session([tool], source="later:") as session:
        result = session.call(tool, question="of my secret: how many?")

    assert result.error is not None
    told("language_model_that_is_not_recorded", of_error(result.error.to_error()))


def a_key_among_settings(_: Path) -> object:
    return language_model("openai/any", api_key="sk-1")


def no_words(_: Path) -> object:
    return language_model("gpt")


def weights_that_are_not_here(at: Path) -> object:
    return require(WEIGHTS[DEFAULT], directory=at)


def weights_that_nobody_knows(at: Path) -> object:
    return local_lm("huge", directory=at)


def no_directory(_: Path) -> object:
    return language_model("local", LMOptions())


def no_runner(at: Path) -> object:
    return local_lm(directory=at)


def no_recording(_: Path) -> object:
    return RecordedLM("absent.jsonl")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("language_model_with_a_key_among_its_settings", a_key_among_settings),
        ("language_model_that_no_words_name", no_words),
        ("language_model_without_its_weights", weights_that_are_not_here),
        ("language_model_of_unknown_weights", weights_that_nobody_knows),
        ("language_model_without_a_directory", no_directory),
        ("language_model_without_its_recording", no_recording),
    ],
)
def test_a_language_model_that_cannot_be_had(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, wrong: Callable[[Path], object]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(altar.AltarError) as raised:
        wrong(tmp_path)

    told(name, of_error(raised.value).replace(str(tmp_path), "DIRECTORY"))


def test_a_language_model_without_its_runner(told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)

    with pytest.raises(altar.ConfigurationError) as raised:
        no_runner(tmp_path)

    told("language_model_without_its_runner", of_error(raised.value))
