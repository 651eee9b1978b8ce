"""One worker, from inside: a runtime process that a supervisor has started, and what it tells that one.

Standard output is the line to the supervisor, one JSON object a line; what tools print goes to standard error.
Standard input ties the worker to its supervisor, and brings the word to begin:
a worker loads its tools first, so that the one it replaces can serve until it is known that they load.
"""

from __future__ import annotations

import json
import os
import sys
import sysconfig
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import altar
from altar.adm.errors import AltarError
from altar.cli import output
from altar.cli.processes import run_until_told

if TYPE_CHECKING:
    import asyncio

__all__ = ["BEGIN", "GRACE", "MAX_FILES", "Line", "files_of_tools", "is_replaced", "work"]

BEGIN = b"\n"
"""What a supervisor writes to let a worker begin."""

GRACE = 5.0
"""Seconds that a runtime may take beyond the time for its calls before it is ended."""

MAX_FILES = 2_000
"""Most files that a worker names for its supervisor to watch."""


class Line:
    """The line to the supervisor."""

    def __init__(self) -> None:
        """Take standard output for this, and give whoever prints standard error instead."""
        self._out = os.dup(1)
        os.dup2(2, 1)

    def tell(self, facts: Mapping[str, Any]) -> None:
        """Send one object; nothing happens when nobody is there any more."""
        data = json.dumps(dict(facts)).encode() + b"\n"
        with suppress(OSError):
            while data:
                data = data[os.write(self._out, data) :]


def work(
    serve: Callable[[asyncio.Event, Line], Coroutine[Any, Any, None]],
    *,
    load: Callable[[], object],
    twice: Callable[[], None],
    patience: float,
) -> int:
    """Load the tools, wait for the word to begin, serve until told to leave; returns the exit code.

    What fails is told to the supervisor, who says it to people.
    ``twice`` is called at the second signal to leave; ``patience`` is how many seconds it may outlive its supervisor.
    """
    line = Line()
    began_ns = time.time_ns()
    try:
        load()
        line.tell({"loaded": True, "files": files_of_tools(since_ns=began_ns)})
        if not os.read(0, 1):
            return output.DONE
        run_until_told(lambda leave: serve(leave, line), tied=True, twice=twice, patience=patience)
    except AltarError as error:
        files = files_of_tools(since_ns=began_ns, error=error)
        line.tell(
            {"failed": {"code": error.code, "message": error.message, "hint": error.hint, "ran": error.ran}}
            | {"files": files}
        )
        return output.REPLACED if is_replaced(error) else output.exit_code(error)
    return output.DONE


def is_replaced(error: AltarError) -> bool:
    """Whether a runtime ended because another process has attached under its id: nothing else ends one so."""
    return error.code == "RUNTIME_CRASH"


def files_of_tools(*, since_ns: int, error: AltarError | None = None) -> dict[str, list[int] | None]:
    """The Python files that this process has loaded or failed to load, without those of libraries.

    Each with its time of change in ns and its size in bytes, or None for one that has changed since ``since_ns``
    (nanoseconds since 1970): it may have changed after it was read.
    """
    libraries = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    libraries.add(Path(altar.__file__).resolve().parent)
    found: dict[str, list[int] | None] = {}
    for name in sorted({*_loaded(), *_blamed(error)}):
        path = Path(name)
        if len(found) < MAX_FILES and path.suffix == ".py" and libraries.isdisjoint(path.resolve().parents):
            with suppress(OSError):
                about = path.stat()
                unsure = since_ns <= about.st_mtime_ns <= time.time_ns()
                found[str(path.absolute())] = None if unsure else [about.st_mtime_ns, about.st_size]
    return found


def _loaded() -> set[str]:
    files = (getattr(module, "__file__", None) for module in tuple(sys.modules.values()))
    return {file for file in files if isinstance(file, str)}


def _blamed(error: BaseException | None) -> set[str]:
    """The files that an error came through: a module that fails is not among those that are loaded."""
    files: set[str] = set()
    while error is not None:
        if isinstance(error, SyntaxError) and error.filename:
            files.add(error.filename)
        trace = error.__traceback__
        while trace is not None:
            files.add(trace.tb_frame.f_code.co_filename)
            trace = trace.tb_next
        error = error.__cause__
    return files
