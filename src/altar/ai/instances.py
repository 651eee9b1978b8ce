"""The copies of a module that calls run: one for all, one for each session, one for each setting of its variables.

In: the id of a session and the values of its variables.
Out: a module that has these values, and, where sessions have their own, remembers what that session did.
Ids and copies stay in this process: no contract and no answer says them.
"""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from altar.adm.canonical import canonical
from altar.adm.canonical import digest as digest_of
from altar.adm.errors import ConfigurationError

if TYPE_CHECKING:
    from altar.ai.variables import Bound

__all__ = ["MOST_INSTANCES", "Instances", "copied"]

MOST_INSTANCES = 1_000
"""Copies of one module that are kept; the one that was used longest ago gives way."""


class Instances:
    """Makes and keeps copies of one module. Safe to use from several threads.

    ``per_session`` says that each session has its own.
    """

    def __init__(self, module: Any, *, per_session: bool = False, most: int = MOST_INSTANCES) -> None:
        self._module = module
        self._per_session = per_session
        self._most = most
        self._kept: OrderedDict[str, tuple[str, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many copies there are."""
        return len(self._kept)

    def get(self, session_id: str, values: Mapping[str, Any], bound: Mapping[str, Bound]) -> tuple[Any, str | None]:
        """The module to run, and the language model that the values ask for, None when they ask for none.

        When the variables of a session change, its next call has a new copy, which remembers what the last one did: a
        call that is under way keeps the values that it was recorded with.
        A call without a session has a copy that nobody else will see.
        Raises ConfigurationError INVALID_CONFIG for a module that sessions could not have to themselves.
        """
        model = next((values[name] for name in values if bound[name].to == "lm"), None)
        setting = digest_of(canonical(dict(values)))
        if not (self._per_session or values):
            return self._module, model
        if self._per_session and not session_id:
            return self._set(copied(self._module), values, bound), model
        key = session_id if self._per_session else setting
        with self._lock:
            known = self._kept.get(key)
            if known is not None and known[0] == setting:
                self._kept.move_to_end(key)
                return known[1], model
            if known is not None:
                module = known[1].deepcopy()  # of the same session, which may go on sharing what cannot be copied
            else:
                module = copied(self._module) if self._per_session else self._module.deepcopy()
                while len(self._kept) >= self._most:
                    self._kept.popitem(last=False)
            self._kept[key] = (setting, self._set(module, values, bound))
            self._kept.move_to_end(key)
        return module, model

    def forget(self, session_id: str) -> None:
        """Let the copy of a session go, if there is one."""
        with self._lock:
            self._kept.pop(session_id, None)

    def _set(self, module: Any, values: Mapping[str, Any], bound: Mapping[str, Bound]) -> Any:
        for name, each in bound.items():
            each.apply(module, values.get(name), original=self._module, is_set=name in values)
        return module


def copied(module: Any) -> Any:
    """A copy of a module that shares nothing with it but language models and tools, which remember nothing of a call.

    DSPy's own copy goes on sharing whatever cannot be copied; what one session leaves there the next would find.
    Raises ConfigurationError INVALID_CONFIG for a module that holds such a thing.
    """
    try:
        return copy.deepcopy(module, {id(each): each for each in _shared(module)})
    except Exception as uncopied:
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"Sessions cannot have {type(module).__name__!r} to themselves: something in it cannot be copied",
            ran="no",
            hint="keep locks, connections and files outside of the module, or leave out per_session",
            detail=f"{type(uncopied).__name__}: {uncopied}",
        ) from uncopied


def _shared(module: Any) -> Iterator[Any]:
    """The language models and the tools that a module and those in it hold."""
    import dspy

    for _, each in (("", module), *module.named_sub_modules(dspy.Module)):
        for held in vars(each).values():
            inside = held.values() if isinstance(held, dict) else held if isinstance(held, list | tuple) else (held,)
            yield from (one for one in inside if isinstance(one, dspy.BaseLM | dspy.Tool))
