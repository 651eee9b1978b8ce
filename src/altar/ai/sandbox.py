"""The sandbox of code that a language model wrote, for the time of one call and no longer.

A thread that waits for code which never ends cannot be stopped, but the process that runs it can.
On Linux the kernel ends it too when the thread that started it is gone, such as by a SIGKILL to all of this process.
In: the context of a call.
Out: a factory of DSPy's own interpreters (Deno and WebAssembly), whose process is ended when the call is over.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from altar.adm.errors import TransportError
from altar.later.extras import loaded
from altar.later.invocation import MAX_MESSAGE_BYTES
from altar.later.portal import portal

if TYPE_CHECKING:
    from altar.later.context import ToolContext

__all__ = ["interpreters_of"]

_LOOK_SECONDS: Final = 0.1
"""How often it is looked whether anybody still waits for the call whose code runs."""


def interpreters_of(call: ToolContext) -> Callable[[], Any]:
    """What makes ``dspy.PythonInterpreter`` for this call: code raises CANCELLED or TIMEOUT when the call is over."""
    return _Factory(call, _of_calls(loaded("dspy", extra="dspy", what="A DSPy program as a tool").PythonInterpreter))


class _Factory:
    """Makes interpreters for one call; a language model is told of them what DSPy tells of its own."""

    def __init__(self, call: ToolContext, kind: Any) -> None:
        self._call = call
        self._kind = kind
        self.execution_instructions: str = kind.execution_instructions

    def __call__(self) -> Any:
        made = self._kind()
        made.altar_call = self._call
        if sys.platform == "linux" and sys.executable and not hasattr(sys, "frozen"):  # then it is no Python
            made.deno_command = _Tied(made.deno_command)
        return made


class _Tied(list[str]):
    """A command whose process ends with the thread that starts it; who looks at its first word sees the command's own.

    Code that is busy does not notice that nobody is there to read its answer, and would compute for ever.
    An interpreter of DSPy stays with the thread that began it, so the end of that thread is the end of its use.
    """

    def __iter__(self) -> Iterator[str]:
        """The words that are run: those of a start that asks the kernel for this, and then becomes the command."""
        yield from (sys.executable, "-I", "-S", "-c", _TIE, str(os.getpid()))
        yield from super().__iter__()


_TIE: Final = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    names = {"HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "SSL_CERT_DIR", "SSL_CERT_FILE", "TMPDIR"}
    starts = ("DENO_", "HTTP_PROXY", "HTTPS_PROXY", "LC_", "NO_PROXY", "NPM_CONFIG_", "XDG_")
    needed = {name: value for name, value in os.environ.items() if name in names or name.upper().startswith(starts)}
    os.execvpe(sys.argv[2], sys.argv[2:], needed)
"""
"""1 is PR_SET_PDEATHSIG, see prctl(2); a parent that died before that has left this process to another one.

Of the variables of this process, among which there may be keys, it passes on what Deno itself needs.
"""

_CLASSES: dict[Any, Any] = {}


def _of_calls(base: Any) -> Any:
    """The class of interpreters that end with their call, made once."""
    if base in _CLASSES:
        return _CLASSES[base]

    class PythonInterpreter(base):
        altar_call: ToolContext

        def execute(self, *arguments: Any, **named: Any) -> Any:
            with _ending(self):
                return super().execute(*arguments, **named)

        def start(self) -> None:
            self._check_thread_ownership()  # from now on: the process ends with this thread
            with _ending(self):
                super().start()

        def _read_response_line(self, context: str) -> str:
            process = self.deno_process
            if not isinstance(process.stdout, _Lines):
                process.stdout = _Lines(process)
            line: str = super()._read_response_line(context)
            return line

        def shutdown(self) -> None:
            process = self.deno_process
            if process is not None:
                process.kill()  # code that goes on behind its answer would not hear that it is to end
                process.wait()
            super().shutdown()
            for pipe in () if process is None else (process.stdin, process.stdout, process.stderr):
                pipe.close()  # which DSPy leaves to chance

    return _CLASSES.setdefault(base, PythonInterpreter)


class _Lines:
    """The lines that the process of a sandbox writes, none longer than MAX_MESSAGE_BYTES characters."""

    def __init__(self, process: Any) -> None:
        self._process = process
        self._held = process.stdout

    def readline(self) -> str:
        """The next line; raises MESSAGE_TOO_LARGE, and ends the process, where it does not end in time."""
        line: str = self._held.readline(MAX_MESSAGE_BYTES + 1)
        if len(line) > MAX_MESSAGE_BYTES:
            self._process.kill()
            raise TransportError(
                "MESSAGE_TOO_LARGE",
                f"Code in the sandbox wrote more than {MAX_MESSAGE_BYTES} characters at once",
                ran="yes",
                hint="let it write less",
            )
        return line

    def close(self) -> None:
        """Let go of the pipe."""
        self._held.close()


@contextmanager
def _ending(interpreter: Any) -> Iterator[None]:
    """Within this the process of the interpreter is killed as soon as the call is over."""
    call: ToolContext = interpreter.altar_call
    call.check_cancelled()
    watching = portal().begin(_watch(interpreter, call))
    try:
        yield
    except Exception:
        call.check_cancelled()  # which says more than that the process has ended
        raise
    finally:
        watching.cancel()


async def _watch(interpreter: Any, call: ToolContext) -> None:
    process = None
    while process is None:
        await asyncio.sleep(_LOOK_SECONDS)
        process = interpreter.deno_process if call.cancelled else None
    process.kill()
