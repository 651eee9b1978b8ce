# pip install 'altar-ai[grid]'
"""Kill one of two runtimes in the middle of its work: what may be repeated is done by the other, and nobody notices."""

from __future__ import annotations

import os
import time

import altar
from altar.later.context import Progress
from altar.testing import LocalGrid


@altar.tool(read_only=True)
def process_after(seconds: float, context: altar.ToolContext) -> int:
    """Work for a while, and say in which process.

    Args:
        seconds: How long.
    """
    context.progress(0, 1, "begun")
    time.sleep(seconds)
    return os.getpid()


if __name__ == "__main__":
    with LocalGrid([__file__], runtimes=2) as grid, grid.session() as session:
        calls = [("process_after", {"seconds": 0.5})] * 4
        both = {result.unwrap() for result in session.batch(calls, concurrency=4)}
        print(len(both), "processes have worked")

        begun: list[str] = []

        def kill_one(told: Progress) -> None:
            begun.append(told.message or "")
            if len(begun) == len(calls):  # all four are under way
                grid.kill_runtime(min(grid.runtimes))  # SIGKILL: its machine loses power

        results = session.options(on_progress=kill_one).batch(calls, concurrency=4)
        print(*(result.status for result in results))
        print("some calls began twice:", len(begun) > len(calls))

# Prints:
# 2 processes have worked
# SUCCESS SUCCESS SUCCESS SUCCESS
# some calls began twice: True
