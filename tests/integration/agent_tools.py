"""A clerk under each framework, a chief who asks the clerks, and an errand that has one run: tools of a runtime.

What their language models say comes from scripts that look at what was said last, so that every run is the same.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import altar
from altar.ai.agents import agent
from altar.ai.agents.agent import Framework
from altar.ai.pipelines import pipeline, tool
from altar.testing import ChatRequest, ScriptedLM, ToolUse

FRAMEWORKS: tuple[Framework, ...] = ("dspy", "pydantic_ai")


@altar.tool(read_only=True)
def agent_counts(item: str, context: altar.ToolContext) -> dict[str, Any]:
    """Say how many of an item there are, and who asks."""
    left = context.deadline
    return {
        "count": 12,
        "parent": context.parent_id,
        "principal": context.principal,
        "session": context.session_id,
        "left": None if left is None else left.total_seconds(),
    }


@altar.tool
async def agent_lingers(evidence: str) -> str:
    """Wait for good, and write down how it was ended."""
    Path(evidence).write_text("began")
    try:
        await asyncio.Event().wait()
    finally:
        Path(evidence).write_text("ended")
    return "never"


def clerk_says(request: ChatRequest) -> Any:
    """Count what is asked for, or wait where a file is named; then say what that gave."""
    if request.messages[-1].role == "tool":
        return request.text
    if request.prompt.startswith("/"):
        return ToolUse("agent_lingers", {"evidence": request.prompt})
    return ToolUse("agent_counts", {"item": request.prompt})


def _chief_of(framework: str) -> Any:
    def chief_says(request: ChatRequest) -> Any:
        """Ask the clerk, and say what the clerk says."""
        if request.messages[-1].role == "tool":
            return request.text
        return ToolUse(f"clerk_{framework}", {"prompt": request.prompt})

    return chief_says


def _clerk(framework: Framework) -> Any:
    made = agent(
        model=ScriptedLM(clerk_says),
        tools=["agent_counts", "agent_lingers"],
        framework=framework,
        instructions="Say how much there is.",
        name=f"clerk_{framework}",
    )
    return made.as_tool()


def _keeper(framework: Framework) -> Any:
    """An agent that asks the language model of the process it runs in."""
    return agent(tools=["agent_counts"], framework=framework, name=f"keeper_{framework}").as_tool()


def _chief(framework: Framework) -> Any:
    made = agent(
        model=ScriptedLM(_chief_of(framework)),
        tools=[f"clerk_{framework}"],
        framework=framework,
        instructions="Ask the clerk.",
        name=f"chief_{framework}",
    )
    return made.as_tool()


def _errand(framework: Framework) -> Any:
    step = tool(f"clerk_{framework}", inputs={"prompt": "what"}, output="told")
    return pipeline(f"errand_{framework}", [step], inputs={"what": str}, outputs=["told"]).as_tool()


clerk_dspy, clerk_pydantic_ai = map(_clerk, FRAMEWORKS)
keeper_dspy, keeper_pydantic_ai = map(_keeper, FRAMEWORKS)
chief_dspy, chief_pydantic_ai = map(_chief, FRAMEWORKS)
errand_dspy, errand_pydantic_ai = map(_errand, FRAMEWORKS)
