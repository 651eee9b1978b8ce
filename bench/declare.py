"""What it costs to begin: `import altar`, the first declaration, a thousand of them, a list of ten thousand tools."""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import altar
from altar.later.introspection.introspect import declare
from altar.later.registry import REGISTRY
from altar.later.tool import ToolFunction
from bench.functions import functions

__all__ = ["measure"]

MANY = 1000
LISTED = 10_000

IMPORT = "import time; t = time.process_time(); import altar; print(time.process_time() - t)"
FIRST = """
import time
began = time.process_time()
import altar

@altar.tool
def greet(name: str, times: int = 1) -> str:
    \"\"\"Say hello.\"\"\"
    return name * times

print(time.process_time() - began)
"""


def measure(rounds: int) -> Iterator[tuple[str, str, str, list[float]]]:
    """Yield name, unit, kind and the figures of each round."""
    yield "import altar", "ms CPU", "latency", [_fresh(IMPORT) for _ in range(rounds)]
    yield "first declaration, import included", "ms CPU", "latency", [_fresh(FIRST) for _ in range(rounds)]
    yield f"{MANY} declarations", "s CPU", "latency", [_declarations() for _ in range(rounds)]
    yield f"list {LISTED} tools of a session", "ms CPU", "latency", list(_listings(rounds))


def _fresh(code: str) -> float:
    """Milliseconds that a fresh interpreter prints; the median of three."""
    printed = [
        float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
        for _ in range(3)
    ]
    return statistics.median(printed) * 1000


def _declarations() -> float:
    made = functions(MANY)
    gc.collect()
    began = time.process_time()
    for function in made:
        altar.tool(function, register=False)
    return time.process_time() - began


def _listings(rounds: int) -> Iterator[float]:
    """Milliseconds for the names and the contracts of a session's tools, as somebody who lists them asks."""
    (function,) = functions(1)
    declaration, binder = declare(function)
    for number in range(LISTED):
        named = replace(declaration, name=f"listed_{number}")
        REGISTRY.register(ToolFunction(function, declaration=named, binder=binder))
    with altar.session(source="later:") as session:
        for _ in range(rounds):
            began = time.process_time()
            listed = [(name, session.declaration(name)) for name in session.tools]
            took = time.process_time() - began
            assert len(listed) >= LISTED
            assert None not in dict(listed).values()
            yield took * 1000
