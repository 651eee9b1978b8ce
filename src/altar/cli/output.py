"""What the commands print, and the number they end with.

Data goes to stdout, talk goes to stderr, and no meaning hangs on colour alone.
With `--json` a command writes one JSON value to stdout, an error included.
This is the only module that prints.

Exit codes: 0 done, 1 the tool failed, 2 wrong use, 3 denied, 4 not reachable, 5 another process has taken the place of
this runtime.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

import click

from altar.adm.codes import CODES

if TYPE_CHECKING:
    from altar.adm.errors import AltarError

__all__ = [
    "DENIED",
    "DONE",
    "FAILED",
    "REPLACED",
    "UNREACHABLE",
    "WRONG_USE",
    "columns",
    "data",
    "encoding_of",
    "exit_code",
    "fail",
    "json_option",
    "one_line",
    "raw",
    "say",
    "wants_json",
    "warn",
]

DONE, FAILED, WRONG_USE, DENIED, UNREACHABLE, REPLACED = 0, 1, 2, 3, 4, 5

json_option = click.option("--json", "as_json", is_flag=True, help="Write one JSON value to stdout.")
"""The option that every command has."""


def data(value: object, *, as_json: bool, text: str | None = None) -> None:
    """Write the data of a command to stdout: `value` as one line of JSON, or `text` for a reader.

    `text` holds several lines, or is None where JSON is also what a reader wants.
    What the encoding of stdout cannot write is written as an escape, which is JSON where it stands in JSON.
    """
    if as_json or text is None:
        print(_json(value), flush=True)
    elif text:
        print(_safe(text, sys.stdout), flush=True)


def encoding_of(stream: TextIO | None) -> str:
    """The encoding in which a stream is written, in small letters; UTF-8 for one that does not say, or is closed."""
    return (getattr(stream, "encoding", None) or "utf-8").lower()


def raw(content: bytes) -> None:
    """Write bytes to stdout as they are, and flush: for files and for line protocols."""
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text as aligned columns, two spaces apart, without trailing spaces; each row is one line."""
    rows = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))] if rows else []
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def one_line(text: str) -> str:
    """The text with line breaks and other controls as escapes: a name that somebody chose adds no line to an answer."""
    return text if text.isprintable() else "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def say(text: str) -> None:
    """Write a sentence for the person at the terminal to stderr."""
    print(_safe(text, sys.stderr), file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """Write a warning to stderr."""
    say(f"{_painted('warning:', 'yellow', sys.stderr)} {text}")


def fail(error: AltarError, *, as_json: bool, number: int | None = None) -> int:
    """Write an error and return the exit code that goes with it, or `number` when the caller knows better.

    For a reader it goes to stderr: message, code, hint; the detail is for logs and is never shown.
    With `--json` it is one object on stdout, named as the ADM names the members of an ErrorObject.
    """
    if as_json:
        data({"error": _error_members(error)}, as_json=True)
    else:
        say(f"{_painted('error:', 'red', sys.stderr)} {error} ({error.code})")
        if error.hint:
            say(f"\n{_painted('hint:', 'cyan', sys.stderr)} {error.hint}")
    return exit_code(error) if number is None else number


def exit_code(error: AltarError) -> int:
    """The exit code of an error.

    What was refused before it ran is wrong use; what ran, or may have run, is a failure of the tool.
    """
    category = CODES[error.code].category
    if category == "AUTHORIZATION":
        return DENIED
    if error.code in {"CONNECTION_FAILED", "NETWORK_TIMEOUT", "TLS_HANDSHAKE_FAILED"}:
        return UNREACHABLE
    if category == "CONFIGURATION" or (category == "VALIDATION" and error.ran != "yes"):
        return WRONG_USE
    return FAILED


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether the command line asks for JSON, told before it is parsed, so that its own errors obey."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in options


def _error_members(error: AltarError) -> dict[str, Any]:
    members = {
        "type": error.code,
        "category": str(CODES[error.code].category),
        "message": str(error),
        "hint": error.hint,
        "field_path": error.path,
        "ran": error.ran,
        "correlation_id": error.correlation_id,
        "handle": error.handle or None,
        "retry_after_ms": round(error.retry_after.total_seconds() * 1000) if error.retry_after else None,
    }
    return {name: value for name, value in members.items() if value is not None}


def _painted(word: str, colour: str, stream: TextIO | None) -> str:
    plain = bool(os.environ.get("NO_COLOR")) or stream is None or not stream.isatty()
    return word if plain else click.style(word, fg=colour, bold=True)


def _json(value: object) -> str:
    # JSON leaves DEL, the controls above it and marks of direction as they are; a terminal obeys some of them.
    # Half of a surrogate pair is one of those that cannot be printed, in any encoding.
    plain = not encoding_of(sys.stdout).startswith("utf")
    text = json.dumps(value, ensure_ascii=plain, allow_nan=False)
    return text if text.isprintable() else "".join(one if one.isprintable() else _escaped(one) for one in text)


def _escaped(sign: str) -> str:
    # Beyond U+FFFF a sign is a surrogate pair, which `dumps` writes.
    return f"\\u{ord(sign):04x}" if ord(sign) < 0x10000 else json.dumps(sign)[1:-1]


def _safe(text: str, stream: TextIO | None) -> str:
    # A tool or a peer may have written this text: its control characters must not reach the terminal.
    safe = "".join(one if one in "\n\t" or one.isprintable() else ascii(one)[1:-1] for one in text)
    encoding = encoding_of(stream)
    return safe.encode(encoding, "backslashreplace").decode(encoding)
