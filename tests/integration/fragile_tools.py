"""A tool that only a runtime which breaks the protocol fulfils."""

from __future__ import annotations

import altar


@altar.tool
def fragile() -> int:
    """Never run."""
    return 1
