"""Tools that are watched: one that works, one that fails with a secret, one that waits, one that looks at its trace."""

from __future__ import annotations

import time
from pathlib import Path

import altar


@altar.tool(read_only=True)
def plus(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


@altar.tool
def leak(secret: str) -> str:
    """Fail because of what it was given."""
    raise altar.ExecutionError("DEPENDENCY_UNAVAILABLE", f"{secret!r} is not a password", detail="wrong password")


@altar.tool
def give_back(secret: str) -> str:
    """Give back what it was given."""
    return secret


@altar.tool
def wait_for_word(directory: str, name: str) -> str:
    """Say that it runs, and wait for a word."""
    (Path(directory) / f"{name}.began").touch()
    while not (Path(directory) / "go").exists():
        time.sleep(0.005)
    return name


@altar.tool(read_only=True)
def around(context: altar.ToolContext) -> str:
    """Call another tool, and say which call that was."""
    return context.sync.call("plus", a=1).call_id


@altar.tool(read_only=True)
def span_here() -> str:
    """Say which span of OpenTelemetry is the current one, in a thread."""
    return _here()


@altar.tool(read_only=True)
async def span_here_async() -> str:
    """Say which span of OpenTelemetry is the current one, in a coroutine."""
    return _here()


def _here() -> str:
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}-{context.span_id:016x}"
