"""What ALTAR adds to a call of a DSPy module, and what an exported tool adds to a call from DSPy.

The language model is scripted and answers at once, and nothing is kept in a cache.
Processor time is taken, and each way has its turn, since a machine is noisy.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import altar
from altar.testing import ScriptedLM
from bench.tools import ARGUMENTS, plain_probe_sync

__all__ = ["measure"]

CALLS, TURNS, SHORT = 200, 100, 4
ASKED = {"question": "What is two and two?"}
STEP = {"next_thought": "Add.", "next_tool_name": "add", "next_tool_args": {"a": 2, "b": 2}}
END = {"next_thought": "Done.", "next_tool_name": "finish", "next_tool_args": {}}
SCRIPTS: dict[str, list[Any]] = {
    "Predict": [{"answer": "4"}],
    "ReAct of 4 requests": [STEP, STEP, END, {"reasoning": "Two and two.", "answer": "4"}],
}


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def measure(rounds: int) -> Iterator[tuple[str, str, str, list[float]]]:
    """Yield name, unit, kind and the figures of each round."""
    import dspy

    modules = {
        "Predict": dspy.Predict("question -> answer"),
        "ReAct of 4 requests": dspy.ReAct("question -> answer", tools=[add]),
    }
    for name, module in modules.items():
        taken = [asyncio.run(_module(dspy, module, SCRIPTS[name])) for _ in range(rounds)]
        yield f"{name} as a tool, added", "µs CPU", "latency", [through - direct for direct, through in taken]
        share = [(through - direct) / direct * 100 for direct, through in taken]
        yield f"{name} as a tool, added to the module itself", "%", "cpu", share
    yield from _exported(dspy, rounds)


async def _module(dspy: Any, module: Any, script: list[Any]) -> tuple[float, float]:
    """Microseconds of a call of the module itself, and of the tool: the best of many short turns of each."""
    from altar.ai import tool_from_module

    lm = ScriptedLM(script, repeat=True).dspy()
    tool = tool_from_module(module, name=f"bench_{type(module).__name__.lower()}", lm=lm)
    direct, through = [], []
    async with altar.session([tool], source="later:") as session:
        for _ in range(TURNS):
            with dspy.context(lm=lm, trace=[], disable_history=True):
                began = time.process_time()
                for _ in range(SHORT):
                    await module.acall(**ASKED)
                direct.append(time.process_time() - began)
            began = time.process_time()
            for _ in range(SHORT):
                (await session.call(tool.name, ASKED)).unwrap()
            through.append(time.process_time() - began)
    return min(direct) / SHORT * 1e6, min(through) / SHORT * 1e6


def _exported(dspy: Any, rounds: int) -> Iterator[tuple[str, str, str, list[float]]]:
    """A tool that DSPy calls, less the plain call of its function; and DSPy's own tool of the same function."""
    from altar.adapters.dspy import to_dspy

    own = dspy.Tool(plain_probe_sync)
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(rounds):
        with altar.session(["probe_sync"], source="later:") as session:
            (exported,) = to_dspy(session)
            plain = _timed(plain_probe_sync)
            ours.append(_timed(exported) - plain)
            theirs.append(_timed(own) - plain)
    yield "exported tool called from DSPy, added", "µs CPU", "latency", ours
    yield "beside: dspy.Tool of the same function, added", "µs CPU", "cpu", theirs


def _timed(call: Callable[..., object]) -> float:
    for _ in range(CALLS // 10):
        call(**ARGUMENTS)
    began = time.process_time()
    for _ in range(CALLS):
        call(**ARGUMENTS)
    return (time.process_time() - began) / CALLS * 1e6
