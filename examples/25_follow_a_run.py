# pip install altar-ai
"""Follow a pipeline while it runs: an event for each step that begins and ends, and the result as the last one."""

from __future__ import annotations

import time

import altar
from altar.ai.pipelines import map, pipeline, tool


@altar.tool(read_only=True)
def divisors(number: int) -> list[int]:
    """The numbers that divide a number without rest.

    Args:
        number: What is divided.
    """
    return [small for small in range(1, number + 1) if number % small == 0]


@altar.tool(read_only=True)
def most(lists: list[list[int]]) -> int:
    """The length of the longest list.

    Args:
        lists: What is measured.
    """
    return max(len(one) for one in lists)


@altar.tool(read_only=True)
def ponder(seconds: float) -> str:
    """Think for a while.

    Args:
        seconds: How long.
    """
    time.sleep(seconds)
    return "42"


counted = pipeline(
    "counted",
    [
        map(tool("divisors"), over="numbers", item="number", output="lists", concurrency=1),
        tool("most", output="most"),
    ],
    inputs={"numbers": list[int]},
    outputs=["most"],
)

with altar.session(source="later:") as session:
    for event in counted.stream(session, numbers=[6, 12, 7]):
        print(f"{event.done} of {event.total}: {event.kind} {event.path}")
    print(event.result.outputs if event.result else None)

    # One deadline for all of it, in seconds; what ran until then is told.
    late = pipeline("late", [tool("divisors"), tool("ponder")], inputs={"number": int, "seconds": float}, timeout=0.5)
    result = late.run(session, number=6, seconds=30.0)
    print(result.text)
    print([(step.path, step.status) for step in result.steps])

# Prints:
# 0 of 2: run_started
# 0 of 2: step_started lists[0]
# 0 of 2: step_ended lists[0]
# 0 of 2: step_started lists[1]
# 0 of 2: step_ended lists[1]
# 0 of 2: step_started lists[2]
# 0 of 2: step_ended lists[2]
# 1 of 2: step_started most
# 1 of 2: step_ended most
# 2 of 2: run_ended
# {'most': 6}
# 'late' may take 0.5 s, and its time was up while step 'ponder' ran (TIMEOUT)
# hint: give it more time: pipeline(…, timeout=…), or timeout=… of the run
# [('divisors', 'done'), ('ponder', 'failed')]
