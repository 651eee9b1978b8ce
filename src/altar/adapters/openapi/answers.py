"""The answer of an HTTP interface as the result of a tool, or as an error that a model can act on.

A status, headers and a body come in; a JSON value goes out, or an error that says what the server said.
The words of a server are told as such, bounded, and never as instructions of ours.
"""

from __future__ import annotations

import base64
import codecs
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from altar.adapters.openapi.reach import Answer
from altar.adm.call import ErrorObject
from altar.adm.canonical import parse
from altar.adm.codes import CODES
from altar.adm.errors import AltarError, ExecutionError, error_of

__all__ = ["value_of"]

_MOST_WORDS: Final = 500
_CHARSETS: Final = ("utf-8", "utf-16", "ascii", "iso8859", "cp125", "koi8", "gb", "big5", "euc", "shift_jis")
"""Not those that take long for a hostile text, or are no text: punycode, idna, utf-7, unicode_escape."""


def value_of(answer: Answer, *, operation: str) -> Any:
    """The result that an answer holds: JSON as it is, text as text, anything else as base64 text; null for nothing.

    Raises the error that a status says: of 400 and more, and of 300 and more as no redirect is followed.
    """
    if 200 <= answer.status < 300:
        return _content(answer, operation)
    raise _error(answer, operation=operation)


def _content(answer: Answer, operation: str) -> Any:
    kind, is_json, charset = _kind(answer)
    if not answer.body:
        return None
    if is_json:
        try:
            return parse(answer.body, max_bytes=len(answer.body))
        except AltarError as unread:
            raise ExecutionError(
                "DATA_PROCESSING_ERROR",
                f"{operation} answered what it calls JSON, and is none",
                ran="yes",
                detail=unread.message,
            ) from unread
    if kind.startswith("text/") or kind in {"application/xml", "application/yaml"} or kind.endswith("+xml"):
        try:
            return answer.body.decode(charset)
        except UnicodeError:
            return answer.body.decode("utf-8", "replace")
    return base64.b64encode(answer.body).decode("ascii")


def _kind(answer: Answer) -> tuple[str, bool, str]:
    """The media type, whether it is JSON, and the charset."""
    kind, _, parameters = answer.headers.get("content-type", "").partition(";")
    kind = kind.strip().lower()
    name, _, charset = parameters.strip().partition("=")
    is_json = kind == "application/json" or kind.endswith("+json")
    return kind, is_json, _charset(charset.strip('" ')) if name.lower() == "charset" else "utf-8"


def _charset(name: str) -> str:
    """The charset of this name, where it is one of letters; else UTF-8."""
    try:
        found = codecs.lookup(name).name
    except (LookupError, ValueError):
        return "utf-8"
    return found if found.startswith(_CHARSETS) else "utf-8"


def _error(answer: Answer, *, operation: str) -> AltarError:
    """The error for a status (RFC 9110 §15), with the words of the server."""
    held = _held(answer)
    told = ErrorObject.read(held["error"], mode="lenient")[0] if isinstance(held.get("error"), Mapping) else None
    info = CODES.get(told.type or "") if told is not None else None
    if told is not None and info is not None and info.category in _THEIRS:
        return told.to_error()  # it speaks as ALTAR does, of the arguments or of its work
    code, hint = _MEANING.get(answer.status, ("", None))
    code = code or ("DEPENDENCY_UNAVAILABLE" if answer.status >= 500 else "TOOL_EXECUTION_FAILED")
    words = _words(held, answer)
    message = f"{operation} answered {answer.status}" + (f": {words}" if words else "")
    return error_of(code, message, hint=hint, retry_after=_wait(answer))


_THEIRS: Final = frozenset({"VALIDATION", "EXECUTION"})
_MEANING: Final[Mapping[int, tuple[str, str | None]]] = {
    400: ("", "correct the arguments as the answer says"),
    401: ("", "the server refused the credentials of this tool, which only its operator can change"),
    403: ("", "the server does not allow this to the account of this tool"),
    404: ("", "what the arguments name is not there"),
    408: ("TIMEOUT", None),
    409: ("", "something is there already or has changed: look again first"),
    412: ("", "something has changed: look again first"),
    422: ("", "correct the arguments as the answer says"),
    429: ("RATE_LIMIT_EXCEEDED", None),
    504: ("TIMEOUT", None),
}


def _held(answer: Answer) -> Mapping[str, Any]:
    if not _kind(answer)[1]:
        return {}
    try:
        held = parse(answer.body, max_bytes=len(answer.body) or 1)
    except AltarError:
        return {}
    return held if isinstance(held, Mapping) else {"detail": held}


def _words(held: Mapping[str, Any], answer: Answer) -> str:
    """What the server said, in one line: a problem (RFC 9457), a usual member, or the beginning of the text."""
    said = [str(held[name]) for name in ("title", "detail") if isinstance(held.get(name), str)]
    for name in ("message", "error_description", "error", "errors", "detail"):
        one = held.get(name)
        if not said and one:
            said = [one if isinstance(one, str) else str(one.get("message", one) if isinstance(one, Mapping) else one)]
    if not said and _kind(answer)[0] in {"text/plain", ""}:
        said = [answer.body[: 4 * _MOST_WORDS].decode("utf-8", "replace")]
    plain = "".join(one if one.isprintable() else " " for one in ". ".join(said)[: 8 * _MOST_WORDS])
    words = " ".join(plain.split())
    return words if len(words) <= _MOST_WORDS else words[: _MOST_WORDS - 1] + "…"


def _wait(answer: Answer) -> timedelta | None:
    """What ``Retry-After`` says in seconds; a date is not read."""
    text = answer.headers.get("retry-after", "").strip()
    return timedelta(seconds=min(int(text), 86_400)) if text.isascii() and text.isdigit() and len(text) < 9 else None
