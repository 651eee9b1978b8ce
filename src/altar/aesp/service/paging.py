"""Lists in pages: how many at once, and where the next page begins.

A cursor is the last name of the page before, so a list that changes meanwhile leaves nothing out that stayed.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

from altar.adm.errors import ValidationError

__all__ = ["MOST", "after", "limit_of", "next_cursor"]

T = TypeVar("T")

MOST = 1000
"""Items of one page at most."""
_USUAL = 100
_LONGEST = 512


def limit_of(asked: int) -> int:
    """The size of a page: 100 unless asked for; MALFORMED_REQUEST beyond 1000."""
    if asked > MOST:
        raise ValidationError("MALFORMED_REQUEST", f"A page has at most {MOST} items", ran="no", hint="use the cursor")
    return asked or _USUAL


def after(cursor: str) -> str:
    """The name that the page begins behind; MALFORMED_REQUEST for a cursor that no list gave."""
    try:
        if len(cursor) > _LONGEST:
            raise ValueError
        return base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise ValidationError(
            "MALFORMED_REQUEST", "The cursor is none of this list", ran="no", hint="begin again without a cursor"
        ) from None


def next_cursor(page: Sequence[T], limit: int, key: Callable[[T], str]) -> str:
    """Where the next page begins; empty when this one was the last."""
    return base64.urlsafe_b64encode(key(page[-1]).encode()).decode() if page and len(page) >= limit else ""
