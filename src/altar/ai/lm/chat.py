"""One exchange with a language model, in words that belong to no framework.

A :class:`ChatRequest` comes in, a :class:`ChatAnswer` or a :class:`ChatFailure` goes out.
What can do that is a :class:`ChatModel`: a script, a recording, a model on this machine.
:mod:`altar.ai.lm.engine` gives such a model to DSPy, and :mod:`altar.ai.lm.openai_front` serves it to everybody else.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from altar.adm.canonical import JsonValue

__all__ = [
    "HOW_TO_RECORD",
    "ChatAnswer",
    "ChatFailure",
    "ChatMessage",
    "ChatModel",
    "ChatRequest",
    "ChatUsage",
    "FailureKind",
    "Finish",
    "NotRecorded",
    "NotScripted",
    "Role",
    "ToolOffer",
    "ToolUse",
    "pieces",
    "streamed",
]

Role = Literal["system", "user", "assistant", "tool"]
Finish = Literal["stop", "length", "tool_calls", "content_filter"]
FailureKind = Literal[
    "rate_limit", "timeout", "auth", "billing", "invalid_request", "context_length", "unknown_model", "server"
]


@dataclass(frozen=True, slots=True)
class ToolOffer:
    """A tool that the model may use: its name, what it does, and the JSON Schema of its arguments."""

    name: str
    description: str = ""
    parameters: Mapping[str, JsonValue] = field(default_factory=lambda: {"type": "object", "properties": {}})


@dataclass(frozen=True, slots=True)
class ToolUse:
    """The wish of a model to use a tool, with its arguments; an empty ``id`` is filled in when it is sent."""

    name: str
    arguments: Mapping[str, JsonValue] = field(default_factory=dict)
    id: str = ""


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a conversation.

    ``tool_uses`` are what an assistant asked for; ``answers`` is the id of the use that a message of a tool answers.
    ``attachments`` are parts that are no text, as JSON: a local model refuses them, a recording tells them apart.
    """

    role: Role
    text: str = ""
    tool_uses: tuple[ToolUse, ...] = ()
    answers: str = ""
    attachments: tuple[JsonValue, ...] = ()


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What a model is asked.

    ``tool_choice`` is ``auto``, ``none``, ``required``, or the name of the one tool that must be used.
    ``schema`` is the JSON Schema that the answer must fit, or True for any JSON object.
    ``temperature``, ``top_p``, ``max_tokens``, ``seed`` and ``stop`` mean what they mean to every provider.
    """

    messages: tuple[ChatMessage, ...]
    model: str = ""
    tools: tuple[ToolOffer, ...] = ()
    tool_choice: str = "auto"
    schema: Mapping[str, JsonValue] | Literal[True] | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()

    @property
    def system(self) -> str:
        """The text of all system messages."""
        return "\n".join(message.text for message in self.messages if message.role == "system")

    @property
    def text(self) -> str:
        """The text of the last message."""
        return self.messages[-1].text if self.messages else ""

    @property
    def prompt(self) -> str:
        """The text of the last message of a user."""
        return next((message.text for message in reversed(self.messages) if message.role == "user"), "")


@dataclass(frozen=True, slots=True)
class ChatUsage:
    """Tokens that went in and came out; ``cached_tokens`` is how many of those in did not have to be read again."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """What a model answers: text, the tools it wants to use, or both."""

    text: str = ""
    tool_uses: tuple[ToolUse, ...] = ()
    thinking: str = ""
    finish: Finish = "stop"
    usage: ChatUsage = ChatUsage()
    model: str = ""


class ChatFailure(Exception):  # noqa: N818 (what happened to an exchange; it is raised, and stands in scripts as a value)
    """An exchange that failed, for one of the reasons for which providers refuse or fail.

    ``retry_after`` is in seconds, and None when the provider says nothing about it.
    """

    def __init__(self, kind: FailureKind, message: str = "", *, retry_after: float | None = None) -> None:
        """Say what failed; the message is one that a caller may read."""
        super().__init__(message or _MESSAGES[kind])
        self.kind: FailureKind = kind
        self.message = message or _MESSAGES[kind]
        self.retry_after = retry_after

    def __repr__(self) -> str:
        """Show kind and message."""
        return f"ChatFailure({self.kind!r}, {self.message!r})"


class NotRecorded(ChatFailure):
    """A request that a recording does not hold; ``recording`` is its name, ``key`` the digest of what was asked."""

    def __init__(self, recording: str, key: str, end: str) -> None:
        """Say how it is recorded; ``end`` is what the request ends with, for who looks at it here."""
        super().__init__(
            "invalid_request",
            f"The recording {recording!r} does not hold this request, which ends with {end!r}:"
            f" it has changed since, or was never made. {HOW_TO_RECORD[0].upper()}{HOW_TO_RECORD[1:]}.",
        )
        self.recording, self.key = recording, key


class NotScripted(ChatFailure):
    """A request to which a script has no answer, or none any more."""

    def __init__(self, message: str) -> None:
        """Say which request it is; the message is one that a caller may read."""
        super().__init__("invalid_request", message)


HOW_TO_RECORD: Final = "record it once: run this with RecordedLM(path, model=…, mode='missing') and a real model"
"""What is to be done about a request that is not recorded."""


class ChatModel(Protocol):
    """What answers requests; it may be asked by several threads at once."""

    @property
    def name(self) -> str:
        """The name that the model answers to."""
        ...

    def complete(self, request: ChatRequest) -> ChatAnswer:
        """Answer; raises ChatFailure."""
        ...


def streamed(model: ChatModel, request: ChatRequest) -> Generator[str | ChatAnswer, None, None]:
    """The pieces of the text, and the whole answer as the last item; raises ChatFailure.

    A model with a method ``stream`` gives them as they come, the answer of another is cut into words.
    """
    stream = getattr(model, "stream", None)
    if stream is not None:
        yield from stream(request)
        return
    answer = model.complete(request)
    yield from pieces(answer.text)
    yield answer


def pieces(text: str) -> Iterator[str]:
    """The text in the pieces in which it is streamed: a word each, with the space before it."""
    start = 0
    for at in range(1, len(text)):
        if text[at].isspace() and not text[at - 1].isspace():
            yield text[start:at]
            start = at
    if text:
        yield text[start:]


_MESSAGES: dict[FailureKind, str] = {
    "rate_limit": "The language model is asked too often.",
    "timeout": "The language model did not answer in time.",
    "auth": "The language model refused the key.",
    "billing": "The account at the language model has no credit.",
    "invalid_request": "The language model refused the request.",
    "context_length": "The request is longer than the language model can read.",
    "unknown_model": "There is no language model of that name.",
    "server": "The language model failed.",
}
