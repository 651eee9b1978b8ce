# pip install 'altar-ai[grid]'
"""Run the same lines in this process and on a grid: only the address of the session differs."""

from __future__ import annotations

import os

import altar
from altar.testing import LocalGrid


@altar.tool(read_only=True)
def sort_words(words: list[str], longest_first: bool = False) -> list[str]:
    """Sort words by their alphabet, or by their length.

    Args:
        words: What is sorted.
        longest_first: Whether length comes before the alphabet.
    """
    return sorted(words, key=lambda word: (-len(word) if longest_first else 0, word))


@altar.tool(read_only=True)
def process() -> int:
    """Say in which process this runs."""
    return os.getpid()


def use(session: altar.SyncSession) -> list[object]:
    """Call rightly and wrongly, and keep what came back."""
    right = session.call("sort_words", words=["tea", "rice", "oats"], longest_first=True)
    wrong = session.call("sort_words", words="tea")
    return [right.content, wrong.text, session.call("process").content == os.getpid()]


if __name__ == "__main__":
    with altar.session(source="later:") as session:
        here = use(session)

    # A host and a runtime of this machine, in processes of their own; in earnest: altar.session(source="grid://…")
    with LocalGrid([__file__], runtimes=1) as grid:
        with grid.session() as session:
            there = use(session)
        recorded = [entry for entry in grid.entries() if entry["kind"] == "intent"]

    print(here[0])
    print(here[1])
    print("equal:", here[:2] == there[:2])
    print("in this process:", here[2], there[2])
    print(len(recorded), "calls were sent, and the host has written them down")

# Prints:
# ['oats', 'rice', 'tea']
# Argument `words` must be an array, not a string (INVALID_TOOL_ARGS)
# hint: sort_words(words: string[], longest_first: boolean = false)
# equal: True
# in this process: True False
# 2 calls were sent, and the host has written them down
