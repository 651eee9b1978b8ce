"""An answer that does not fit its fields: whether it is asked for again, and what is read where it is let through.

The settings ``ai.retry_on_validation_error`` and ``ai.result_validation`` of this process decide.
An answer comes in that an adapter of DSPy refuses, its fields go out: each as its type where it can be read as that,
else as the model wrote it, and None where it is missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from altar.ai.configuration import configured

__all__ = ["AsConfigured", "as_they_are"]


class AsConfigured:
    """What an adapter of DSPy that asks again does as configured; it stands before the class of the adapter.

    ``altar_attempts`` says how often it asks again, and is None where nobody said so.
    """

    altar_attempts: int | None = None

    @property
    def attempts(self) -> int:
        """How often it asks again: as it was told, else as configured."""
        told = self.altar_attempts
        return int(configured().retry_on_validation_error) if told is None else told

    @property
    def use_json_adapter_fallback(self) -> bool:
        """Whether it asks in another form too, as adapters of DSPy do; never where asking again is not wanted."""
        wanted = self.altar_attempts is not None or configured().retry_on_validation_error
        return wanted and bool(self.__dict__.get("use_json_adapter_fallback", False))

    @use_json_adapter_fallback.setter
    def use_json_adapter_fallback(self, wanted: bool) -> None:
        self.__dict__["use_json_adapter_fallback"] = wanted

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:
        """Read an answer as the adapter does; one that it refuses as it is, where that is configured."""
        from dspy.utils.exceptions import AdapterParseError

        read: Callable[[Any, str], dict[str, Any]] = super().parse  # type: ignore[misc]  # of the adapter behind it
        try:
            return read(signature, completion)
        except AdapterParseError:
            if configured().result_validation:
                raise
            return as_they_are(read, signature, completion)


def as_they_are(parse: Callable[[Any, str], dict[str, Any]], signature: Any, completion: str) -> dict[str, Any]:
    """The output fields of an answer that ``parse`` does not take, with None for those that are not in it.

    ``parse`` is that of the adapter: it knows where in the answer a field stands, and is asked for one after the other.
    An answer in which no field is found at all is the text of the first field.
    """
    fields = {name: _read(parse, _only(signature, name), name, completion) for name in signature.output_fields}
    if all(value is None for value in fields.values()) and completion.strip():
        fields[next(iter(fields))] = completion.strip()
    return fields


def _read(parse: Callable[[Any, str], dict[str, Any]], alone: Any, name: str, completion: str) -> Any:
    """One field, as its type, else as it stands in the answer, else None; ``alone`` is a signature with it only."""
    from dspy.utils.exceptions import AdapterParseError

    try:
        return parse(alone, completion)[name]
    except AdapterParseError:
        held = _object(completion)
    if name in held:
        return held[name]
    try:
        return parse(alone.with_updated_fields(name, str), completion)[name]
    except AdapterParseError:
        return None


def _object(completion: str) -> dict[str, Any]:
    """The members of an answer that is one JSON object; none for any other."""
    try:
        held = json.loads(completion)
    except (ValueError, RecursionError):
        return {}
    return held if isinstance(held, dict) else {}


def _only(signature: Any, name: str) -> Any:
    """The same signature with this output field alone."""
    for other in list(signature.output_fields):
        if other != name:
            signature = signature.delete(other)
    return signature
