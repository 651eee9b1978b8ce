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
    "exit_code",
    "fail",
    "json_option",
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
    """
    if as_json or text is None:
        plain = not (sys.stdout.encoding or "").lower().startswith("utf")
        print(json.dumps(value, ensure_ascii=plain, allow_nan=False), flush=True)
    elif text:
        print(_safe(text), flush=True)


def raw(content: bytes) -> None:
    """Write bytes to stdout as they are, and flush: for files and for line protocols."""
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text as aligned columns, two spaces apart, without trailing spaces."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))] if rows else []
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def say(text: str) -> None:
    """Write a sentence for the person at the terminal to stderr."""
    print(_safe(text), file=sys.stderr, flush=True)


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


def _painted(word: str, colour: str, stream: TextIO) -> str:
    plain = bool(os.environ.get("NO_COLOR")) or not stream.isatty()
    return word if plain else click.style(word, fg=colour, bold=True)


def _safe(text: str) -> str:
    # A tool or a peer may have written this text: its control characters must not reach the terminal.
    return "".join(one if one in "\n\t" or one.isprintable() else ascii(one)[1:-1] for one in text)
