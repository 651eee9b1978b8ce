"""Where a step stands in one run, and what holds there: :class:`Place`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from altar.ai.pipelines.flow import below, compensation_of, fallback_of
from altar.ai.pipelines.steps import Retry, Step

if TYPE_CHECKING:
    from altar.adm.declaration import FunctionDeclaration

__all__ = ["ONCE", "Begins", "Place", "is_inside", "is_undoing"]

Begins = Sequence[tuple[str, "FunctionDeclaration"]]
"""Steps that are about to be called: their paths and contracts."""

ONCE = Retry(attempts=1)


@dataclass(slots=True)
class Place:
    """The place of a step, which is never changed.

    ``path`` is where it stands in this run, such as ``pages[3]``, ``static`` where in the pipeline, ``pages[]``.
    ``deadline`` is until when it may take, by the monotonic clock; ``retry`` is for steps that say nothing themselves.
    ``role`` is the step that it stands in for. ``whole`` asks for the whole result in place of fields.
    ``then`` is what is called right after it.
    """

    path: str
    static: str
    deadline: float
    retry: Retry = ONCE
    role: Step | None = None
    whole: bool = False
    then: Begins = ()

    def below(self, name: str, then: Begins = ()) -> Place:
        """The place of a step inside of this one."""
        return Place(below(self.path, name), below(self.static, name), self.deadline, self.retry, then=then)

    def item(self, number: int) -> Place:
        """The place of the step for one value of a map."""
        return Place(f"{self.path}[{number}]", f"{self.static}[]", self.deadline, self.retry, whole=True)

    def fallback(self, role: Step) -> Place:
        """The place of what stands in for ``role``, which stands here."""
        path, static = fallback_of(self.path), fallback_of(self.static)
        return Place(path, static, self.deadline, self.retry, self.role or role, self.whole)

    def compensation(self, deadline: float) -> Place:
        """The place of what undoes the step that stands here; it has a time of its own."""
        return Place(compensation_of(self.path), compensation_of(self.static), deadline, whole=True)

    def narrowed(self, step: Step) -> Place:
        """The same place, with what ``step`` says itself of its time and of trying again."""
        if step.timeout is None and step.retry.attempts == 1:
            return self
        deadline = self.deadline if step.timeout is None else min(self.deadline, time.monotonic() + step.timeout)
        retry = step.retry if step.retry.attempts > 1 else self.retry
        return Place(self.path, self.static, deadline, retry, self.role, self.whole, self.then)


def is_inside(path: str, whole: str) -> bool:
    """Whether a path is that of a step, or of one inside of it; all are inside of "", the pipeline."""
    return not whole or path == whole or path.startswith((f"{whole}/", f"{whole}["))


def is_undoing(path: str) -> bool:
    """Whether a path is that of what undoes a step, or of a step inside of that."""
    return compensation_of("") in path
