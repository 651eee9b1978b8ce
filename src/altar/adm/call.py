"""`FunctionCall` and `ToolResult`: one request to a function, and its answer.

In: ADM documents, or the parts themselves.
Out: immutable values and their ADM documents.
The ids of an envelope (invocation, correlation, session) are no part of a call; they travel beside it.
A failed call is a value too: `status` is ERROR and `error` says why.
`unwrap` raises for those who prefer that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Self, cast

from altar.adm.blobs import LargeBytes, bytes_in
from altar.adm.canonical import JsonValue, canonical
from altar.adm.codes import ALIASES, CODES, Ran
from altar.adm.defect import Defect, defects_from_json, told
from altar.adm.errors import AltarError, error_of
from altar.adm.reader import Members, Mode, Structure, Version


class ResultStatus(StrEnum):
    """Whether a call gave a value or an error.

    UNKNOWN is never written: it stands for a status of a newer peer, which a lenient reader keeps, and is no success.
    """

    SUCCESS = "SUCCESS"
    ERROR = "ERROR"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class FunctionCall(Structure):
    """A request to call one function.

    `call_id` is made by the caller: 1 to 128 printable ASCII characters, unique for each call.
    `args` maps the names of parameters to JSON values.
    """

    call_id: str
    name: str
    args: Mapping[str, JsonValue]
    extensions: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(
        cls, document: object, *, version: Version = "1.1", mode: Mode = "strict"
    ) -> tuple[Self | None, list[Defect]]:
        """Return the call of a document, or None and everything that is wrong with it."""
        members = Members(document, what="A function call", mode=mode)
        call_id, name = members.call_id(), members.name()
        args = members.get("args", dict, required=True)
        extensions = members.extensions()
        if members.found or call_id is None or name is None or args is None:
            return None, members.found
        return cls(call_id, name, args, extensions), []

    def to_adm(self) -> dict[str, Any]:
        """Return the ADM document."""
        return {"call_id": self.call_id, "name": self.name, "args": self.args} | dict(self.extensions)


@dataclass(frozen=True, slots=True)
class ErrorObject(Structure):
    """Why a call failed, fit for the caller or a model.

    `type` is a code of spec/errors.toml or, from a foreign tool, any other name.
    `details` of a failed check hold `defects`, each with `path` (a JSON Pointer; absent for the whole), `kind`
    and `message`, at most 20 of them, and how many `more` there are; `handle` names what the call waits for.
    `field_path` is the path of the first; `retry_after_ms` is in milliseconds; `ran` says whether the tool ran.
    """

    message: str
    type: str | None = None
    details: Mapping[str, JsonValue] | None = None
    field_path: str | None = None
    retry_after_ms: int | None = None
    ran: Ran | None = None
    hint: str | None = None
    extensions: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, error: AltarError) -> Self:
        """Return what the caller may know of an error: everything but its detail."""
        wait = error.retry_after
        defects, more = told(error.defects, more=error.more_defects)
        details: dict[str, Any] = {"defects": [defect.to_json() for defect in defects]} | (
            {"more": more} if more else {}
        )
        if error.handle:
            details = (details if defects else {}) | {"handle": error.handle}
        return cls(
            message=error.message,
            type=error.code,
            details=details if defects or error.handle else None,
            field_path=error.path or None,
            retry_after_ms=None if wait is None else max(0, round(wait.total_seconds() * 1000)),
            ran=error.ran,
            hint=error.hint,
        )

    @classmethod
    def read(
        cls, document: object, *, version: Version = "1.1", mode: Mode = "strict"
    ) -> tuple[Self | None, list[Defect]]:
        """Return the error of a document, or None and everything that is wrong with it."""
        members = Members(document, what="An error", mode=mode)
        message, kind = members.text("message", required=True), members.text("type")
        parts: dict[str, Any] = {}
        if version != "1.0":
            parts = {"details": members.get("details", dict), "field_path": members.get("field_path", str)}
            parts["retry_after_ms"] = members.count("retry_after_ms")
            parts["ran"] = members.one_of("ran", _RAN, otherwise="unknown")
            parts["hint"] = members.text("hint")
        extensions = members.extensions()
        if members.found or message is None:
            return None, members.found
        return cls(message, kind, **parts, extensions=extensions), []

    def to_adm(self) -> dict[str, Any]:
        """Return the ADM document; what is not known is left out."""
        document = {name: getattr(self, name) for name in _ERROR_MEMBERS}
        return {name: held for name, held in document.items() if held is not None} | dict(self.extensions)

    @property
    def text(self) -> str:
        """The error in words that a model can act on, in at most `MAX_TEXT` characters.

        The message with its code, a line for each defect where there are several, when to try again, and the hint.
        """
        defects, more = defects_from_json(self.details)
        first = f"{self.message} ({self.type})" if self.type else self.message
        after = []
        if self.ran == "unknown":
            after.append("It is not known whether the tool ran")
        if self.retry_after_ms:
            after.append(f"Try again after {self.retry_after_ms / 1000:g} seconds")
        if self.hint:
            after.append(f"hint: {_cut(self.hint, MAX_TEXT // 2)}")
        left = MAX_TEXT - sum(len(line) + 1 for line in after)
        return "\n".join([*_listed(_cut(first, left // 2), defects, more, left), *after])

    @property
    def handle(self) -> str:
        """What the call waits for, such as a request for approval; "" when it waits for nothing."""
        held = (self.details or {}).get("handle")
        return held[:128] if isinstance(held, str) else ""

    def to_error(self) -> AltarError:
        """Return the exception for this error; a type that ALTAR does not know is TOOL_EXECUTION_FAILED."""
        kind = self.type or ""
        code = kind if kind in CODES else ALIASES.get(kind, "TOOL_EXECUTION_FAILED")
        wait = self.retry_after_ms
        defects, more = defects_from_json(self.details)
        return error_of(
            code,
            self.message,
            defects=defects,
            more_defects=more,
            hint=self.hint,
            detail=None if code == kind else f"reported as {kind!r}",
            path=self.field_path,
            ran=self.ran,
            retry_after=None if wait is None else timedelta(milliseconds=wait),
            handle=self.handle,
        )


@dataclass(frozen=True, slots=True)
class ToolResult(Structure):
    """The answer to one call: `content` on SUCCESS, `error` on ERROR, never both.

    `usage` says what the call took (tokens, cost, compute milliseconds, bytes), where that is known.
    `blobs` are the large bytes that `content` has as base64 text, by the JSON Pointer of their place, when they came
    beside it; they are no part of the document.
    """

    call_id: str
    name: str
    status: ResultStatus
    content: JsonValue = None
    error: ErrorObject | None = None
    usage: Mapping[str, JsonValue] | None = None
    metadata: Mapping[str, JsonValue] | None = None
    extensions: Mapping[str, Any] = field(default_factory=dict)
    blobs: Mapping[str, bytes] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def success(cls, call: FunctionCall, content: JsonValue, **parts: Any) -> Self:
        """Return the answer that a call gave `content`; `parts` are usage and metadata."""
        return cls(call.call_id, call.name, ResultStatus.SUCCESS, content, **parts)

    @classmethod
    def failure(cls, call: FunctionCall, error: AltarError | ErrorObject, **parts: Any) -> Self:
        """Return the answer that a call failed; the detail of an exception stays behind."""
        told = error if isinstance(error, ErrorObject) else ErrorObject.of(error)
        return cls(call.call_id, call.name, ResultStatus.ERROR, error=told, **parts)

    @classmethod
    def read(
        cls, document: object, *, version: Version = "1.1", mode: Mode = "strict"
    ) -> tuple[Self | None, list[Defect]]:
        """Return the result of a document, or None and everything that is wrong with it."""
        members = Members(document, what="A tool result", mode=mode)
        call_id, name = members.call_id(), members.name()
        status = members.one_of("status", ("SUCCESS", "ERROR"), required=True, otherwise="UNKNOWN")
        content = members.payload("content")
        error = _error(members, status, version, mode)
        usage = metadata = None
        if version != "1.0":
            usage, metadata = members.get("usage", dict), members.get("metadata", dict)
        extensions = members.extensions()
        if members.found or call_id is None or name is None or status is None:
            return None, members.found
        return cls(call_id, name, ResultStatus(status), content, error, usage, metadata, extensions), []

    def to_adm(self) -> dict[str, Any]:
        """Return the ADM document."""
        document: dict[str, Any] = {"call_id": self.call_id, "name": self.name, "status": self.status.value}
        if self.status is not ResultStatus.ERROR and (self.status is ResultStatus.SUCCESS or self.content is not None):
            document["content"] = self.content
        if self.status is not ResultStatus.SUCCESS and self.error is not None:
            document["error"] = self.error.to_adm()
        if self.usage is not None:
            document["usage"] = dict(self.usage)
        if self.metadata is not None:
            document["metadata"] = dict(self.metadata)
        return document | dict(self.extensions)

    @property
    def text(self) -> str:
        """The result as one text for a model.

        That is content that is text as it stands, other content as canonical JSON, and an error as its `text`.
        """
        if self.status is not ResultStatus.SUCCESS:
            return self._failure().text
        return self.content if isinstance(self.content, str) else canonical(self.content).decode("utf-8")

    def unwrap(self) -> Any:
        """Return the content of a SUCCESS; raise the error of anything else with the code of its type."""
        if self.status is ResultStatus.SUCCESS:
            return self.content
        raise self._failure().to_error()

    def bytes_at(self, path: str = "") -> bytes:
        """Return the bytes that the content of a SUCCESS has as base64 text at a JSON Pointer, by default as a whole.

        Large ones that came beside the JSON are given as they came.
        Raises the error of anything else than a SUCCESS, and MALFORMED_REQUEST where no base64 text stands.
        """
        found = self.blobs.get(path)
        return found if found is not None else bytes_in(self.unwrap(), path)

    def answers(self, call: FunctionCall) -> list[Defect]:
        """Return what keeps this from being the answer to `call`: another call_id or another name."""
        found: list[Defect] = []
        if self.call_id != call.call_id:
            message = f"The result is for the call {self.call_id!r}, not for {call.call_id!r}"
            found.append(Defect("/call_id", "MISMATCH", message))
        if self.name != call.name:
            message = f"The result is of the function {self.name!r}, not of {call.name!r}"
            found.append(Defect("/name", "MISMATCH", message))
        return found

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Make the content of a result with blobs, when it is asked for first; there is nothing else to make."""
            if name != "content":
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            content = self.blobs.content
            object.__setattr__(self, name, content)
            return content

    def _failure(self) -> ErrorObject:
        """What there is to say when the call gave no content; a status of a newer peer counts as no answer."""
        if self.error is not None:
            return self.error
        if self.status is ResultStatus.UNKNOWN:
            return ErrorObject(
                "The call ended with a status that is not known here", "PROTOCOL_VIOLATION", ran="unknown"
            )
        return ErrorObject("The call failed")


MAX_TEXT: Final = 4_000
"""An error is told to a model in at most so many characters."""


def succeeded(call_id: str, name: str, content: JsonValue) -> ToolResult:
    """Return the SUCCESS of a call, equal to what `ToolResult(...)` gives, for a path where every call counts.

    A frozen dataclass sets each of its members the long way; this sets them in a draft of the same layout, which
    then becomes a ToolResult, and frozen, in one step: a fifth of the cost.
    """
    made = _Draft()
    made.call_id = call_id
    made.name = name
    made.status = _SUCCESS
    made.content = content
    made.error = made.usage = made.metadata = None
    made.extensions = {}
    made.blobs = {}
    made.__class__ = ToolResult  # type: ignore[assignment]  # of the same layout, or CPython refuses it
    return cast("ToolResult", made)


def succeeded_beside(
    call_id: str, name: str, blobs: LargeBytes, metadata: Mapping[str, JsonValue] | None = None
) -> ToolResult:
    """Return the SUCCESS of a call whose content has large bytes; their text is made when it is asked for."""
    made = _Draft()
    made.call_id = call_id
    made.name = name
    made.status = _SUCCESS
    made.error = made.usage = None
    made.metadata = metadata
    made.extensions = {}
    made.blobs = blobs
    made.__class__ = ToolResult  # type: ignore[assignment]  # as above
    return cast("ToolResult", made)


class _Draft(Structure):
    """A ToolResult that is not frozen yet."""

    __slots__ = ("blobs", "call_id", "content", "error", "extensions", "metadata", "name", "status", "usage")

    call_id: str
    name: str
    status: ResultStatus
    content: JsonValue
    error: ErrorObject | None
    usage: Mapping[str, JsonValue] | None
    metadata: Mapping[str, JsonValue] | None
    extensions: Mapping[str, Any]
    blobs: Mapping[str, bytes]

    read = ToolResult.read  # type: ignore[assignment]  # a Structure can be read; nobody reads a draft
    to_adm = ToolResult.to_adm


_SUCCESS: Final = ResultStatus.SUCCESS
_RAN: Final = ("no", "yes", "unknown")
_ERROR_MEMBERS: Final = ("message", "type", "details", "field_path", "retry_after_ms", "ran", "hint")


def _error(members: Members, status: str | None, version: Version, mode: Mode) -> ErrorObject | None:
    """Read `error`, and hold status, content and error against each other."""
    document = members.payload("error")
    given = members.members.keys()
    if status == "SUCCESS":
        if "content" not in given:
            members.say("REQUIRED", "A result with status SUCCESS needs `content`", "content")
        if "error" in given:
            members.say("FORBIDDEN", "A result with status SUCCESS must not have `error`", "error")
        return None
    if status == "ERROR" and "content" in given:
        members.say("FORBIDDEN", "A result with status ERROR must not have `content`", "content")
    if "error" not in given:
        if status == "ERROR":
            members.say("REQUIRED", "A result with status ERROR needs `error`", "error")
        return None
    error, found = ErrorObject.read(document, version=version, mode=mode)
    members.found += [defect.under("/error") for defect in found]
    return error


def _listed(first: str, defects: tuple[Defect, ...], more: int, limit: int) -> list[str]:
    """Return the first line and one for each defect, as far as the limit goes, and how many are left."""
    lines, length = [first], len(first)
    if len(defects) + more < 2:
        return lines
    for index, defect in enumerate(defects):
        line = f"- {defect.path}: {defect.message}" if defect.path else f"- {defect.message}"
        length += len(line) + 1
        if length > limit - len("\n- and 999999 more"):
            more += len(defects) - index
            break
        lines.append(line)
    return [*lines, f"- and {more} more"] if more else lines


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: max(0, limit - 1)]}…"
