"""A tool that takes much and says little."""

from __future__ import annotations

import altar


@altar.tool
def pressure_length(text: str) -> int:
    """Say how long a text is."""
    return len(text)
