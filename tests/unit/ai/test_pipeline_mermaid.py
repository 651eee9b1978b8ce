"""The picture of a pipeline; the parser of Mermaid itself reads it in tests/providers/test_mermaid.py."""

from __future__ import annotations

import re

import pytest

from altar.ai.pipelines import Pipeline, branch, map, parallel, pipeline, sub, tool, transform  # noqa: A004 - its name

HOSTILE = [
    '"]; end',
    "1. end",
    "`*b*` <b>&amp;#35;",
    "end",
    "- a",
    "%% x",
    "日本",
    "{x}|y|",
    "a --> b",
    "\n\x00",
    "$$x$$",
    "#quot;",
]

LINE = re.compile(
    r"""\ *(?:
      flowchart\ TD | direction\ TB | end | classDef\ dashed\ stroke-dasharray:\ 5\ 5 | class\ s\d+(?:,s\d+)*\ dashed
    | subgraph\ s\d+\["[^"]*"\]
    | s\d+(?:\["[^"]*"\]|\[\["[^"]*"\]\]|\(\["[^"]*"\]\)|\{"[^"]*"\}|\[/"[^"]*"/\])
    | s\d+\ -->\ s\d+ | s\d+\ --\ "[^"]*"\ -->\ s\d+ | s\d+\ -\.\ "[^"]*"\ \.->\ s\d+
    )""",
    re.VERBOSE,
)
"""What this project writes of Mermaid's grammar."""


def everything(cases: list[str]) -> Pipeline:
    """A pipeline with each kind of step, and these cases of a branch."""
    return pipeline(
        "everything",
        [
            tool("find", output="pages", fallback=tool("other", output="pages"), compensate=tool("forget")),
            parallel(a=tool("search"), b=tool("search"), concurrency=2),
            map(tool("read"), over="pages", item="page", output="texts"),
            branch("kind", dict.fromkeys(cases, "x"), default="y"),
            transform(len, takes=["texts"], gives=["n"]),
            sub("z"),
        ],
        inputs="topic: str, kind: str",
        pipelines={"x": [tool("one", output="p")], "y": [tool("two", output="q")], "z": [tool("three", output="r")]},
    )


def test_a_picture_shows_each_kind_of_step() -> None:
    picture = everything(["good", "bad"]).mermaid()

    assert picture.splitlines()[0] == "flowchart TD"
    for words in (
        's1(["topic<br>kind"])',
        's2 -. "if it fails" .-> s3',
        's2 -. "undone by" .-> s4',
        "class s3,s4 dashed",
        'subgraph s5["parallel: at the same time, 2 at a time"]',
        's6["a<br>search"]',
        'subgraph s8["texts: for each page of pages, 8 at a time"]',
        's10{"kind?"}',
        's10 -- "good or bad" --> s11',
        's10 -- "otherwise" --> s13',
        's15[/"len"/]',
    ):
        assert words in picture


def test_the_way_goes_on_after_a_fallback_and_after_every_branch() -> None:
    picture = everything(["good"]).mermaid()

    assert {"s2 --> s5", "s3 --> s5", "s11 --> s15", "s13 --> s15"} <= {line.strip() for line in picture.splitlines()}


@pytest.mark.parametrize("case", HOSTILE)
def test_no_name_is_a_sign_of_the_language(case: str) -> None:
    for line in everything([case]).mermaid().splitlines():
        assert LINE.fullmatch(line), line
    assert not re.search(r'-- "[^"]*[`<>*;{}|$%](?!\d)[^"]*" -->', re.sub(r"#\d+;", "", everything([case]).mermaid()))
