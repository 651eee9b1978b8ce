"""A language model that answers as a real one did when the test was written.

A test is run once against the real model, which writes a file; from then on the file answers, without network or key.
The file is JSON, a line for each exchange, made to be read and reviewed: what was asked, and what was answered.
It holds neither keys nor addresses, but all that was said: look at it before others get it.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

from altar.adm.canonical import canonical, parse
from altar.adm.errors import ConfigurationError, ValidationError
from altar.ai.lm.chat import ChatAnswer, ChatFailure, ChatModel, ChatRequest, ChatUsage, NotRecorded, ToolUse

__all__ = ["FORMAT", "RecordedLM", "asked_by_us"]

FORMAT: Final = "altar-lm-recording/1"
"""What the first line of a recording says."""

Mode = Literal["replay", "record", "missing"]


class RecordedLM:
    """Answers from a recording, or from a real model that it records.

    ``mode`` says which: ``replay`` asks nobody, and what was not recorded is a failure;
    ``record`` begins the file anew and asks ``model`` everything;
    ``missing`` asks ``model`` only what is not in the file yet, and adds it.
    ``model`` is a ``dspy.LM``, or another model of ours; ``replay`` needs none.
    The same request, asked again, gets the next answer that was recorded for it, and the last one from then on.
    Without ``keeps_requests`` the file holds a digest of what was asked and not the words, which are somebody else's.
    A failure is recorded too. It may be asked by several threads at once; use it with ``with`` or call :meth:`close`.

    Raises ConfigurationError INVALID_CONFIG for a file that cannot be read or written, or is no recording.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        model: Any = None,
        mode: Mode = "replay",
        name: str = "",
        keeps_requests: bool = True,
    ) -> None:
        self.path = Path(path)
        self.name = name or self.path.stem
        self.mode: Mode = mode
        self._keeps_requests = keeps_requests
        self._model: ChatModel | None = None if model is None else asked_by_us(model)
        self._answers: dict[str, list[Any]] = {}
        self._next: dict[str, int] = {}
        self._lock = threading.Lock()
        if mode != "replay" and model is None:
            raise ConfigurationError("INVALID_CONFIG", f"To record in mode {mode!r} a model is needed", hint="model=…")
        if mode != "record" and (mode == "replay" or self.path.exists()):
            self._read()
        if mode == "record" or not self.path.exists():
            self._begin()

    @property
    def waits(self) -> bool:
        """Whether an answer may come from the model behind it, which takes its time."""
        return self._model is not None

    @property
    def identity(self) -> Any:
        """What decides about its answers; None where another model may be asked."""
        return None if self._model is not None else [self._answers]

    def complete(self, request: ChatRequest) -> ChatAnswer:
        """Answer from the recording, or from the model behind it; raises ChatFailure."""
        key = _key(request)
        with self._lock:
            held = self._held(key)
        if held is not None:
            return _read_answer(held)
        if self._model is None:
            raise NotRecorded(self.path.name, key, request.text[-120:])
        try:
            answer = self._model.complete(request)
        except ChatFailure as failure:
            self._add(key, request, {"failure": failure.kind, "message": failure.message, "after": failure.retry_after})
            raise
        self._add(key, request, _written_answer(answer))
        return answer

    def dspy(self, **settings: Any) -> Any:
        """A ``dspy.LM`` that asks this recording; ``settings`` are those of ``dspy.LM``."""
        from altar.ai.lm.engine import dspy_lm

        return dspy_lm(self, **settings)

    def serve(self, *, port: int = 0, api_key: str = "") -> Any:
        """An OpenAI-compatible server on loopback, for ``with``; its ``base_url`` is what a client is given."""
        from altar.ai.lm.openai_front import ChatServer

        return ChatServer(self, port=port, api_key=api_key)

    def close(self) -> None:
        """Do nothing: each exchange is written when it happens."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _held(self, key: str) -> Any:
        answers = self._answers.get(key)
        if not answers or (self.mode == "record"):
            return None
        at = self._next.get(key, 0)
        self._next[key] = at + 1
        return answers[min(at, len(answers) - 1)]

    def _read(self) -> None:
        try:
            lines = self.path.read_bytes().splitlines()
            if not lines or parse(lines[0]) != {"format": FORMAT}:
                raise self._unreadable("its first line does not say that it is one")
            for line in lines[1:]:
                entry: Any = parse(line)
                self._answers.setdefault(entry["key"], []).append(entry["answer"])
        except OSError as error:
            raise self._unreadable(error.strerror or "no such file") from error
        except (ValidationError, TypeError, KeyError) as error:
            raise self._unreadable("a line is damaged") from error

    def _begin(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_bytes(canonical({"format": FORMAT}) + b"\n")
        except OSError as error:
            raise ConfigurationError(
                "INVALID_CONFIG", f"The recording {str(self.path)!r} cannot be written: {error.strerror}"
            ) from error

    def _add(self, key: str, request: ChatRequest, answer: Mapping[str, Any]) -> None:
        asked = {"request": _plain(request)} if self._keeps_requests else {}
        entry = {"key": key, **asked, "answer": answer}
        line = json.dumps(entry, ensure_ascii=False, default=dict) + "\n"
        with self._lock, self.path.open("a", encoding="utf-8") as file:
            file.write(line)

    def _unreadable(self, why: str) -> ConfigurationError:
        return ConfigurationError(
            "INVALID_CONFIG",
            f"The recording {str(self.path)!r} cannot be read: {why}",
            hint="make it with mode='record' and a real model",
        )


class _Asked:
    """A ``dspy.LM`` as a model of ours: what it says and raises is told in our words."""

    def __init__(self, lm: Any) -> None:
        self.name = str(lm.model)
        self._lm = lm

    def complete(self, request: ChatRequest) -> ChatAnswer:
        from altar.ai.lm.engine import answer_of, lm15_request
        from altar.ai.lm.errors import failure_of

        try:
            return answer_of(self._lm(lm15_request(request, model=self.name)))
        except Exception as raised:
            failure = failure_of(raised)
            if failure is None:
                raise
            raise failure from raised


def asked_by_us(model: Any) -> ChatModel:
    """A ``dspy.LM`` as a model of ours; one of ours as it is."""
    asked: ChatModel = model if hasattr(model, "complete") else _Asked(model)
    return asked


def _key(request: ChatRequest) -> str:
    """A digest of all that decides about an answer; the name of the model is not among it."""
    return hashlib.sha256(canonical({**_plain(request), "model": ""})).hexdigest()[:32]


def _plain(request: ChatRequest) -> dict[str, Any]:
    """The request as JSON, without what it does not say; ids of uses are numbered, for they differ in each run."""
    numbers: dict[str, str] = {}

    def number(known: str) -> str:
        return numbers.setdefault(known, f"use-{len(numbers)}") if known else ""

    document: dict[str, Any] = json.loads(json.dumps(asdict(request), default=dict))
    for message in document["messages"]:
        for use in message["tool_uses"]:
            use["id"] = number(use["id"])
        message["answers"] = number(message["answers"])
        for name in [name for name, value in message.items() if value in ("", [], None)]:
            del message[name]
    return {name: value for name, value in document.items() if value not in ("", [], None)}


def _written_answer(answer: ChatAnswer) -> dict[str, Any]:
    return {name: value for name, value in asdict(answer).items() if value not in ("", (), [], None)}


def _read_answer(held: Any) -> ChatAnswer:
    if "failure" in held:
        raise ChatFailure(held["failure"], held.get("message") or "", retry_after=held.get("after"))
    return ChatAnswer(
        held.get("text", ""),
        tuple(ToolUse(use["name"], use["arguments"], use["id"]) for use in held.get("tool_uses", ())),
        held.get("thinking", ""),
        held.get("finish", "stop"),
        ChatUsage(**held.get("usage", {})),
        held.get("model", ""),
    )
