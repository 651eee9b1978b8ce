"""Language models, and the programs that call them, as tools with a contract. Importing this loads no framework."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from altar.ai.agents import Agent, Limits, Memory, agent
    from altar.ai.calls import call, chain_of_thought, predict, react
    from altar.ai.configuration import configure, configured
    from altar.ai.discovery import discover
    from altar.ai.lm.as_tool import lm_tool, session_lm
    from altar.ai.lm.configure import LMOptions, language_model
    from altar.ai.lm.correcting import correcting
    from altar.ai.lm.local import local_lm
    from altar.ai.modules import tool_from_module, tools_from_program
    from altar.ai.optimizing import Compilation, compilation, compiled, evaluated
    from altar.ai.pipelines import Pipeline, load_pipeline, pipeline
    from altar.ai.registering import register_modules
    from altar.ai.servable import sandboxed
    from altar.ai.state import load_state, save_state, state_digest
    from altar.ai.transformers import transforms
    from altar.ai.variables import Bound, bound

__all__ = [
    "Agent",
    "Bound",
    "Compilation",
    "LMOptions",
    "Limits",
    "Memory",
    "Pipeline",
    "agent",
    "bound",
    "call",
    "chain_of_thought",
    "compilation",
    "compiled",
    "configure",
    "configured",
    "correcting",
    "discover",
    "evaluated",
    "language_model",
    "lm_tool",
    "load_pipeline",
    "load_state",
    "local_lm",
    "pipeline",
    "predict",
    "react",
    "register_modules",
    "sandboxed",
    "save_state",
    "session_lm",
    "state_digest",
    "tool_from_module",
    "tools_from_program",
    "transforms",
]

_HOME = {
    "altar.ai.pipelines": ("Pipeline", "load_pipeline", "pipeline"),
    "altar.ai.configuration": ("configure", "configured"),
    "altar.ai.lm.as_tool": ("lm_tool", "session_lm"),
    "altar.ai.optimizing": ("Compilation", "compilation", "compiled", "evaluated"),
    "altar.ai.registering": ("register_modules",),
    "altar.ai.agents": ("Agent", "Limits", "Memory", "agent"),
    "altar.ai.calls": ("call", "chain_of_thought", "predict", "react"),
    "altar.ai.discovery": ("discover",),
    "altar.ai.servable": ("sandboxed",),
    "altar.ai.state": ("load_state", "save_state", "state_digest"),
    "altar.ai.transformers": ("transforms",),
    "altar.ai.variables": ("Bound", "bound"),
    "altar.ai.lm.configure": ("LMOptions", "language_model"),
    "altar.ai.lm.correcting": ("correcting",),
    "altar.ai.lm.local": ("local_lm",),
    "altar.ai.modules": ("tool_from_module", "tools_from_program"),
}

if not TYPE_CHECKING:  # a type checker reads the imports above, and knows a wrong name when it sees one

    def __getattr__(name: str) -> Any:
        for module, names in _HOME.items():
            if name in names:
                value = getattr(import_module(module), name)
                globals()[name] = value
                return value
        raise AttributeError(f"module 'altar.ai' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
