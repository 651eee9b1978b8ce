"""Tools that run in processes of their own and ask a language model there."""

from __future__ import annotations

import os
from typing import Any

import dspy

import altar
from altar import ai
from altar.ai.lm.configure import chosen, current, current_in, use


@altar.tool(isolate="process")
def isolated_answer(question: str, context: altar.ToolContext) -> str:
    """Answer a question, with the language model of the session."""
    lm = current_in(context)
    if lm is None:
        return "there is no language model"
    with dspy.context(lm=lm):
        return str(dspy.Predict("question -> answer")(question=question).answer)


@altar.tool(isolate="process")
def isolated_look() -> dict[str, Any]:
    """Say what is known here."""
    spec, options = chosen()
    here = ai.configured()
    return {
        "spec": spec,
        "base_url": options.base_url,
        "key": "" if options.key is None else repr(options.key),
        "pipeline_timeout": here.pipeline_timeout,
        "result_validation": here.result_validation,
        "is_elsewhere": os.getpid() != os.getppid(),
        "environment": [name for name, value in os.environ.items() if "sesame" in value],
    }


@altar.tool(isolate="process")
def isolated_says() -> None:
    """Say otherwise here, as a tool may that opens a session of its own."""
    ai.configure(pipeline_timeout=1)
    use("openai/of-a-tool")


@altar.tool(isolate="process")
def isolated_key() -> str:
    """Make the language model, and give the key that it shows."""
    return str(current().kwargs.get("api_key", ""))
