"""What an agent remembers: the conversations that it has had, in this process.

A conversation belongs to a session and has a name; "" is the one that a session has when nobody names any.
What is kept is bounded in turns and in bytes, for each conversation, and in the number of conversations.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from altar.adm.errors import ConfigurationError, ValidationError
from altar.ai.lm.chat import ChatMessage

__all__ = ["Conversation", "Conversations", "Memory"]


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


class Conversations:
    """The conversations of one agent, for any number of runs at once, one in each conversation."""

    def __init__(self, bounds: Memory) -> None:
        self._bounds = bounds
        self._kept: OrderedDict[_Key, _Turns] = OrderedDict()
        self._going_on: dict[_Key, Conversation] = {}
        self._lock = threading.Lock()

    @asynccontextmanager
    async def entered(
        self, session: str, name: str, *, is_left: Callable[[], bool] = lambda: False
    ) -> AsyncIterator[Conversation]:
        """One conversation, for a run that nobody else has there meanwhile; where nothing is kept, runs do not meet.

        ``is_left`` says whether nobody reads what the run tells any more: it is being cancelled then, and waited for.
        Raises ValidationError RESOURCE_CONFLICT while any other run is under way in it.
        """
        entered = Conversation(name, is_left)
        if not self._bounds.turns:
            yield entered
            return
        key = (session, name)
        while (other := self._enter(key, entered)) is not None:
            await asyncio.shield(asyncio.wrap_future(other.ended))
        try:
            yield entered
        finally:
            self._leave(key, entered)

    def forget(self, session: str, name: str | None) -> None:
        """Forget a conversation of a session, or all that it has had."""
        with self._lock:
            for key in [key for key in self._kept if key[0] == session and name in {None, key[1]}]:
                del self._kept[key]

    def _enter(self, key: _Key, entered: Conversation) -> Conversation | None:
        """Take the place in a conversation; gives who has it, where that one is about to leave."""
        with self._lock:
            other = self._going_on.setdefault(key, entered)
            if other is entered:
                entered.before = tuple(message for _, turn in self._kept.get(key, ()) for message in turn)
                return None
        if other.is_left():
            return other
        raise ValidationError(
            "RESOURCE_CONFLICT",
            f"The agent is asked already in the conversation {entered.name!r} of this session",
            ran="no",
            hint="wait for that answer, give each run a conversation of its own, or remember nothing: Memory(turns=0)",
        )

    def _leave(self, key: _Key, entered: Conversation) -> None:
        with self._lock:
            del self._going_on[key]
            if entered.added:
                self._add(key, entered.added)
        entered.ended.set_result(None)

    def _add(self, key: _Key, turn: tuple[ChatMessage, ...]) -> None:
        turns = self._kept.setdefault(key, deque())
        self._kept.move_to_end(key)
        turns.append((sum(map(_size, turn)), turn))
        while turns and (len(turns) > self._bounds.turns or sum(each for each, _ in turns) > self._bounds.size):
            turns.popleft()
        while len(self._kept) > self._bounds.conversations:
            self._kept.popitem(last=False)


@dataclass(slots=True, eq=False)
class Conversation:
    """What was said ``before`` a run, and what it has ``added`` when it had an answer; ``ended`` when it leaves."""

    name: str
    is_left: Callable[[], bool]
    before: tuple[ChatMessage, ...] = ()
    added: tuple[ChatMessage, ...] = ()
    ended: Future[None] = field(default_factory=Future)


_Key = tuple[str, str]
_Turns = deque[tuple[int, tuple[ChatMessage, ...]]]


def _size(message: ChatMessage) -> int:
    """Bytes of what was said and asked for."""
    asked = sum(len(use.name) + len(repr(use.arguments)) for use in message.tool_uses)
    return len(message.text.encode(errors="replace")) + asked
