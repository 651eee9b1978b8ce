"""Every type of module of DSPy gives the same bytes in this process and on a grid that is STRICT."""

from __future__ import annotations

import pytest

import altar
from altar.adapters.dspy import to_dspy
from altar.adm.canonical import canonical
from altar.testing import LocalGrid
from tests.unit.ai import dspy_kinds
from tests.unit.ai.dspy_kinds import KINDS, TOOLS

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning"),  # what DSPy says of its own use of itself
    pytest.mark.filterwarnings("ignore:.*is experimental:UserWarning"),
]


def test_a_module_gives_the_same_bytes_here_and_on_a_grid() -> None:
    question = {"question": "What is two and two?"}

    with altar.session(TOOLS, source="later:") as session:
        here = {tool.name: session.call(tool, question) for tool in TOOLS}
    with LocalGrid([dspy_kinds.__name__], runtimes=1) as grid, grid.session() as session:
        there = {tool.name: session.call(tool.name, question) for tool in TOOLS}
        (exported,) = to_dspy(session, names=["kind_chainofthought"])
        answered, refused = exported(**question), exported(query="q")

    assert {name: canonical(result.unwrap()) for name, result in here.items()} == {
        name: canonical(result.unwrap()) for name, result in there.items()
    }
    assert {f"kind_{kind.lower()}": answer for kind, (_, _, answer) in KINDS.items()} == {
        name: result.content for name, result in there.items()
    }
    assert KINDS["ChainOfThought"][2] == answered
    assert "INVALID_TOOL_ARGS" in refused
    assert {name: result.usage for name, result in here.items()} == {
        name: result.usage for name, result in there.items()
    }
