"""Waiting for something that happens in another thread or process, without a fixed sleep."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["PATIENCE", "until"]

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds that anything here is waited for before it counts as failed."""


def until(condition: Callable[[], T], *, what: str, patience: float = PATIENCE) -> T:
    """Wait until ``condition()`` is true, and give what it returned.

    Raises TimeoutError, saying ``what`` did not happen, after ``patience`` seconds.
    """
    deadline = time.monotonic() + patience
    pause = threading.Event()
    while not (value := condition()):
        if time.monotonic() >= deadline:
            raise TimeoutError(f"{what} did not happen within {patience:g} s")
        pause.wait(0.01)
    return value
