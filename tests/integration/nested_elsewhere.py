"""A tool that only a hand-made runtime fulfils."""

from __future__ import annotations

import altar


@altar.tool
def elsewhere() -> str:
    """Run where nobody knows."""
    return "here"
