"""Doubles, a real grid and a pytest plugin for tests of applications that use ALTAR.

:class:`LocalGrid` is no double: a host and runtimes in processes of their own, over mutual TLS on loopback.
:class:`ScriptedLM` is a language model that answers from a script, :class:`RecordedLM` one that answers as a real one
did once.
:class:`RecordingGate` and :class:`FakeClock` stand in for a gate and for time, :func:`context` for a call.
:mod:`altar.testing.plugin` gives them to pytest as fixtures.
Importing this package loads none of them before it is asked for, because pytest imports it in every run.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from altar.ai.lm.chat import ChatAnswer, ChatFailure, ChatRequest, ToolUse
    from altar.ai.lm.recorded import RecordedLM
    from altar.ai.lm.scripted import ScriptedLM
    from altar.testing.contexts import RecordingContext, context
    from altar.testing.doubles import FakeClock, RecordingGate
    from altar.testing.local_grid import GridProcess, LocalGrid
    from altar.testing.rows import Row
    from altar.testing.waiting import PATIENCE, until

__all__ = [
    "PATIENCE",
    "ChatAnswer",
    "ChatFailure",
    "ChatRequest",
    "FakeClock",
    "GridProcess",
    "LocalGrid",
    "RecordedLM",
    "RecordingContext",
    "RecordingGate",
    "Row",
    "ScriptedLM",
    "ToolUse",
    "context",
    "until",
]

_HOME = {
    "altar.ai.lm.chat": ("ChatAnswer", "ChatFailure", "ChatRequest", "ToolUse"),
    "altar.ai.lm.recorded": ("RecordedLM",),
    "altar.ai.lm.scripted": ("ScriptedLM",),
    "altar.testing.contexts": ("RecordingContext", "context"),
    "altar.testing.doubles": ("FakeClock", "RecordingGate"),
    "altar.testing.local_grid": ("GridProcess", "LocalGrid"),
    "altar.testing.rows": ("Row",),
    "altar.testing.waiting": ("PATIENCE", "until"),
}

if not TYPE_CHECKING:  # a type checker reads the imports above, and knows a wrong name when it sees one

    def __getattr__(name: str) -> Any:
        for module, names in _HOME.items():
            if name in names:
                value = getattr(import_module(module), name)
                globals()[name] = value
                return value
        raise AttributeError(f"module 'altar.testing' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
