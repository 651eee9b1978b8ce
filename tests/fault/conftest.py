"""The scenes of faults in two halves, for runs that have not the time for both.

``ALTAR_FAULT_HALF=0`` takes every other file of them and ``1`` the rest; a file stays whole, because its tests share a
grid.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the other half."""
    half = os.environ.get("ALTAR_FAULT_HALF")
    if half is None:
        return
    theirs = set(sorted(HERE.glob("test_*.py"))[1 - int(half) :: 2])
    config.hook.pytest_deselected(items=[item for item in items if item.path in theirs])
    items[:] = [item for item in items if item.path not in theirs]
