"""A language model that answers what a test tells it to, the same in every run.

One script serves every framework: :meth:`ScriptedLM.dspy` is an LM of DSPy,
and :meth:`ScriptedLM.serve` is an OpenAI-compatible address on loopback for Pydantic-AI, the Agents SDK and others.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from altar.adm.canonical import parse
from altar.adm.errors import AltarError, ConfigurationError
from altar.ai.lm.chat import ChatAnswer, ChatFailure, ChatRequest, ChatUsage, NotScripted, ToolUse

__all__ = ["Scripted", "ScriptedLM"]

Scripted = Any
"""An answer as a script holds it.

A mapping is the output fields of a signature, written in the form that the prompt asks for (or a JSON object).
A string is the text itself. A :class:`ToolUse`, or a list of them, is the wish to use a tool.
A :class:`ChatAnswer` is all of it. An exception is raised: :class:`ChatFailure` is what a provider's failure becomes.
A function takes the :class:`ChatRequest` and returns one of these.
"""


class ScriptedLM:
    """Answers from a script, and remembers what it was asked in ``requests``.

    ``answers`` is a list that is gone through in order (and from its start again with ``repeat``),
    or a mapping from words to answers: the first whose words stand in what the user said last is given, "" stands in
    everything, and a list goes through its answers and stays at the last;
    or one function of the request.
    Tokens are counted as words, and time does not pass. It may be asked by several threads at once.

        lm = ScriptedLM([{"answer": "Paris"}, ToolUse("search", {"query": "Paris"}), ChatFailure("rate_limit")])
        with dspy.context(lm=lm.dspy()):
            ...
    """

    def __init__(
        self,
        answers: Sequence[Scripted] | Mapping[str, Scripted] | Callable[[ChatRequest], Scripted],
        *,
        name: str = "scripted",
        repeat: bool = False,
    ) -> None:
        self.name = name
        self.requests: list[ChatRequest] = []
        self._answers: Any = answers if callable(answers) or isinstance(answers, Mapping) else list(answers)
        self._repeat = repeat
        self._asked: dict[str, int] = {}
        self._uses = 0
        self._lock = threading.Lock()

    @classmethod
    def from_file(cls, path: str | Path, *, repeat: bool = True) -> Self:
        """A script from a JSON file that holds a list, or an object from words to answers.

        ``{"tool": "search", "arguments": {…}}`` in it is the wish to use a tool, everything else as in Python.
        Raises ConfigurationError INVALID_CONFIG for a file that cannot be read or holds something else.
        """
        path = Path(path)
        try:
            held = parse(path.read_bytes())
        except (OSError, AltarError) as error:
            raise ConfigurationError("INVALID_CONFIG", f"The script {str(path)!r} cannot be read: {error}") from error
        if not isinstance(held, list | dict):
            raise ConfigurationError("INVALID_CONFIG", f"The script {str(path)!r} is neither a list nor an object")
        answers = (
            [_of_json(one) for one in held] if isinstance(held, list) else {k: _of_json(v) for k, v in held.items()}
        )
        return cls(answers, name=path.stem, repeat=repeat)

    def complete(self, request: ChatRequest) -> ChatAnswer:
        """Give the answer that is due; raises what the script says, ChatFailure when it is at its end."""
        with self._lock:
            self.requests.append(request)
            answer = self._due(request)
        while callable(answer) and not isinstance(answer, type):
            answer = answer(request)
        if isinstance(answer, BaseException) or (isinstance(answer, type) and issubclass(answer, BaseException)):
            raise answer
        return self._numbered(_answered(answer, request, name=self.name))

    @property
    def identity(self) -> Any:
        """What decides about its answers, so that nobody takes it for another script of its name."""
        return [self._answers, self._repeat]

    def dspy(self, **settings: Any) -> Any:
        """A ``dspy.LM`` that asks this script; ``settings`` are those of ``dspy.LM``, such as ``temperature``."""
        from altar.ai.lm.engine import dspy_lm

        return dspy_lm(self, **settings)

    def serve(self, *, port: int = 0, api_key: str = "") -> Any:
        """An OpenAI-compatible server on loopback, for ``with``; its ``base_url`` is what a client is given."""
        from altar.ai.lm.openai_front import ChatServer

        return ChatServer(self, port=port, api_key=api_key)

    def _numbered(self, answer: ChatAnswer) -> ChatAnswer:
        """The answer with an id for each use of a tool, which no other use has."""
        if all(use.id for use in answer.tool_uses):
            return answer
        with self._lock:
            first, self._uses = self._uses, self._uses + len(answer.tool_uses)
        uses = (
            use if use.id else replace(use, id=f"call_{first + at}") for at, use in enumerate(answer.tool_uses, start=1)
        )
        return replace(answer, tool_uses=tuple(uses))

    def _due(self, request: ChatRequest) -> Scripted:
        if isinstance(self._answers, Mapping):
            return self._for_words(request)
        if not isinstance(self._answers, list):
            return self._answers
        at = len(self.requests) - 1
        if self._repeat and self._answers:
            at %= len(self._answers)
        if at < len(self._answers):
            return self._answers[at]
        held = len(self._answers)
        raise NotScripted(f"The script has {held} answer{'' if held == 1 else 's'}, and this is request {at + 1}.")

    def _for_words(self, request: ChatRequest) -> Scripted:
        said = request.prompt
        for words, answer in self._answers.items():
            if words not in said:
                continue
            if not isinstance(answer, list) or not answer or isinstance(answer[0], ToolUse):
                return answer
            at = self._asked.get(words, 0)
            self._asked[words] = at + 1
            return answer[min(at, len(answer) - 1)]
        shown = said if len(said) <= 200 else said[-200:]
        raise NotScripted(f"The script has no answer to what ends with {shown!r}.")


def _answered(answer: Scripted, request: ChatRequest, *, name: str) -> ChatAnswer:
    if isinstance(answer, ChatAnswer):
        return answer
    uses = (answer,) if isinstance(answer, ToolUse) else ()
    if isinstance(answer, list | tuple) and answer and all(isinstance(one, ToolUse) for one in answer):
        uses = tuple(answer)
    text = "" if uses else answer if isinstance(answer, str) else _written(answer, request)
    words = sum(len(message.text.split()) for message in request.messages)
    said = len(text.split()) + sum(1 + len(use.arguments) for use in uses)
    return ChatAnswer(text, uses, finish="tool_calls" if uses else "stop", usage=ChatUsage(words, said), model=name)


def _written(fields: Scripted, request: ChatRequest) -> str:
    """The fields in the form that the prompt asks for: that of DSPy's JSON, chat or XML adapter, else JSON."""
    if not isinstance(fields, Mapping):
        return _json(fields)
    asked = request.system + "\n" + request.prompt
    if request.schema is not None or "Outputs will be a JSON object" in asked or "Respond with a JSON object" in asked:
        return _json(fields)
    if "[[ ## completed ## ]]" in asked:
        parts = [f"[[ ## {name} ## ]]\n{_plain(value)}" for name, value in fields.items()]
        return "\n\n".join([*parts, "[[ ## completed ## ]]\n"])
    if "wrapped in XML tags" in asked:
        return "\n\n".join(_xml(name, value) for name, value in fields.items())
    return _json(fields)


def _xml(tag: str, value: Any) -> str:
    if isinstance(value, Mapping):
        inner = "".join(_xml(str(name), one) for name, one in value.items())
    elif isinstance(value, list | tuple):
        inner = "".join(_xml("item", one) for one in value)
    else:
        inner = _plain(value).replace("&", "&amp;").replace("<", "&lt;")
    return f"<{tag}>{inner}</{tag}>"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_dumped)


def _dumped(value: Any) -> Any:
    """A value of pydantic, a date or the like as JSON."""
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value)


def _of_json(answer: Any) -> Scripted:
    if isinstance(answer, dict) and set(answer) == {"tool", "arguments"}:
        return ToolUse(answer["tool"], answer["arguments"])
    if isinstance(answer, dict) and set(answer) == {"failure"}:
        return ChatFailure(answer["failure"])
    return [_of_json(one) for one in answer] if isinstance(answer, list) else answer
