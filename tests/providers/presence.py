"""Says whether a real provider is installed; without it a test is skipped with the way to get it, and fails in CI."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

__all__ = ["need"]


def need(name: str, *files: str | Path, modules: tuple[str, ...] = ()) -> None:
    """Skip what asks unless all ``files`` and Python ``modules`` of the provider are there.

    In CI a skipped test fails the run, because this reason is not on the list of allowed ones.
    """
    absent = [str(file) for file in files if not Path(file).exists()]
    absent += [module for module in modules if find_spec(module) is None]
    if absent:
        pytest.skip(f"{name} is not installed ({', '.join(absent)}): make setup-providers")
