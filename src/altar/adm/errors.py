"""The errors of ALTAR: one class for each way to react, one code for each thing that happened.

    AltarError
    ├── AuthorizationError        the gate said no, or not yet
    ├── ValidationError           the request does not fit
    ├── ExecutionError            the tool, or what runs it, failed
    ├── TransportError            the message did not get through
    └── ConfigurationError        it cannot start like this
        └── DeclarationError      this function cannot be a tool

`message` and `hint` are for the caller or the model; `detail` is for the log, and they never mix.
The codes are those of `spec/errors.toml`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from altar.adm.codes import CODES, Category, Ran
from altar.adm.defect import shortened

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from altar.adm.defect import Defect

__all__ = [
    "AltarError",
    "AuthorizationError",
    "ConfigurationError",
    "DeclarationError",
    "ExecutionError",
    "Ran",
    "TransportError",
    "ValidationError",
    "error_of",
]


class AltarError(Exception):
    """Any error of ALTAR; `code` is a key of `CODES`, and `str(error)` is the message.

    `path` is a JSON Pointer to what is wrong, where that can be said.
    `ran` says whether the tool ran, and is the code's own answer unless given.
    `defects` holds everything that was found wrong, the first of which made the message.
    `more_defects` is how many others there are that did not travel with it.
    `handle` names what the call waits for, such as a request for approval; "" when it waits for nothing.
    Raises ValueError for a code that does not exist or belongs to another class.
    """

    category: ClassVar[Category | None] = None

    def __init__(
        self,
        code: str,
        message: str,
        *,
        hint: str | None = None,
        detail: str | None = None,
        path: str | None = None,
        ran: Ran | None = None,
        retry_after: timedelta | None = None,
        correlation_id: str | None = None,
        defects: Sequence[Defect] = (),
        more_defects: int = 0,
        handle: str = "",
    ) -> None:
        """Make the error; only `message`, `hint` and `path` may be shown to the caller."""
        info = CODES.get(code)
        if info is None:
            raise ValueError(f"{code!r} is not an error code of spec/errors.toml")
        if self.category is not None and info.category != self.category:
            raise ValueError(f"{code!r} is of category {info.category}, not {self.category}")
        super().__init__(message)
        if hint:
            self.add_note(f"hint: {hint}")  # for a traceback; the message stays what it is
        self.code = code
        self.message = message
        self.hint = hint
        self.detail = detail
        self.path = path
        self.ran: Ran = info.ran if ran is None else ran
        self.retry_after = retry_after
        self.correlation_id = correlation_id
        self.defects = tuple(defects)
        self.more_defects = more_defects
        self.handle = handle

    def __reduce__(self) -> tuple[object, ...]:
        """Let the error cross a process boundary with all its parts."""
        return (_restore, (type(self), self.code, self.message, self.__dict__))

    def __repr__(self) -> str:
        """Show class, code and message; never the detail."""
        return f"{type(self).__name__}({self.code!r}, {self.message!r})"

    @classmethod
    def from_defects(
        cls, code: str, defects: Sequence[Defect], *, hint: str | None = None, ran: Ran | None = None
    ) -> Self:
        """Return the error for what a check found: the first defect in words, and how many more."""
        first, more = defects[0], len(defects) - 1
        message = shortened(first.message)
        message = f"{message} (and {more} more)" if more else message
        return cls(code, message, hint=hint, path=first.path, ran=ran, defects=defects)


class AuthorizationError(AltarError):
    """The gate said no, or not yet."""

    category = "AUTHORIZATION"


class ValidationError(AltarError):
    """The request does not fit."""

    category = "VALIDATION"


class ExecutionError(AltarError):
    """The tool, or what runs it, failed."""

    category = "EXECUTION"


class TransportError(AltarError):
    """The message did not get through."""

    category = "TRANSPORT"


class ConfigurationError(AltarError):
    """It cannot start like this."""

    category = "CONFIGURATION"


class DeclarationError(ConfigurationError):
    """This function, schema or manifest cannot be declared; the usual code is INVALID_DECLARATION."""


def error_of(
    code: str,
    message: str,
    *,
    hint: str | None = None,
    detail: str | None = None,
    path: str | None = None,
    ran: Ran | None = None,
    retry_after: timedelta | None = None,
    correlation_id: str | None = None,
    defects: Sequence[Defect] = (),
    more_defects: int = 0,
    handle: str = "",
) -> AltarError:
    """Return an error of the class that the code's category asks for; ValueError for an unknown code."""
    if code not in CODES:
        raise ValueError(f"{code!r} is not an error code of spec/errors.toml")
    made = DeclarationError if code in _OF_DECLARATIONS else _CLASSES[CODES[code].category]
    return made(
        code,
        message,
        hint=hint,
        detail=detail,
        path=path,
        ran=ran,
        retry_after=retry_after,
        correlation_id=correlation_id,
        defects=defects,
        more_defects=more_defects,
        handle=handle,
    )


_OF_DECLARATIONS = frozenset({"INVALID_DECLARATION", "INVALID_PIPELINE"})
_CLASSES: dict[Category, type[AltarError]] = {
    "AUTHORIZATION": AuthorizationError,
    "VALIDATION": ValidationError,
    "EXECUTION": ExecutionError,
    "TRANSPORT": TransportError,
    "CONFIGURATION": ConfigurationError,
}


def _restore(made: type[AltarError], code: str, message: str, parts: dict[str, object]) -> AltarError:
    error = made(code, message)
    error.__dict__.update(parts)
    return error
