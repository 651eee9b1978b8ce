"""Agents: a language model that calls the tools of a session until it has an answer, under DSPy or Pydantic-AI.

Importing this loads no framework; :func:`agent` says which one is used, the first run loads it.
"""

from __future__ import annotations

from altar.ai.agents.agent import Agent, agent
from altar.ai.agents.limits import Limits
from altar.ai.agents.memory import Memory
from altar.ai.agents.result import (
    AgentCall,
    AgentEvent,
    AgentResult,
    Finished,
    TextPiece,
    ToolAnswered,
    ToolCalled,
)

__all__ = [
    "Agent",
    "AgentCall",
    "AgentEvent",
    "AgentResult",
    "Finished",
    "Limits",
    "Memory",
    "TextPiece",
    "ToolAnswered",
    "ToolCalled",
    "agent",
]
