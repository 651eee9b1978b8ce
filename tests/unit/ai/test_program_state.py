"""The state of a program as a document: written, read, and refused where it does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dspy
import pytest

from altar.adm.errors import AltarError, ConfigurationError, TransportError, ValidationError
from altar.ai import load_state, save_state, state_digest, tool_from_module


def program() -> Any:
    return dspy.ChainOfThought("question -> answer")


def taught() -> Any:
    made = program()
    made.predict.demos = [dspy.Example(question="1+1", reasoning="count", answer="2", augmented=True)]
    made.predict.signature = made.predict.signature.with_instructions("Count well.")
    made.set_lm(dspy.LM("openai/some", api_key="sk-secret", api_base="http://127.0.0.1:9/v1"))
    return made


def test_a_state_comes_back_with_its_instructions_and_demonstrations(tmp_path: Path) -> None:
    other = program()

    written = save_state(taught(), tmp_path / "state.json")
    read = load_state(other, tmp_path / "state.json")

    assert written == read == state_digest(other) == state_digest(taught())
    assert "Count well." == other.predict.signature.instructions
    assert [{"question": "1+1", "reasoning": "count", "answer": "2", "augmented": True}] == [
        dict(demo) for demo in other.predict.demos
    ]


def test_the_digest_is_that_of_the_contract() -> None:
    assert state_digest(taught()) == tool_from_module(taught(), register=False).declaration.metadata["state_digest"]
    assert state_digest(taught()) != state_digest(program())


def test_no_language_model_and_no_key_is_written(tmp_path: Path) -> None:
    save_state(taught(), tmp_path / "state.json")

    text = (tmp_path / "state.json").read_text()

    assert not any(word in text for word in ("sk-secret", "127.0.0.1", "openai"))


def test_the_language_model_of_a_program_is_not_taken_away_by_a_state(tmp_path: Path) -> None:
    save_state(program(), tmp_path / "state.json")
    other = taught()
    model = other.predict.lm

    load_state(other, tmp_path / "state.json")

    assert model is other.predict.lm


def changed(path: Path, **members: Any) -> None:
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, **members}))


def test_a_state_of_another_dspy_is_refused_until_it_is_named(tmp_path: Path) -> None:
    file, other = tmp_path / "state.json", program()
    save_state(taught(), file)
    changed(file, dspy="2.6.1")

    with pytest.raises(ConfigurationError, match=r"is of DSPy 2\.6, and this is DSPy 3"):
        load_state(other, file)

    assert state_digest(program()) == state_digest(other)
    assert state_digest(taught()) == load_state(other, file, from_dspy="2.6")


def test_a_state_that_was_changed_by_hand_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    save_state(taught(), file)
    file.write_text(file.read_text().replace("Count well.", "Count badly."))

    with pytest.raises(ValidationError, match="its digest does not fit"):
        load_state(program(), file)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (dspy.Predict("question -> answer"), "'predict', 'self' is not in both"),
        (dspy.ChainOfThought("question, hint -> answer"), "the fields of 'predict' are others"),
        (dspy.ChainOfThought("question -> reply"), "the fields of 'predict' are others"),
    ],
)
def test_a_state_of_another_program_is_refused(tmp_path: Path, other: Any, words: str) -> None:
    save_state(taught(), tmp_path / "state.json")
    before = state_digest(other)

    with pytest.raises(ValidationError, match=words):
        load_state(other, tmp_path / "state.json")

    assert before == state_digest(other)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "altar-dspy-state/1"}', "\x80"])
def test_what_is_no_state_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text, encoding="latin-1")

    with pytest.raises(ValidationError) as refused:
        load_state(program(), tmp_path / "state.json")

    assert "MALFORMED_REQUEST" == refused.value.code


def test_a_document_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "state.json").open("wb") as file:
        file.truncate(16 * 1024 * 1024 + 1)

    with pytest.raises(ValidationError, match="the limit is"):
        load_state(program(), tmp_path / "state.json")


def test_a_file_that_is_not_there_is_said_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(AltarError, match=r"'state\.json'"):
        load_state(program(), tmp_path / "state.json")


def test_a_demonstration_that_json_cannot_hold_is_refused() -> None:
    made = program()
    made.predict.demos = [dspy.Example(question=object(), answer="2")]

    with pytest.raises(TransportError, match="'predict'"):
        state_digest(made)
