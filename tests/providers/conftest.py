"""Marks every test of this folder, so that `make test` may leave them out and `make providers` runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what stands in this folder with ``providers``."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("providers")
