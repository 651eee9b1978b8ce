"""JSON inside text: how formats that know only text carry contents, errors and arguments.

In: a JSON value or an error.
Out: text from which the same value can be read again.
A text that could be mistaken for JSON is written as a JSON string; every other text stands as it is, so that
a model reads `Rain until noon` and not `"Rain until noon"`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from altar.adm.call import ErrorObject
from altar.adm.canonical import JsonValue, canonical, parse
from altar.adm.defect import quoted
from altar.adm.errors import AltarError, ValidationError

UNEXPLAINED: Final = "The tool failed and said no reason"


def text_of(content: JsonValue) -> str:
    """Return the text for a content."""
    if isinstance(content, str) and content_of(content) is content:
        return content
    return canonical(content).decode("utf-8")


def content_of(text: str) -> JsonValue:
    """Return the content that a text stands for: its JSON value, or the very text if it is not JSON."""
    try:
        value = parse(text)
        canonical(value)
    except AltarError:
        return text
    return value


def error_text(error: ErrorObject) -> str:
    """Return the text for an error: its message if it has nothing else, or its ADM document."""
    document = error.to_adm()
    if document.keys() == {"message"} and content_of(error.message) is error.message:
        return error.message
    return canonical(document).decode("utf-8")


def error_of_text(text: str) -> ErrorObject:
    """Return the error that a text stands for."""
    return error_of_value(content_of(text))


def error_of_value(value: JsonValue) -> ErrorObject:
    """Return the error that a JSON value stands for; what is no error of ADM becomes its message."""
    if isinstance(value, Mapping):
        error, _ = ErrorObject.read(value, mode="lenient")
        if error is not None:
            return error
    text = value if isinstance(value, str) else canonical(value).decode("utf-8")
    return ErrorObject(text if text.strip() else UNEXPLAINED)


def arguments_of(held: object) -> Mapping[str, Any]:
    """Return arguments that came as an object, or as text that holds one; blank text stands for none.

    Raises INVALID_TOOL_ARGS with words that a model can act on.
    """
    value: Any = held
    if isinstance(held, str):
        try:
            value = parse(held) if held.strip() else {}
        except AltarError as error:
            raise ValidationError("INVALID_TOOL_ARGS", f"The arguments are not JSON: {error.message}") from error
    if not isinstance(value, Mapping):
        raise ValidationError("INVALID_TOOL_ARGS", f"The arguments must be an object, not {quoted(value)}")
    return value
