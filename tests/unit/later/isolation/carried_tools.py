"""An isolated tool that says what its process was told, and may say otherwise there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altar
from altar.adm.errors import ConfigurationError

HELD: dict[str, Any] = {"word": "nothing"}


def take_word(said: Mapping[str, Any] | None) -> None:
    """What a child is told; one word is refused."""
    word = None if said is None else said["word"]
    if word == "refused":
        raise ConfigurationError("INVALID_CONFIG", "That word is refused", ran="no")
    HELD["word"] = word


@altar.tool(isolate="process")
def isolated_word(change: str = "") -> str:
    """Say the word, and leave another one behind."""
    word = str(HELD["word"])
    HELD["word"] = change or HELD["word"]
    return word
