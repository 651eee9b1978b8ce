"""Real sentences of reviews, with the sentiment that people gave them, for programs that are optimized."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FILE = Path(os.environ.get("ALTAR_REVIEWS") or ROOT.parent / "shared" / "data" / "amazon_review_snippets.tsv")
"""Columns: id, mean of the ratings from -4 to 4, text. From the data of VADER (Hutto and Gilbert, 2014), MIT."""


def examples(*, train: int, held_out: int) -> tuple[list[Any], list[Any]]:
    """Examples of DSPy with `review` and `label`, always the same, as many of each label in the first part."""
    import dspy

    rows = [line.split("\t") for line in FILE.read_text(encoding="utf-8").splitlines()]
    rated = [(float(rating), text) for _, rating, text in rows if abs(float(rating)) > 0.5 and 20 <= len(text) <= 200]
    random.Random(0).shuffle(rated)
    made = [
        dspy.Example(review=text, label="positive" if rating > 0 else "negative").with_inputs("review")
        for rating, text in rated
    ]
    positive = [one for one in made if one.label == "positive"][: train // 2]
    negative = [one for one in made if one.label == "negative"][: train // 2]
    chosen = [one for pair in zip(positive, negative, strict=True) for one in pair]
    rest = [one for one in made if one not in chosen]
    return chosen, rest[:held_out]
