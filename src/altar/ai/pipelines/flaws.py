"""Everything that is wrong with a pipeline, found in one look: a :class:`Flaw` for each, and the error that tells all.

In: flaws, in the order of the steps. Out: one DeclarationError, whose message is that of the first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from altar.adm.defect import Defect, shortened
from altar.adm.errors import DeclarationError

__all__ = ["MOST_FLAWS", "Flaw", "all_of", "flaws_of"]

MOST_FLAWS: Final = 50
"""So many flaws are told; a look that finds so many ends there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw(Defect):
    """One thing that is wrong with a pipeline; its ``path`` is a JSON Pointer into :meth:`Pipeline.to_json`.

    ``step`` is the path of the step, "" for the pipeline itself, and ``field`` the field, parameter, pipeline or tool
    that is meant; ``nearest`` is what is like it and there, and ``hint`` says how it is mended.
    ``line`` and ``column`` are counted from 1, and 0 for what was not read from a text.
    """

    step: str = ""
    field: str = ""
    nearest: str = ""
    hint: str = ""
    line: int = 0
    column: int = 0

    @property
    def words(self) -> str:
        """The message without what stands in other members: the place in a text, the step and the pipeline."""
        return _BEFORE.sub("", self.message)

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON, without what is empty."""
        more = {name: getattr(self, name) for name in ("step", "field", "nearest", "hint", "line", "column")}
        return {**Defect.to_json(self), **{name: held for name, held in more.items() if held}}


def all_of(flaws: Sequence[Flaw]) -> DeclarationError:
    """INVALID_PIPELINE with all flaws, of which there is at least one: message and hint are those of the first.

    A traceback shows the others below.
    """
    first, *others = flaws
    words = shortened(first.message)
    if others:
        words += f" (and {'at least ' if len(flaws) >= MOST_FLAWS else ''}{len(others)} more)"
    error = DeclarationError("INVALID_PIPELINE", words, hint=first.hint or None, path=first.path, defects=flaws)
    for one in others:
        error.add_note(f"also: {shortened(one.message)}" + (f"; {one.hint}" if one.hint else ""))
    return error


def flaws_of(error: DeclarationError) -> tuple[Flaw, ...]:
    """The flaws that an error tells; one is made of an error that speaks of no step."""
    found = tuple(one for one in error.defects if isinstance(one, Flaw))
    return found or (Flaw(path=error.path, category="FORBIDDEN", message=error.message, hint=error.hint or ""),)


_BEFORE: Final = re.compile(r"^(?:[^:]*line \d+, column \d+: )?(?:Step '[^']*' of '[^']*' )?")
