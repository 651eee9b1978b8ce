"""Tools that write down what they do, and pipelines of them, for hosts and runtimes that go away in the middle.

A folder is the scene: ``witness`` has the lines of the tools; one that waits does so until there is a file ``go``.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import altar
from altar.ai.pipelines import pipeline, tool


def lines(folder: Path) -> list[str]:
    """What the tools have written down."""
    file = folder / "witness"
    return file.read_text().splitlines() if file.exists() else []


@altar.tool
def gone_pay(folder: str) -> dict[str, str]:
    """Pay.

    Args:
        folder: Where the witness is.
    """
    _write(folder, "paid")
    return {"receipt": "r1"}


@altar.tool
def gone_refund(folder: str, receipt: str) -> str:
    """Pay back.

    Args:
        folder: Where the witness is.
        receipt: What was paid.
    """
    _write(folder, f"refunded {receipt}")
    return "refunded"


@altar.tool(timeout=60)
def gone_wait(folder: str) -> str:
    """Wait until the scene goes on.

    Args:
        folder: Where the witness is.
    """
    _write(folder, f"waiting in {os.getpid()}")
    while not (Path(folder) / "go").exists():
        time.sleep(0.01)  # a test ends it
    _write(folder, "waited")
    return "waited"


@altar.tool
def gone_last(folder: str) -> str:
    """Do the last thing.

    Args:
        folder: Where the witness is.
    """
    _write(folder, "last")
    return "done"


GONE = pipeline(
    "gone_whole",
    [tool(gone_pay, compensate=tool(gone_refund)), tool(gone_wait), tool(gone_last)],
    inputs={"folder": str},
    timeout=60,
)
gone_whole = GONE.as_tool()


def _write(folder: str, line: str) -> None:
    with (Path(folder) / "witness").open("a") as witness:
        witness.write(f"{line}\n")
