"""The log of a process that serves: whatever happens in it, each line is one JSON object that says who wrote it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

BEGIN = """
import logging, threading, warnings
from altar.cli.processes import log_to_stderr
log_to_stderr(facts={"role": "host", "name": "host-1"})
"""


def lines_of(program: str) -> list[dict[str, Any]]:
    """What a process writes to stderr that logs as a host does, line by line."""
    done = subprocess.run([sys.executable, "-c", BEGIN + program], capture_output=True, text=True, check=False)
    return [json.loads(line) for line in done.stderr.splitlines()]


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (
            "logging.getLogger('altar.grid').info('runtime attached', extra={'runtime': 'py-1'})",
            {"level": "info", "log": "runtime attached", "logger": "altar.grid", "runtime": "py-1"},
        ),
        (
            "logging.getLogger('somebody').warning('over %d', 9)",
            {"level": "warning", "log": "over 9", "logger": "somebody"},
        ),
        ("warnings.warn('old', UserWarning)", {"level": "warning", "logger": "py.warnings"}),
        ("raise KeyError('x')", {"level": "critical", "log": "process failed", "logger": "altar"}),
        (
            "t = threading.Thread(target=lambda: 1 / 0, name='t-1'); t.start(); t.join()",
            {"level": "error", "log": "thread failed", "of_thread": "t-1"},
        ),
    ],
)
def test_every_line_is_one_object_that_says_who_wrote_it(program: str, expected: dict[str, Any]) -> None:
    (line,) = lines_of(program)

    assert (expected | {"role": "host", "name": "host-1"}).items() <= line.items()
    assert {"time", "pid"} <= set(line)


def test_what_others_say_below_a_warning_is_not_written() -> None:
    assert [] == lines_of("logging.getLogger('somebody').info('chatty')")


def test_a_traceback_stands_in_the_line_it_belongs_to() -> None:
    (line,) = lines_of("raise KeyError('x')")

    assert "KeyError: 'x'" == line["exception"].splitlines()[-1]
