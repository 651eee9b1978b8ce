"""Importing an adapter loads nothing of its framework."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("adapter", "packages"),
    [
        ("langchain", ("langchain_core", "pydantic")),
        ("openai_agents", ("agents", "openai", "pydantic")),
        ("openapi", ("httpx", "pydantic")),
    ],
)
def test_an_adapter_is_imported_without_its_framework(adapter: str, packages: tuple[str, ...]) -> None:
    program = f"import sys, altar.adapters.{adapter}; print([name for name in {packages!r} if name in sys.modules])"

    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "[]" == run.stdout.strip()
