"""What a run of an agent gives: its answer, all that was said and called on the way, and what is told meanwhile.

Nothing here belongs to a framework: the same run gives the same values under each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from altar.adm.call import ErrorObject
from altar.ai.lm.chat import ChatMessage

__all__ = [
    "AgentCall",
    "AgentEvent",
    "AgentResult",
    "CallStatus",
    "Finished",
    "TextPiece",
    "ToolAnswered",
    "ToolCalled",
]

CallStatus = Literal["success", "failed", "refused", "pending"]
"""What became of a call: ``refused`` did not run, ``failed`` may have, ``pending`` waits for a person's approval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCall:
    """One call of a tool that the model wanted.

    ``call_id`` is the id of the call in the session and in the log of a host, "" for one that was refused before it got
    there: wrong arguments, or a tool that the agent does not have.
    ``code`` is that of its error; ``use_id`` is what the model calls it; ``handle`` is that of a request for approval.
    """

    name: str
    arguments: Mapping[str, Any]
    status: CallStatus
    call_id: str = ""
    code: str = ""
    use_id: str = ""
    handle: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentResult:
    """The end of a run.

    ``output`` is a text, or a value of the type that was asked for; None where ``error`` says why there is none.
    ``messages`` are those of this run, from the prompt to the answer; ``tool_calls`` those that the model wanted, in
    its order.
    ``usage`` counts what the agent and its tools took: ``lm_calls``, ``input_tokens``, ``output_tokens``,
    ``total_tokens``, ``cached_tokens``, and ``cost_usd`` where every price is known.
    ``framework`` is what it ran in, ``conversation`` the name of the conversation that it went on with.
    """

    output: Any
    messages: tuple[ChatMessage, ...]
    usage: Mapping[str, int | float]
    tool_calls: tuple[AgentCall, ...]
    framework: str
    conversation: str = ""
    error: ErrorObject | None = field(default=None)

    def unwrap(self) -> Any:
        """The output; raises the AltarError of a run that failed."""
        if self.error is not None:
            raise self.error.to_error()
        return self.output

    @property
    def text(self) -> str:
        """The last text of the model, or the error in words."""
        if self.error is not None:
            return self.error.text
        return next((each.text for each in reversed(self.messages) if each.role == "assistant"), "")


@dataclass(frozen=True, slots=True)
class TextPiece:
    """A piece of what the model writes, as it comes."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """The model wants a tool; the call is about to be made."""

    name: str
    arguments: Mapping[str, Any]
    use_id: str


@dataclass(frozen=True, slots=True)
class ToolAnswered:
    """A call has ended; ``text`` is what the model is told."""

    name: str
    use_id: str
    status: CallStatus
    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of a run."""

    result: AgentResult


AgentEvent = TextPiece | ToolCalled | ToolAnswered | Finished
"""What is told of a run, one after the other."""
