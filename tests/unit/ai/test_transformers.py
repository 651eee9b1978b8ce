"""What DSPy answers, as one JSON object of the output fields."""

from __future__ import annotations

from enum import Enum
from typing import Any

import dspy
import pytest
from pydantic import BaseModel

from altar.adm.canonical import canonical
from altar.adm.errors import AltarError
from altar.ai.transformers import normal, transformer_of, transforms


class Mood(Enum):
    GOOD = "good"


class Place(BaseModel):
    city: str
    zip: str | None = None


def prediction(**fields: Any) -> Any:
    return dspy.Prediction(**fields)


@pytest.fixture(scope="module")
def predict() -> Any:
    return dspy.Predict("question -> answer")


@pytest.fixture(scope="module")
def thinker() -> Any:
    return dspy.ChainOfThought("question -> answer")


def test_the_fields_of_an_answer_are_json_values(predict: Any) -> None:
    answered = prediction(answer=Place(city="Oslo"), mood=Mood.GOOD, scores=(1, 2.5), seen={"b", "a"})

    made = normal(predict, answered)

    assert {"answer": {"city": "Oslo", "zip": None}, "mood": "good", "scores": [1, 2.5], "seen": ["a", "b"]} == made


def test_only_what_the_contract_promises_leaves_the_module(predict: Any) -> None:
    answered = prediction(answer="4", trajectory={"thought_0": "my secret"}, other=1)

    assert {"answer": "4"} == normal(predict, answered, fields=["answer"])


def test_the_first_of_several_completions_is_the_answer(predict: Any) -> None:
    several = dspy.Prediction.from_completions([{"answer": "4"}, {"answer": "5"}])

    assert {"answer": "4"} == normal(predict, several)
    assert {"answer": "4"} == normal(predict, {"completions": [{"answer": "4"}, {"answer": "5"}]})
    assert {"answer": "4"} == normal(predict, {"completions": [prediction(answer="4")]})


def test_an_output_field_that_is_called_completions_stays_one(predict: Any) -> None:
    assert {"answer": "4", "completions": ["a"]} == normal(predict, {"answer": "4", "completions": ["a"]})


def test_a_rationale_is_the_reasoning_of_those_that_reason_and_of_nobody_else(predict: Any, thinker: Any) -> None:
    answered = prediction(rationale="Because.", answer="4")

    assert {"reasoning": "Because.", "answer": "4"} == normal(thinker, answered)
    assert {"rationale": "Because.", "answer": "4"} == normal(predict, answered)


def test_the_steps_of_a_module_that_works_in_steps_stay_inside() -> None:
    agent = dspy.ReAct("question -> answer", tools=[])

    assert {"answer": "4"} == normal(agent, prediction(answer="4", trajectory={"thought_0": "x"}))


def test_a_single_value_is_the_one_output_field(predict: Any) -> None:
    assert {"title": "Hello"} == normal(predict, "Hello", fields=["title"])
    assert {"answer": 4} == normal(predict, 4)


def test_a_model_with_all_the_fields_is_taken_apart_and_one_without_is_a_value(predict: Any) -> None:
    place = Place(city="Oslo")

    assert {"city": "Oslo"} == normal(predict, place, fields=["city"])
    assert {"place": {"city": "Oslo", "zip": None}} == normal(predict, place, fields=["place"])


def test_types_of_dspy_lose_the_marks_they_put_around_themselves_for_a_model(predict: Any) -> None:
    image = dspy.Image("https://example.org/a.png")
    said = dspy.History(messages=[{"question": "q", "answer": "a"}])

    made = normal(predict, {"r": dspy.Reasoning(content="So."), "c": dspy.Code(code="x = 1"), "h": said, "i": [image]})

    assert ("So.", "x = 1", {"messages": [{"question": "q", "answer": "a"}]}) == (made["r"], made["c"], made["h"])
    assert [{"url": "https://example.org/a.png"}] == made["i"]
    assert b"CUSTOM-TYPE" not in canonical(made)


def test_what_json_cannot_hold_is_told_by_its_place_and_never_by_its_value(predict: Any) -> None:
    with pytest.raises(AltarError) as refused:
        normal(predict, prediction(answer={"deep": [object()]}))

    assert ("SERIALIZATION_ERROR", "/answer/deep/0") == (refused.value.code, refused.value.path)


def test_a_transform_of_the_tool_takes_the_place_of_the_types(thinker: Any) -> None:
    made = normal(
        thinker, prediction(reasoning="r", answer="4"), transform=lambda members: {"short": members["answer"]}
    )

    assert {"short": "4"} == made


def test_a_type_has_one_normal_form_which_its_subclasses_share() -> None:
    class Shouting(dspy.Module):
        pass

    class Whispering(Shouting):
        pass

    @transforms("Shouting")
    def loud(members: Any) -> Any:
        return {name: str(each).upper() for name, each in members.items()}

    assert {"answer": "HI"} == normal(Whispering(), prediction(answer="hi"))
    assert loud is transformer_of(Shouting())
    with pytest.raises(AltarError, match="have a normal form already") as refused:
        transforms("Shouting")(loud)
    assert "transform=" in str(refused.value.hint)
