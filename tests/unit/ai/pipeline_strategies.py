"""Pipelines drawn at random: any steps, whether or not their fields flow, for what is written and drawn of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from altar.ai.pipelines import (
    Pipeline,
    Retry,
    Step,
    branch,
    map,  # noqa: A004 - its name
    parallel,
    sub,
    tool,
    transform,
)
from altar.ai.pipelines.definition import shaped
from altar.ai.pipelines.steps import TransformStep

__all__ = ["FUNCTIONS", "JSON", "pipelines"]


def shout(text: str) -> str:
    """In capitals."""
    return text.upper()


def choose(fields: Any) -> str:
    """Always the same."""
    return "short"


FUNCTIONS: list[Callable[..., Any]] = [shout, choose, len, sorted]
WORDS = st.sampled_from(["no", "on", "y", "null", "1", "end", "a b", "a: b", "- a", "#", '"', "'", "%% x", "😀", "1.5"])
TEXT = WORDS | st.text(min_size=1, max_size=12)
NAMES = st.sampled_from(["no", "Null", "true", "y", "end", "a-b", "_", "x" * 60])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(TEXT, inside, max_size=3),
    max_leaves=6,
)
SECONDS = st.floats(0.001, 1e6)
RETRIES = st.integers(1, 100) | st.builds(
    Retry,
    attempts=st.integers(1, 100),
    base=st.floats(0, 1e6),
    cap=st.floats(0, 1e6),
    jitter=st.floats(0, 1),
)
SCHEMAS = st.sampled_from(
    [str, int, list[str], dict[str, int], {}, {"type": "null"}, {"enum": ["no", 1]}, {"type": "integer", "default": 3}]
)


@st.composite
def steps(draw: st.DrawFn, depth: int = 1, extra: st.SearchStrategy[Step] | None = None) -> Step:
    """A step of any kind with any of its keys; ``extra`` makes steps of one kind more."""
    inner = steps(depth - 1, extra) if depth else leaves(extra)
    kinds = ["leaf", "parallel", "map", "branch", "sub"] if depth else ["leaf"]
    match draw(st.sampled_from(kinds)):
        case "parallel":
            listed = unique(draw(st.lists(inner, max_size=2)), "p")
            named = draw(st.dictionaries(TEXT.map(lambda text: f"{text} "), tools(), min_size=not listed, max_size=2))
            made: Step = parallel(*listed, concurrency=draw(st.none() | st.integers(1, 1000)), **named)
        case "map":
            most = draw(st.integers(1, 1000))
            made = map(draw(inner), over=draw(TEXT), item=draw(TEXT), output=draw(TEXT), concurrency=most)
        case "branch":
            on = draw(TEXT | st.just(choose))
            made = branch(on, draw(st.dictionaries(TEXT, TEXT, min_size=1, max_size=3)), default=draw(st.none() | TEXT))
        case "sub":
            made = sub(draw(TEXT))
        case _:
            made = draw(leaves(extra))
    made = draw(with_options(made))
    fallback = draw(st.none() | leaves(extra))
    compensate = draw(st.none() | leaves(extra))
    return replace(made, fallback=fallback, compensate=compensate)


@st.composite
def leaves(draw: st.DrawFn, extra: st.SearchStrategy[Step] | None = None) -> Step:
    """A step without steps inside."""
    if extra is not None and draw(st.booleans()):
        return draw(with_options(draw(extra)))
    if draw(st.booleans()):
        words = st.lists(TEXT, max_size=3, unique=True)
        return draw(with_options(transform(draw(st.sampled_from(FUNCTIONS)), takes=draw(words), gives=draw(words))))
    return draw(with_options(draw(tools())))


@st.composite
def tools(draw: st.DrawFn) -> Step:
    """A call of a tool that nobody knows."""
    return tool(
        draw(
            st.sampled_from(["search", "search@^1", "no", "null@>=1.0.0 <2"]) | TEXT.filter(lambda one: one[0] != "@")
        ),
        draw(st.dictionaries(TEXT, JSON, max_size=2)),
        inputs=draw(st.dictionaries(TEXT, TEXT, max_size=2)),
        output=draw(st.none() | TEXT),
    )


@st.composite
def with_options(draw: st.DrawFn, step: Step) -> Step:
    """The step, perhaps with a name; and with a timeout and a plan to try again, where it is no plain function."""
    name, retry = draw(st.none() | NAMES), draw(st.none() | RETRIES)
    if name is not None:
        step = replace(step, name=name)
    if isinstance(step, TransformStep):
        return step
    if retry is not None:
        step = replace(step, retry=Retry(attempts=retry) if isinstance(retry, int) else retry)
    return replace(step, timeout=draw(st.none() | SECONDS))


def unique(listed: list[Step], start: str) -> list[Step]:
    """The same steps with names that differ."""
    return [replace(step, name=f"{start}{number}_{step.name}"[:64]) for number, step in enumerate(listed)]


@st.composite
def pipelines(draw: st.DrawFn, extra: st.SearchStrategy[Step] | None = None) -> Pipeline:
    """A pipeline of such steps, which nobody has checked."""
    lists = st.lists(steps(extra=extra), min_size=1, max_size=3)
    return shaped(
        draw(NAMES),
        unique(draw(lists), "s"),
        inputs=draw(st.none() | st.dictionaries(TEXT, SCHEMAS, max_size=3)),
        outputs=draw(st.none() | st.lists(TEXT, min_size=1, max_size=3)),
        pipelines={name: unique(draw(lists), "n") for name in draw(st.sets(NAMES, max_size=2))},
        timeout=draw(st.none() | SECONDS),
        version=draw(st.sampled_from(["1.0.0", "2.0.0-rc.1", "0.1.0+b"])),
        description=draw(st.text(max_size=20)),
    )
