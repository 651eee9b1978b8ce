"""A language model as a tool of a runtime: it adds two numbers, and says so in the form that it is asked for."""

from __future__ import annotations

from typing import Any

from altar.ai import lm_tool
from altar.testing import ScriptedLM


def sums(request: Any) -> dict[str, str]:
    """The sum that a question asks for."""
    question = request.prompt.rpartition("[[ ## question ## ]]")[2].split()[0]
    return {"answer": str(sum(map(int, question.split("+"))))}


language_model = lm_tool(ScriptedLM(sums))
