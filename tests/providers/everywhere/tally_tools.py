"""A plain function as a tool; for a runtime that knows nothing of DSPy."""

from __future__ import annotations

import sys

import altar


@altar.tool(read_only=True)
def tally(labels: list[str]) -> dict[str, object]:
    """Count how often each label was given.

    Args:
        labels: What was said of each review.
    """
    return {"counts": {label: labels.count(label) for label in sorted(set(labels))}, "dspy": "dspy" in sys.modules}
