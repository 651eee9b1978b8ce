"""What an agent takes for each call of a tool, beside the framework that drives it, and beside the bare call.

A run is asked 20 times for a call of a tool and once for its answer, by a script that answers at once in this process;
the tool is a coroutine that does nothing, and both frameworks call it through the session, by ALTAR's own adapters.
Each way has its turn, since a machine is noisy.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import altar
from altar.ai.agents import Limits, Memory, agent
from altar.testing import ScriptedLM, ToolUse

__all__ = ["measure"]

CALLS, TURNS = 20, 8
USES = [ToolUse("bench_asked", {"value": number}) for number in range(CALLS)]
Run = Callable[[], Awaitable[Any]]


@altar.tool
async def bench_asked(value: int) -> int:
    """Give the value back."""
    return value


def measure(rounds: int) -> Iterator[tuple[str, str, str, list[float]]]:
    """Yield name, unit, kind and the figures of each round."""
    taken = [asyncio.run(_round()) for _ in range(rounds)]
    for name in taken[0]:
        kind = "latency" if name.startswith("an agent") else "cpu"
        yield f"{name}, each call", "µs CPU", kind, [each[name] for each in taken]
    for name, framework in (("an agent under DSPy", _REACT), ("an agent under Pydantic-AI", _AGENT)):
        added = [each[name] - each[framework] for each in taken]
        yield f"{name}, added to {framework}, each call", "µs CPU", "cpu", added


_REACT, _AGENT = "ReActV2 with exported tools", "Pydantic-AI's Agent with the toolset"


async def _round() -> dict[str, float]:
    """Microseconds of processor time for each call, the best of many turns, by the name of the way."""
    async with altar.session(["bench_asked"], source="later:") as session:
        ways: dict[str, Run] = {
            "bare call of a session": lambda: _bare(session),
            "an agent under DSPy": lambda: _agent(session, "dspy"),
            _REACT: lambda: _react(session),
            "ReAct with exported tools": lambda: _react(session, first=True),
            "an agent under Pydantic-AI": lambda: _agent(session, "pydantic_ai"),
            _AGENT: lambda: _framework(session),
        }
        best = dict.fromkeys(ways, float("inf"))
        for _ in range(TURNS):
            for name, way in ways.items():
                began = time.process_time()
                answer = await way()
                best[name] = min(best[name], (time.process_time() - began) / CALLS * 1e6)
                assert answer == "done", (name, answer)
        return best


async def _bare(session: altar.Session) -> str:
    for use in USES:
        (await session.call("bench_asked", dict(use.arguments))).unwrap()
    return "done"


async def _agent(session: altar.Session, framework: Any) -> str:
    limits = Limits(requests=None, tool_calls=None)
    lm = ScriptedLM([*USES, "done"])
    asked = agent(model=lm, framework=framework, limits=limits, memory=Memory(turns=0), instructions="Ask.")
    answer: str = (await asked.run(session, "Go.")).unwrap()
    return answer


async def _react(session: altar.Session, *, first: bool = False) -> str:
    """DSPy's own agent: ReActV2, or the ``first`` one, whose calls are fields of a text."""
    import dspy

    from altar.adapters.dspy import to_dspy

    steps: list[Any] = [
        {"next_thought": "", "next_tool_name": use.name, "next_tool_args": use.arguments} for use in USES
    ]
    steps += [
        {"next_thought": "", "next_tool_name": "finish", "next_tool_args": {}},
        {"reasoning": "", "answer": "done"},
    ]
    lm = ScriptedLM(steps if first else [*USES, ToolUse("submit", {"answer": "done"})]).dspy()
    made = dspy.ReAct if first else dspy.ReActV2
    adapter = dspy.ChatAdapter(use_native_function_calling=not first)
    with dspy.context(lm=lm, adapter=adapter, trace=[], disable_history=True):
        program = made("question -> answer", tools=to_dspy(session), max_iters=CALLS + 1)
        return str((await program.acall(question="Go.")).answer)


async def _framework(session: altar.Session) -> str:
    from pydantic_ai import Agent

    from altar.adapters.pydantic_ai import to_pydantic_ai
    from altar.ai.agents.pydantic_model import OurModel

    asked = Agent(OurModel(ScriptedLM([*USES, "done"])), instructions="Ask.", toolsets=[to_pydantic_ai(session)])
    return str((await asked.run("Go.")).output)
