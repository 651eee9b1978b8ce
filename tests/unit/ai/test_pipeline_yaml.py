"""Pipelines in YAML: the same pipeline as in Python, and nothing else that a text could smuggle in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import altar
from altar.ai.pipelines import (
    Retry,
    branch,
    load_pipeline,
    map,  # noqa: A004 - its name
    parallel,
    pipeline,
    sub,
    tool,
    transform,
)
from altar.ai.pipelines.yaml_keys import json_schema
from altar.ai.pipelines.yaml_writing import _lines
from altar.later.yaml_text import YamlRefusedError, read_yaml

ROOT = Path(__file__).resolve().parents[3]


@altar.tool
def yaml_search(topic: str, limit: int = 3) -> list[str]:
    """Find pages."""
    return [f"{topic} {number}" for number in range(limit)]


def shout(text: str) -> str:
    return text.upper()


def choose(fields: Any) -> str:
    return "short"


STEPS: list[Any] = [
    tool("yaml_search", {"limit": 2}, output="pages", retry=3, timeout=2.5, name="find"),
    parallel(
        first=tool(
            "yaml_search", fallback=tool("other_search", inputs={"query": "topic"}, output="first", name="other")
        ),
        second=tool("yaml_search@^1", compensate=tool("forget", name="undo")),
        concurrency=2,
    ),
    map(tool("yaml_search", name="each"), over="pages", item="page", output="more", concurrency=4),
    branch("kind", {"no": "long", "1": "short"}, default="short"),
    branch(choose, {"short": "fine"}, retry=Retry(attempts=2, base=0.5, jitter=0), name="chosen"),
    sub("last", name="again"),
    transform(shout, takes=["topic"], gives=["loud"]),
]
NAMED: dict[str, Any] = {
    "long": [transform(shout, takes=["topic"], gives=["text"])],
    "short": [transform(shout, takes=["topic"], gives=["title"])],
    "fine": [transform(shout, takes=["topic"], gives=["fine"])],
    "last": [transform(shout, takes=["topic"], gives=["end"])],
}
TEXT = """\
pipeline: everything
version: 1.2.0
description: "All kinds: of steps"
inputs:
  topic: string
  kind: str
  limits: list[int]
outputs: [pages, loud]
timeout: 60
steps:
  - tool: yaml_search
    arguments: {limit: 2}
    output: pages
    retry: 3
    timeout: 2.5
    name: find
  - parallel:
      first:
        tool: yaml_search
        fallback: {tool: other_search, inputs: {query: topic}, output: first, name: other}
      second:
        tool: yaml_search@^1
        compensate: {tool: forget, name: undo}
    concurrency: 2
  - map: {tool: yaml_search, name: each}
    over: pages
    item: page
    output: more
    concurrency: 4
  - branch: kind
    cases: {no: long, 1: short}      # texts, whatever YAML 1.1 would make of them
    default: short
  - branch: {function: choose}
    cases: {short: fine}
    retry: {attempts: 2, base: 0.5, jitter: 0}
    name: chosen
  - sub: last
    name: again
  - transform: shout
    takes: [topic]
    gives: [loud]
pipelines:
  long:
    - &loud {transform: shout, takes: [topic], gives: [text]}
  short:
    - {transform: shout, takes: [topic], gives: [title]}
  fine: [{transform: shout, takes: [topic], gives: [fine]}]
  last: [{transform: shout, takes: [topic], gives: [end]}]
"""


def test_a_pipeline_in_yaml_is_the_same_as_in_python() -> None:
    inputs = {"topic": str, "kind": str, "limits": list[int]}
    words: dict[str, Any] = {"timeout": 60, "version": "1.2.0", "description": "All kinds: of steps"}

    made = pipeline("everything", STEPS, inputs=inputs, outputs=["pages", "loud"], pipelines=NAMED, **words)

    assert made.to_json() == load_pipeline(TEXT, functions=[shout, choose]).to_json()
    assert made.digest == load_pipeline(TEXT, functions={"shout": shout, "choose": choose}).digest


def test_what_is_written_is_read_as_the_same_and_written_the_same_again() -> None:
    made = load_pipeline(TEXT, functions=[shout, choose])

    again = load_pipeline(made.to_yaml(), functions=[shout, choose])

    assert made == again
    assert made.to_yaml() == again.to_yaml()


def test_a_pipeline_in_yaml_runs(tmp_path: Path) -> None:
    file = tmp_path / "search.yaml"
    steps = "[{tool: yaml_search, output: pages}, {transform: count, takes: [pages], gives: [n]}]"
    file.write_text(f"pipeline: search\nsteps: {steps}\n")
    made = load_pipeline(file, functions={"count": len})

    with altar.session([yaml_search], source="later:") as session:
        result = made.run(session, topic="whales")

    assert {"n": 3} == result.outputs


def test_a_tool_among_the_functions_is_the_one_that_is_called() -> None:
    made = load_pipeline("pipeline: search\nsteps: [yaml_search]\n", functions=[yaml_search])

    assert [yaml_search] == made.tools


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("pipeline: a\nsteps:\n  - tol: b\n", (3, 5), "did you mean 'tool'"),
        ("pipeline: a\nsteps:\n  - tool: b\n    inptus: {}\n", (4, 5), "did you mean 'inputs'"),
        ("pipeline: a\nstep: []\n", (2, 1), "did you mean 'steps'"),
        ("pipeline: a\nsteps:\n  - tool: b\n    sub: c\n", (3, 5), "`tool` and `sub` at once"),
        ("pipeline: a\nsteps:\n  - transform: os.system\n    gives: [x]\n", (3, 5), "no function 'os.system'"),
        ("pipeline: a\nsteps:\n  - transform: builtins:eval\n    gives: [x]\n", (3, 5), "no function 'builtins:eval'"),
        ("pipeline: a\nsteps:\n  - tool: b\n    retry: {atempts: 2}\n", (4, 13), "did you mean 'attempts'"),
        ("pipeline: a\nsteps:\n  - tool: b\n    timeout: -1\n", (3, 5), "must be more than nothing"),
        ("pipeline: a\nsteps:\n  - map: b\n    over: c\n", (3, 5), "has no `item`"),
        ("pipeline: a\nsteps:\n  - tool: b\n    fallback: {tol: c}\n", (4, 16), "did you mean 'tool'"),
        (
            "pipeline: a\nsteps:\n  - b\n  - transform: n\n    takes: [c]\n    gives: [d]\n    name: e\n",
            (4, 5),
            "Step 'e'",
        ),
        ("pipeline: a\nsteps: [b]\npipeline: c\n", (3, 1), "stands twice"),
        ("pipeline: a\nsteps: [b]\n---\npipeline: c\n", (3, 1), "a second document"),
        ("pipeline: a\nsteps: {b: [}\n", (2, 13), "this is no YAML"),
        ("pipeline: a\nsteps: !!python/name:os.system b\n", (2, 8), "is not read"),
        ("pipeline: a\nsteps: &a [*a]\n", (2, 12), "inside of itself"),
        ("pipeline: a\nsteps: [*b]\n", (2, 9), "no anchor 'b'"),
        ("pipeline: a\nsteps: [b]\ntimeout: .inf\n", (3, 10), "no number of JSON"),
        ("pipeline: a\nsteps: [b]\ntimeout: " + "9" * 5000, (3, 10), "no number of JSON"),
    ],
)
def test_what_is_wrong_is_named_with_line_and_column(text: str, place: tuple[int, int], words: str) -> None:
    n = {"n": lambda c: c} if "transform: n" in text else {}
    if "  - b\n" in text:
        text = text.replace("  - b\n", "  - transform: n\n    takes: [x]\n    gives: [y]\n    name: b\n")
        place = (7, 5)

    with pytest.raises(altar.DeclarationError) as refused:
        load_pipeline(text, functions=n)

    assert "INVALID_PIPELINE" == refused.value.code
    assert refused.value.message.startswith(f"line {place[0]}, column {place[1]}: ")
    assert words in f"{refused.value.message} {refused.value.hint}"


def test_a_file_is_named_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("pipeline: a\nsteps: []\n")

    with pytest.raises(altar.DeclarationError, match=r"^wrong\.yaml, line 2, column 1: "):
        load_pipeline(tmp_path / "wrong.yaml")
    with pytest.raises(altar.DeclarationError, match="cannot be read"):
        load_pipeline(str(tmp_path / "absent.yaml"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100, "nested more than 64 deep"),
        ("a: " + "x" * 300_000, "the limit is 262144"),
        ("a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)), "100000"),
        ("a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 80)), "nested more than 64 deep"),
    ],
)
def test_a_text_that_would_grow_is_bounded(text: str, words: str) -> None:
    with pytest.raises(YamlRefusedError, match=words):
        read_yaml(text, what="This", max_bytes=256 * 1024)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0x" + "f" * 5_000, "no number of JSON"),
        ("0o" + "7" * 9_000, "no number of JSON"),
        ("9" * 5_000, "no number of JSON"),
        ("a: \udc80", "not UTF-8"),
    ],
    ids=["hexadecimal", "octal", "decimal", "surrogate"],
)
def test_what_could_not_be_written_as_json_is_refused(text: str, words: str) -> None:
    with pytest.raises(YamlRefusedError, match=words):
        read_yaml(text, what="This", max_bytes=256 * 1024)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # YAML 1.2.2, example 10.9 (core schema) and the Norway problem
        ("[null, , ~, Null]", [None, None, None, None]),
        ("[true, True, false, FALSE]", [True, True, False, False]),
        ("[0, 0o7, 0x3A, -19]", [0, 7, 58, -19]),
        ("[0., -0.0, .5, +12e03, -2E+05]", [0.0, -0.0, 0.5, 12000.0, -200000.0]),
        ("[no, yes, on, off, y, n, NO]", ["no", "yes", "on", "off", "y", "n", "NO"]),
        ("[1:30, 2026-01-02, 1_000, 'true', \"1\"]", ["1:30", "2026-01-02", "1_000", "true", "1"]),
        ("{no: 1, 200: 2, true: 3}", {"no": 1, "200": 2, "true": 3}),
    ],
)
def test_plain_words_are_read_as_yaml_1_2_says(text: str, value: object) -> None:
    text = text.replace(", ,", ", null,")

    found = read_yaml(text, what="This", max_bytes=1000).value

    assert json.dumps(value) == json.dumps(found)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(), inside, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON, min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_any_json_value_is_written_so_that_it_is_read_as_it_was(value: dict[str, Any]) -> None:
    text = "\n".join(_lines(value, "")) + "\n"

    assert value == read_yaml(text, what="This", max_bytes=1_000_000).value


def test_the_published_schema_is_that_of_the_keys_and_accepts_what_is_loaded() -> None:
    published = json.loads((ROOT / "docs/reference/pipeline.schema.json").read_text(encoding="utf-8"))
    read = read_yaml(TEXT, what="This", max_bytes=100_000).value

    assert json_schema() == published
    jsonschema_rs.Draft202012Validator(published).validate(read)
    assert not jsonschema_rs.Draft202012Validator(published).is_valid({**read, "setps": []})
