"""Which process is the newest of a runtime id, so that one it has replaced cannot come back and replace it in turn."""

from __future__ import annotations

from collections import OrderedDict, deque

__all__ = ["Newest"]

_IDS = 4096
_REMEMBERED = 16
"""Processes of one id, and ids, that are remembered; who is forgotten counts as new."""


class Newest:
    """The processes that have attached under each runtime id, in the order in which they first did."""

    def __init__(self) -> None:
        self._ids: OrderedDict[str, deque[str]] = OrderedDict()

    def admits(self, runtime_id: str, instance: str) -> bool:
        """Note that a process attaches; false when a newer one of its id has done so since it first did.

        A process that gives no ``instance`` is taken for a new one each time.
        """
        known = self._ids.setdefault(runtime_id, deque(maxlen=_REMEMBERED))
        self._ids.move_to_end(runtime_id)
        if len(self._ids) > _IDS:
            self._ids.popitem(last=False)
        if instance and instance in known:
            return instance == known[-1]
        known.append(instance)
        return True
