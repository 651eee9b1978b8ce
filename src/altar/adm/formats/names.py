"""Names that fit: what a foreign tool or a parameter is called where its own name is not allowed.

In: a name as somebody else writes it, such as `files.read`.
Out: a name that is allowed, such as `files_read_3c9f11d2`, always the same for the same name.
The end is part of a SHA-256 digest of the whole name, so that two names that look alike stay apart.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from altar.adm.reader import NAME

MAX_LENGTH: Final = 64


def fitting(name: str, *, rule: re.Pattern[str] = NAME) -> str:
    """Return `name` if the whole of it matches `rule`, or else a name that does.

    The default rule is ADM's; every rule must allow letters, digits and underscores, 64 of them, and a letter
    or underscore to begin with.
    """
    if rule.fullmatch(name):
        return name
    ending = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    readable = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[: MAX_LENGTH - len(ending) - 2]
    start = "" if readable[:1].isalpha() else "_"
    return f"{start}{readable}_{ending}"
