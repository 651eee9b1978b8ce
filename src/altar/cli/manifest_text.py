"""A manifest as the text of a file, the same for the same declarations."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from altar.adm.declaration import ToolManifest

__all__ = ["manifest_bytes"]


def manifest_bytes(built: ToolManifest) -> bytes:
    """The manifest as a file: JSON with sorted members, numbers as in canonical JSON, two spaces a level."""
    from altar.adm.canonical import canonical, parse

    return (json.dumps(parse(canonical(built.to_adm())), indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
