"""What one check of `altar doctor` found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: its name, its state, one sentence, and what to do about it."""

    check: str
    state: Literal["ok", "warn", "fail"]
    message: str
    hint: str | None = None
