"""`altar conformance`: judges the cases that all ALTAR languages share.

One JSON case comes in on each line of stdin.
One line goes out for each: `{"id", "valid", "error_path", "error_category"}`.
Each line is flushed, so that a driver may wait for an answer before it sends the next case.
"""

from __future__ import annotations

import json
import sys

import click

from altar.cli import output

__all__ = ["conformance"]


@click.command()
@click.option("--json", is_flag=True, expose_value=False, help="Nothing changes: the answers are JSON.")
def conformance() -> None:
    """Read one JSON case a line on stdin; write one verdict a line on stdout.

    A line that is no case is answered too, as not valid.
    """
    from altar.adm.conformance import judge

    for line in sys.stdin.buffer:
        if not line.strip():
            continue
        verdict = judge(_case(line))
        answer = {
            "id": verdict.id,
            "valid": verdict.valid,
            "error_path": verdict.error_path,
            "error_category": verdict.error_category,
        }
        output.raw(json.dumps(answer).encode() + b"\n")


def _case(line: bytes) -> dict[str, object]:
    # A case may hold on purpose what the strict reader refuses, so the envelope is read by the plain one.
    try:
        case = json.loads(line)
    except ValueError:
        return {}
    return case if isinstance(case, dict) else {}
