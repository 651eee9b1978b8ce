"""Answers to wrong use, stored word for word beside the tests.

``pytest tests/messages --update`` writes them again; then read the difference before you keep it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

import pytest

STORED = Path(__file__).with_name("answers")

Told = Callable[[str, str], None]
"""Compare an answer with the stored one of that name."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="write the stored answers again")


@pytest.fixture
def told(request: pytest.FixtureRequest) -> Told:
    def compare(name: str, answer: str) -> None:
        file = STORED / f"{name}.txt"
        if request.config.getoption("--update", default=False):
            STORED.mkdir(exist_ok=True)
            file.write_text(answer)
        assert file.exists(), f"no answer is stored for {name!r}; run with --update and read it"
        stored = file.read_text()
        difference = difflib.unified_diff(stored.splitlines(), answer.splitlines(), "stored", "now", lineterm="")
        assert answer == stored, "\n" + "\n".join(difference)

    return compare
