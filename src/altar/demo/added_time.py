"""Measures what a session adds to one call: `python -m altar.demo.added_time --calls N`.

The plain function and the tool are called in turns, one call at a time, so that a busy machine slows down both.
Where the tool runs is said by `ALTAR_SOURCE` or `altar.toml`.
One JSON object goes to stdout: the number of calls and two medians, in microseconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import altar
from altar.demo.package_audit import classify_license

__all__ = ["main", "measure"]

WARM_UP = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit code is 0."""
    parser = argparse.ArgumentParser(prog="added_time")
    parser.add_argument("--calls", type=int, default=500)
    options = parser.parse_args(arguments)
    sys.stdout.write(json.dumps(measure(options.calls)) + "\n")
    return 0


def measure(calls: int) -> dict[str, float]:
    """Call the plain function and the tool `calls` times each, and give the medians.

    `plain_us` and `tool_us` are microseconds; `added_us` is their difference.
    """
    plain: list[int] = []
    through: list[int] = []
    with altar.session((classify_license.name,)) as session:
        for turn in range(-WARM_UP, calls):
            text = f"Apache-2.0 OR MIT, {turn}"
            one = _timed(lambda: classify_license.function(license=text))  # noqa: B023 - called at once
            two = _timed(lambda: session.call("classify_license", license=text).unwrap())  # noqa: B023 - the same
            if turn >= 0:
                plain.append(one)
                through.append(two)
    plain_us, tool_us = statistics.median(plain) / 1000, statistics.median(through) / 1000
    return {"calls": calls, "plain_us": plain_us, "tool_us": tool_us, "added_us": tool_us - plain_us}


def _timed(job: Callable[[], object]) -> int:
    began = time.perf_counter_ns()
    job()
    return time.perf_counter_ns() - began


if __name__ == "__main__":
    raise SystemExit(main())
