"""What an agent remembers: the conversations that it has had, in this process.

A conversation belongs to a session and has a name; "" is the one that a session has when nobody names any.
What is kept is bounded in turns and in bytes, for each conversation, and in the number of conversations.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass

from altar.adm.errors import ConfigurationError
from altar.ai.lm.chat import ChatMessage

__all__ = ["Conversations", "Memory"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """How much an agent remembers.

    ``turns`` of a conversation and ``size`` in bytes of their texts are kept: the oldest turns are forgotten whole, and
    a single turn that is larger is not kept. ``turns=0`` remembers nothing.
    ``conversations`` is how many are kept in all; the one that was used longest ago is forgotten.
    Raises ConfigurationError INVALID_CONFIG for a bound that is none.
    """

    turns: int = 20
    size: int = 256 * 1024
    conversations: int = 1000

    def __post_init__(self) -> None:
        """Refuse what bounds nothing."""
        for name, least in {"turns": 0, "size": 0, "conversations": 1}.items():
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise ConfigurationError(
                    "INVALID_CONFIG",
                    f"The bound {name!r} of an agent's memory is {value!r}",
                    ran="no",
                    hint=f"it is a whole number from {least}",
                )


Turns = deque[tuple[int, tuple[ChatMessage, ...]]]


class Conversations:
    """The conversations of one agent, for any number of runs at once."""

    def __init__(self, bounds: Memory) -> None:
        self._bounds = bounds
        self._kept: OrderedDict[tuple[str, str], Turns] = OrderedDict()
        self._lock = threading.Lock()

    def messages(self, session: str, name: str) -> tuple[ChatMessage, ...]:
        """All that is remembered of a conversation, from the oldest on."""
        with self._lock:
            turns = self._kept.get((session, name), ())
            return tuple(message for _, turn in turns for message in turn)

    def add(self, session: str, name: str, turn: tuple[ChatMessage, ...]) -> None:
        """Remember a turn: all that was said from a prompt to its answer."""
        with self._lock:
            turns = self._kept.setdefault((session, name), deque())
            self._kept.move_to_end((session, name))
            turns.append((sum(map(_size, turn)), turn))
            while turns and (len(turns) > self._bounds.turns or sum(each for each, _ in turns) > self._bounds.size):
                turns.popleft()
            while len(self._kept) > self._bounds.conversations:
                self._kept.popitem(last=False)

    def forget(self, session: str, name: str | None) -> None:
        """Forget a conversation of a session, or all that it has had."""
        with self._lock:
            for key in [key for key in self._kept if key[0] == session and name in {None, key[1]}]:
                del self._kept[key]


def _size(message: ChatMessage) -> int:
    """Bytes of what was said and asked for."""
    asked = sum(len(use.name) + len(repr(use.arguments)) for use in message.tool_uses)
    return len(message.text.encode(errors="replace")) + asked
