"""Two things of one name that do something else: no compilation of the one is served for the other."""

from __future__ import annotations

import functools
import linecache
import sys
import types
from collections.abc import Callable
from typing import Any

import dspy
import pytest
from dspy.utils import DummyLM

from altar.ai.fingerprints import Untold, told
from altar.testing import ScriptedLM


def made(source: str, name: str = "metric") -> Any:
    """What a module holds under a name, with its source where Python looks for it."""
    file = f"<told {abs(hash(source))}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    held: dict[str, Any] = {"__name__": "told_apart", "functools": functools}
    exec(compile(source, file, "exec"), held)
    return held[name]


def on_one_line(value: int) -> Any:
    """One of two functions that stand in the same line."""
    return made("metrics = [lambda e, p, t=None: 1, lambda e, p, t=None: 2]", "metrics")[value]


def wrapped(value: int) -> Any:
    return made(
        "def more(f):\n"
        "    @functools.wraps(f)\n"
        "    def wrapper(*given):\n"
        f"        return f(*given) > {value}\n"
        "    return wrapper\n"
        "@more\n"
        "def metric(e, p, t=None):\n"
        "    return 1\n"
    )


def with_list(value: int) -> Any:
    return made(
        f"class M:\n    WORDS = [{value}]\n    def __call__(self, e, p, t=None): return self.WORDS\nmetric = M()"
    )


def with_classmethod(value: int) -> Any:
    return made(
        "class M:\n"
        "    @classmethod\n"
        f"    def most(cls): return {value}\n"
        "    def __call__(self, e, p, t=None): return self.most()\n"
        "metric = M()\n"
    )


class Judge:
    """A metric that holds something under a name that DSPy uses too."""

    def __init__(self, stage: int) -> None:
        self.stage = self.history = stage

    def __call__(self, example: Any, prediction: Any, trace: Any = None) -> bool:
        return bool(self.stage)


def of_module(value: int, *, is_inside: bool = False) -> Any:
    judging = types.ModuleType("judging")
    exec(f"def score(e, p): return {value}", vars(judging))
    sys.modules["judging"] = judging
    body = "    from judging import score\n    return score(e, p)" if is_inside else "    return judging.score(e, p)"
    held: dict[str, Any] = {"__name__": "told_apart", "judging": judging}
    exec(f"def metric(e, p, t=None):\n{body}", held)
    return held["metric"]


def with_method_of_pattern(value: int) -> Any:
    return made(f"import re\nfind = re.compile({str(value)!r}).search\ndef metric(e, p, t=None): return bool(find(p))")


def with_default(value: int) -> Any:
    return made(
        "from collections import defaultdict\n"
        f"weights = defaultdict(lambda: {value})\n"
        "def metric(e, p, t=None): return weights[e]"
    )


def with_attribute(value: int) -> Any:
    return made(f"def metric(e, p, t=None): return metric.least\nmetric.least = {value}")


def with_slot(value: int) -> Any:
    return made(
        "class Base:\n    __slots__ = ('least',)\n"
        "class M(Base):\n    def __call__(self, e, p, t=None): return self.least\n"
        f"metric = M()\nmetric.least = {value}"
    )


def that_is_a_mapping(value: int) -> Any:
    return made(f"class M(dict):\n    def __call__(self, e, p, t=None): return self['x']\nmetric = M(x={value})")


def of_enum(value: int) -> Any:
    return made(f"from enum import Enum\nclass Level(str, Enum):\n    LEAST = '{value}'\nlevel = Level.LEAST", "level")


def of_mapping(value: int) -> Any:
    return made("from collections import Counter\nmaps = [Counter(x=1), dict(x=1)]", "maps")[value]


def with_metaclass(value: int) -> Any:
    return made(
        f"class Meta(type):\n    def __contains__(cls, word): return word == {value}\n"
        "class Words(metaclass=Meta): pass\n"
        "def metric(e, p, t=None): return e in Words"
    )


def with_hidden_field(value: int) -> Any:
    return made(
        "from pydantic import BaseModel, Field\n"
        "class Least(BaseModel):\n    score: float = Field(0, exclude=True)\n"
        f"least = Least(score={value})\n"
        "def metric(e, p, t=None): return least.score"
    )


def of_model(value: int) -> Any:
    return made(
        "from pydantic import BaseModel\n"
        f"class Least(BaseModel):\n    name: str = ''\n    def score(self): return {value}\n"
        "least = Least()\n"
        "def metric(e, p, t=None): return least.score()"
    )


def made_dataclass(value: int) -> Any:
    return made(
        "from dataclasses import field, make_dataclass\n"
        f"Row = make_dataclass('Row', [('score', int, field(default={value}))])\n"
        "def metric(e, p, t=None): return Row().score"
    )


def scripted(value: int) -> Any:
    return ScriptedLM([str(value)]).dspy()


@pytest.mark.parametrize(
    "thing",
    [
        on_one_line,
        wrapped,
        with_list,
        with_classmethod,
        with_method_of_pattern,
        with_default,
        with_attribute,
        with_slot,
        with_metaclass,
        with_hidden_field,
        that_is_a_mapping,
        of_enum,
        of_mapping,
        of_model,
        made_dataclass,
        Judge,
        of_module,
        scripted,
    ],
    ids=lambda thing: thing.__name__,
)
def test_what_has_the_same_name_and_does_something_else_is_something_else(thing: Callable[[int], Any]) -> None:
    assert told(thing(0)) == told(thing(0))
    assert told(thing(0)) != told(thing(1))


def test_what_a_function_imports_is_a_part_of_it() -> None:
    one = told(of_module(0, is_inside=True))

    assert one != told(of_module(1, is_inside=True))
    assert one == told(of_module(0, is_inside=True))
    del sys.modules["judging"]


@pytest.mark.parametrize("base", ["random.Random", "str", "datetime.timedelta"])
def test_what_holds_more_than_can_be_seen_is_not_told(base: str) -> None:
    source = f"import datetime, random\nclass M({base}):\n    def __call__(self, e, p, t=None): return self\n"

    with pytest.raises(Untold):
        told(made(f"{source}metric = M(1)"))


def test_a_language_model_that_cannot_be_told_is_not_taken_for_another_of_its_name() -> None:
    class Engine:
        """Somebody's own."""

        def complete(self, request: Any) -> Any:
            return request

    for lm in (dspy.LM("openai/some", engine=Engine(), cache=False), DummyLM(iter([{"answer": "1"}]))):
        with pytest.raises(Untold):
            told(lm)
