"""The form of pipelines in YAML: what Python can say it can say, and its JSON Schema says what is read."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, Phase, given, settings

import altar
from altar.ai.pipelines import Pipeline, load_pipeline, making
from altar.ai.pipelines.definition import pipeline
from altar.ai.pipelines.steps import Retry
from altar.ai.pipelines.yaml_form import read_pipeline
from altar.ai.pipelines.yaml_keys import KINDS, ON_EACH, PIPELINE, RETRY, json_schema
from altar.ai.pipelines.yaml_writing import _lines, name_of, to_yaml
from altar.cli.main import main
from altar.later.yaml_text import read_yaml
from scripts import generate_pipeline_schema
from tests.unit.ai.pipeline_strategies import FUNCTIONS, pipelines
from tests.unit.ai.test_pipeline_yaml import TEXT, choose, shout

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = jsonschema_rs.Draft202012Validator(json_schema())
BY_NAME = {name_of(each): each for each in FUNCTIONS}
SLOW = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to make a pipeline smaller takes longer than to read it
)


def read_again(made: Pipeline) -> Pipeline:
    return read_pipeline(made.to_yaml(), functions=BY_NAME, check=lambda _: None)


def document_of(text: str) -> Any:
    return read_yaml(text, what="This", max_bytes=1_000_000).value


@given(pipelines())
@SLOW
def test_any_pipeline_that_is_written_is_read_as_the_same_and_fits_the_schema(made: Pipeline) -> None:
    assert made.to_json() == read_again(made).to_json()
    SCHEMA.validate(document_of(made.to_yaml()))


OTHERS: list[Any] = ["", 0, 1.5, True, [], ["a"], {"a": "b"}, "a -> b"]


def test_whatever_is_changed_in_a_text_what_is_still_read_fits_the_schema() -> None:
    document = document_of(TEXT)
    changed = [one for way in places(document) for one in changes(document, way)]
    read = [one for one in changed if is_read(one)]

    assert (len(changed) > 700, len(read) > 100) == (True, True)
    assert [] == [one for one in read if not SCHEMA.is_valid(one)]


def changes(document: Any, way: tuple[Any, ...]) -> Iterator[Any]:
    """The document with another value at a place, without it, and with another key for it."""
    for other in (*OTHERS, "gone", "renamed"):
        changed = copy.deepcopy(document)
        held = changed
        for step in way[:-1]:
            held = held[step]
        if other == "gone":
            held.pop(way[-1])
        elif other == "renamed" and isinstance(held, dict):
            held[f"{way[-1]}x"] = held.pop(way[-1])
        else:
            held[way[-1]] = other
        yield changed


def is_read(document: Any) -> bool:
    try:
        read_pipeline("\n".join(_lines(document, "")), functions=[shout, choose], check=lambda _: None)
    except altar.DeclarationError:
        return False
    return True


WRONG = [
    "pipeline: a\nsteps:\n  - tol: b\n",
    "pipeline: a\nsteps:\n  - tool: b\n    inptus: {}\n",
    "pipeline: a\nstep: []\n",
    "steps: [b]\n",
    "pipeline: a\nsteps: []\n",
    "pipeline: a b\nsteps: [b]\n",
    "pipeline: a\nversion: 1.2\nsteps: [b]\n",
    "pipeline: a\nversion: one\nsteps: [b]\n",
    "pipeline: a\noutputs: []\nsteps: [b]\n",
    "pipeline: a\ntimeout: 0\nsteps: [b]\n",
    "pipeline: a\ntimeout: soon\nsteps: [b]\n",
    "pipeline: a\ninputs: [topic]\nsteps: [b]\n",
    "pipeline: a\npipelines: [b]\nsteps: [b]\n",
    "pipeline: a\npipelines: {b: []}\nsteps: [b]\n",
    "pipeline: a\npipelines: {b c: [d]}\nsteps: [b]\n",
    "pipeline: a\nsteps:\n  - tool: b\n    sub: c\n",
    "pipeline: a\nsteps:\n  - tool: b\n    name: 'a b'\n",
    "pipeline: a\nsteps:\n  - tool: b\n    retry: {atempts: 2}\n",
    "pipeline: a\nsteps:\n  - tool: b\n    retry: {jitter: 2}\n",
    "pipeline: a\nsteps:\n  - tool: b\n    retry: 0\n",
    "pipeline: a\nsteps:\n  - tool: b\n    timeout: -1\n",
    "pipeline: a\nsteps:\n  - tool: b\n    output: ''\n",
    "pipeline: a\nsteps:\n  - tool: b\n    fallback: {tol: c}\n",
    "pipeline: a\nsteps:\n  - map: b\n    over: c\n",
    "pipeline: a\nsteps:\n  - {map: b, over: c, item: d, output: e, concurrency: 1001}\n",
    "pipeline: a\nsteps:\n  - parallel: []\n",
    "pipeline: a\nsteps:\n  - parallel: {}\n",
    "pipeline: a\nsteps:\n  - branch: b\n    cases: {}\n",
    "pipeline: a\nsteps:\n  - branch: {function: len, other: 1}\n    cases: {a: b}\n",
    "pipeline: a\nsteps:\n  - branch: b\n",
    "pipeline: a\nsteps:\n  - transform: len\n    takes: [b, b]\n",
    "pipeline: a\nsteps:\n  - transform: len\n    timeout: 1\n",
    "pipeline: a\nsteps:\n  - transform: len\n    retry: 2\n",
    "pipeline: a\nsteps:\n  - module: [b]\n",
    "pipeline: a\nsteps: [[b]]\n",
]


@pytest.mark.parametrize("text", WRONG)
def test_what_is_refused_for_its_form_does_not_fit_the_schema(text: str) -> None:
    with pytest.raises(altar.DeclarationError):
        read_pipeline(text, functions={"len": len}, check=lambda _: None)

    assert not SCHEMA.is_valid(document_of(text))


def test_every_pipeline_of_the_pages_and_examples_fits_the_schema() -> None:
    texts = [
        text
        for page in (ROOT / "docs").rglob("*.md")
        for text in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    ]
    texts += [
        text
        for one in (ROOT / "examples").glob("*.py")
        for text in re.findall(r'= """\\?\n(.*?)"""', one.read_text(), re.DOTALL)
    ]
    found = [text for text in texts if re.match(r"(?:#.*\n)*pipeline: ", text)]

    assert len(found) >= 2
    for text in found:
        SCHEMA.validate(document_of(text))


def test_the_published_schema_is_the_one_that_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["pipeline", "schema"])

    published = (ROOT / "docs/reference/pipeline.schema.json").read_text(encoding="utf-8")
    assert published == capsys.readouterr().out
    assert 0 == generate_pipeline_schema.main(["--check"]), "run scripts/generate_pipeline_schema.py"


MAIN = {"tool": "which", "module": "which", "parallel": "steps", "map": "step", "branch": "on", "sub": "pipeline"}
"""The parameter that stands under the kind itself; the one of a transform is its function."""
NOT_IN_A_TEXT = {
    "module": {"lm", "register"},  # which model answers is a matter of the place where it runs; a text always registers
    "parallel": {"named"},  # a mapping under the kind itself
}
NOT_IN_PYTHON = {"tool": {"program"}, "module": {"as"}}  # what is written of a module that was given itself


@pytest.mark.parametrize("kind", KINDS)
def test_each_key_of_a_step_in_python_is_one_in_yaml_and_the_other_way_round(kind: str) -> None:
    parameters = inspect.signature(getattr(making, kind)).parameters.keys() - {"options"}
    written = {kind if name == MAIN.get(kind, "function") else name for name in parameters}

    assert KINDS[kind].keys() - NOT_IN_PYTHON.get(kind, set()) == written - NOT_IN_A_TEXT.get(kind, set())


def test_each_key_of_every_step_of_a_retry_and_of_a_pipeline_is_one_in_yaml() -> None:
    named = {"name": "pipeline"}

    assert {*making.Options.__annotations__} == ON_EACH.keys()
    assert {*Retry.__dataclass_fields__} == RETRY.keys()
    assert {named.get(name, name) for name in inspect.signature(pipeline).parameters} == PIPELINE.keys()


def test_a_text_is_loaded_by_the_function_that_everybody_uses() -> None:
    made = load_pipeline("pipeline: a\nsteps: [b]\n")

    assert to_yaml(made) == "pipeline: a\nsteps:\n  - tool: b\n    name: b\n"


def places(value: Any, way: tuple[Any, ...] = ()) -> Any:
    """The ways to every value inside of a document."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, held in inside:
        yield (*way, key)
        yield from places(held, (*way, key))
