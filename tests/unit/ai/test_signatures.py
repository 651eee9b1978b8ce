"""A signature of DSPy as a contract: types, limits, defaults, descriptions, and what is refused."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import uuid
from typing import Annotated, Any, Literal

import dspy
import pydantic
import pytest

from altar.adm.errors import DeclarationError
from altar.ai.signatures import declared, fields_of, public_signature, signature_from


class Mood(enum.Enum):
    GLAD = "glad"
    SAD = "sad"


class Person(pydantic.BaseModel):
    name: str = pydantic.Field(description="As people call them.")
    age: int = pydantic.Field(default=3, ge=0)


class Tree(pydantic.BaseModel):
    leaf: str
    below: list[Tree] = []


def contract(signature: Any) -> dict[str, Any]:
    """The parameters of a signature with one input, by JSON Schema."""
    declaration, _, _ = declared(signature_from(signature), name="tool", run=print)
    document: dict[str, Any] = declaration.parameters.json_schema
    return document


def result(signature: Any) -> dict[str, Any]:
    declaration, _, _ = declared(signature_from(signature), name="tool", run=print)
    assert declaration.returns is not None
    document: dict[str, Any] = declaration.returns.json_schema
    return document


TYPES: dict[str, tuple[Any, dict[str, Any]]] = {
    "text": (str, {"type": "string"}),
    "whole_number": (int, {"type": "integer"}),
    "number": (float, {"type": "number"}),
    "truth": (bool, {"type": "boolean"}),
    "one_of": (Literal["yes", "no"], {"enum": ["yes", "no"], "type": "string"}),
    "nothing_or_text": (str | None, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
    "list": (list[int], {"type": "array", "items": {"type": "integer"}}),
    "mapping": (dict[str, float], {"type": "object", "additionalProperties": {"type": "number"}}),
    "any": (Any, {}),
    "date": (dt.date, {"type": "string", "format": "date"}),
    "uuid": (uuid.UUID, {"type": "string", "format": "uuid"}),
    "enum": (Mood, {"$ref": "#/$defs/Mood"}),
    "model": (Person, {"$ref": "#/$defs/Person"}),
    "models": (list[Person], {"type": "array", "items": {"$ref": "#/$defs/Person"}}),
    "recursive": (Tree, {"$ref": "#/$defs/Tree"}),
    "code": (dspy.Code, {"type": "string"}),
    "image": (dspy.Image, {"$ref": "#/$defs/Image"}),
    "history": (dspy.History, {"$ref": "#/$defs/History"}),
}


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_that_has_a_form_in_json_is_an_input(kind: str) -> None:
    annotation, expected = TYPES[kind]

    document = contract({"given": (annotation, dspy.InputField()), "answer": (str, dspy.OutputField())})

    assert expected == document["properties"]["given"]
    assert ["given"] == document["required"]


OUTPUTS: dict[str, tuple[Any, dict[str, Any]]] = {
    **{name: TYPES[name] for name in ("text", "one_of", "nothing_or_text", "list", "mapping", "enum", "code")},
    "reasoning": (dspy.Reasoning, {"type": "string"}),
    "calls": (dspy.ToolCalls, {"$ref": "#/$defs/ToolCalls"}),
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_every_output_is_promised_with_its_type(kind: str) -> None:
    annotation, expected = OUTPUTS[kind]

    document = result({"question": (str, dspy.InputField()), "given": (annotation, dspy.OutputField())})

    assert expected == {key: held for key, held in document["properties"]["given"].items() if key != "description"}
    assert ["given"] == document["required"]


def test_a_decimal_is_promised_as_text_that_keeps_each_digit() -> None:
    document = result({"question": (str, dspy.InputField()), "sum": (decimal.Decimal, dspy.OutputField())})

    assert "string" == document["properties"]["sum"]["type"]


def test_the_text_form_names_types_and_gives_text_where_it_names_none() -> None:
    document = contract("question, count: int, mood: Literal['a', 'b'], words: list[str] -> answer")

    assert {
        "question": {"type": "string"},
        "count": {"type": "integer"},
        "mood": {"enum": ["a", "b"], "type": "string"},
        "words": {"type": "array", "items": {"type": "string"}},
    } == document["properties"]


def test_a_text_may_name_the_types_that_come_with_it() -> None:
    signature = signature_from("person: Person -> moods: list[Mood]", types_by_name={"Person": Person, "Mood": Mood})

    assert Person is signature.input_fields["person"].annotation
    assert list[Mood] == signature.output_fields["moods"].annotation


def test_limits_defaults_and_descriptions_of_a_class_are_in_the_contract() -> None:
    class Shop(dspy.Signature):
        """Say what it costs."""

        article: str = dspy.InputField(desc="What is sold", min_length=2)
        hint: str | None = dspy.InputField(default=None)
        count: int = dspy.InputField(ge=1, le=9)
        words: list[str] = dspy.InputField(default_factory=lambda: ["fair"])
        price: Annotated[int, pydantic.Field(ge=0)] = dspy.OutputField(desc="In cents")

    declaration, _, _ = declared(Shop, name="shop", run=print)
    properties = declaration.parameters.json_schema["properties"]

    assert "Say what it costs." == declaration.description
    assert {"type": "string", "minLength": 2, "description": "What is sold"} == properties["article"]
    assert {"type": "integer", "minimum": 1, "maximum": 9} == properties["count"]
    assert (None, ["fair"]) == (properties["hint"]["default"], properties["words"]["default"])
    assert ["article", "count"] == declaration.parameters.json_schema["required"]
    assert declaration.returns is not None
    assert {"type": "integer", "minimum": 0, "description": "In cents"} == declaration.returns.json_schema[
        "properties"
    ]["price"]


def test_the_placeholder_that_dspy_writes_is_no_description() -> None:
    assert "description" not in contract("question -> answer")["properties"]["question"]


def test_the_manuals_of_dspys_own_types_stay_out_of_contracts() -> None:
    document = contract({"past": (dspy.History, dspy.InputField()), "answer": (str, dspy.OutputField())})

    assert "import dspy" not in str(document)
    assert "turns of a conversation" in document["$defs"]["History"]["description"]


REFUSED: dict[str, tuple[Any, str]] = {
    "unknown type": ("question: Paper -> answer", "'Paper'"),
    "no arrow": ("question", "cannot be read"),
    "no output": ("question ->", "no output field"),
    "same name twice": ("question -> question", "cannot be read"),
    "words of python": ("class -> answer", "cannot be read"),
    "a name of pydantic": ("copy -> answer", "'copy'"),
    "a name of a signature": ("instructions -> answer", "'instructions'"),
    "a word of predictors": ("question, lm -> answer", "'lm'"),
    "a word of python's methods": ("self -> answer", "'self'"),
    "an output like a signature": ("question -> signature", "'signature'"),
    "a call in a type": ("question: open('x') -> answer", "cannot be read"),
    "a number": (7, "no signature"),
    "tools": ({"tools": (list[dspy.Tool], dspy.InputField()), "answer": (str, dspy.OutputField())}, "tools of DSPy"),
    "a prediction": (
        {"question": (str, dspy.InputField()), "answer": (dspy.Prediction, dspy.OutputField())},
        "'Prediction'",
    ),
    "a function": ({"given": (type(print), dspy.InputField()), "answer": (str, dspy.OutputField())}, "no form in JSON"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.filterwarnings('ignore:Field name ".*" in "StringSignature" shadows:UserWarning')
def test_what_cannot_be_a_contract_is_refused_with_its_name(case: str) -> None:
    given, words = REFUSED[case]

    with pytest.raises(DeclarationError) as refused:
        declared(signature_from(given), name="tool", run=print)

    assert "INVALID_DECLARATION" == refused.value.code
    assert words in refused.value.message


def test_more_fields_than_anybody_needs_are_refused() -> None:
    many = ", ".join(f"field_{number}" for number in range(101))

    with pytest.raises(DeclarationError, match="102 fields, and the limit is 100"):
        fields_of(signature_from(f"{many} -> answer"))


def test_a_name_that_only_begins_like_one_of_pydantics_is_a_name() -> None:
    assert ["model_name"] == list(fields_of(signature_from("model_name -> answer")).inputs)


def test_a_module_that_wraps_another_has_its_signature() -> None:
    inner = dspy.ChainOfThought("question -> answer")
    told: Any = public_signature(inner)

    assert ["reasoning", "answer"] == list(told.output_fields)
    best = dspy.BestOfN(inner, N=2, reward_fn=lambda _given, _answer: 1.0, threshold=1.0)
    assert told is public_signature(best)


class Two(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = dspy.Predict("question -> draft")
        self.second = dspy.Predict("draft -> answer")

    def forward(self, question: str) -> Any:
        return self.second(draft=self.first(question=question).draft)


class One(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.only = dspy.Predict("question -> answer")

    def forward(self, question: str) -> Any:
        return self.only(question=question)


class Other(One):
    def forward(self, topic: str) -> Any:
        return self.only(question=f"What of {topic}?")


def test_a_program_tells_its_signature_only_where_there_is_no_doubt() -> None:
    told: Any = public_signature(One())

    assert ["question"] == list(told.input_fields)
    assert public_signature(Two()) is None
    assert public_signature(Other()) is None
