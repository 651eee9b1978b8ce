"""Does with a page what a reader would do: saves its files, runs its Python, types its commands.

A page is Markdown.
Its fenced blocks are done in order, in one empty folder per page:

- ``python`` runs in one interpreter per page: later blocks see earlier names; ``await`` works at top level;
- ``console`` holds commands after ``$``; output shown below a command must appear, in order, among its lines;
  a command that ends in ``&`` goes on in the background once its shown lines have appeared;
  a command that fails is a mistake of the page unless the output shown has a line beginning ``error:``;
- ``toml`` and ``json`` must parse;
- ``text``, ``mermaid``, ``proto``, ``sql`` and ``yaml`` are for looking at.

A comment right above a fence says more: ``<!-- file: NAME -->`` saves the block instead of running it,
``<!-- output -->`` makes a ``text`` block the output of the Python block before it,
``<!-- not run: REASON -->`` leaves a block out.
In shown output ``…`` stands for anything; alone on a line, for any lines.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Block", "Reader", "blocks_of", "missing_line"]

ROOT = Path(__file__).resolve().parents[2]
FOR_LOOKING = frozenset({"text", "mermaid", "proto", "sql", "yaml"})
ONLY_CHECKED = ("make ", "pip ", "python3 -m venv", "git ", ".ci/run", "source ", ".venv/bin/towncrier ")
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w-]*)[^\n`]*\n(?P<text>.*?)^(?P=indent)```[ ]*$",
    re.MULTILINE | re.DOTALL,
)
DIRECTIVE = re.compile(r"<!-- *(?P<text>[^>]*?) *-->\s*\Z")

INTERPRETER = """
import ast, asyncio, contextlib, inspect, io, json, linecache, sys, traceback
answers, sys.stdout = sys.stdout, sys.stderr
names = {"__name__": "__main__", "__builtins__": __builtins__}
with asyncio.Runner() as runner:
    for request in map(json.loads, sys.stdin):
        shown, failure = io.StringIO(), None
        text, name = request["text"], request["name"]
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
            try:
                code = compile(text, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
                if code.co_flags & inspect.CO_COROUTINE:
                    runner.run(eval(code, names))
                else:
                    exec(code, names)
            except BaseException:
                failure = traceback.format_exc()
        print(json.dumps({"shown": shown.getvalue(), "failure": failure}), file=answers, flush=True)
"""


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: where it stands, its language, its text, and what the comment above it says."""

    page: str
    line: int
    language: str
    text: str
    directive: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in order."""
    source = page.read_text()
    name = str(page.relative_to(ROOT)) if page.is_relative_to(ROOT) else page.name
    found = []
    for match in FENCE.finditer(source):
        above = DIRECTIVE.search(source[: match.start()])
        lines = match["text"].splitlines()
        text = "\n".join(line.removeprefix(match["indent"]) for line in lines) + "\n"
        line = source.count("\n", 0, match.start()) + 1
        found.append(Block(name, line, match["language"], text, above["text"] if above else ""))
    return found


def missing_line(shown: str, real: str) -> str | None:
    """Return the first shown line that does not appear, in order, among the real ones; None if all do."""
    remaining = iter(real.splitlines())
    for line in filter(None, (line.strip() for line in shown.splitlines())):
        if line not in {"…", "..."} and not any(_matches(line, candidate) for candidate in remaining):
            return line
    return None


class Reader:
    """Somebody who does what one page says, in one folder; close it at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = _environment() | {"XDG_CONFIG_HOME": str(folder / ".config")}
        self._interpreter: subprocess.Popen[str] | None = None
        self._background: list[subprocess.Popen[str]] = []
        self._last_output = ""

    def do(self, block: Block) -> None:
        """Do one block; an AssertionError says what is wrong and where."""
        if block.directive.startswith("not run"):
            assert re.fullmatch(r"not run: \S.{8,}", block.directive), f"{block.place}: say why it is not run"
        elif block.directive.startswith("file:"):
            self._save(block)
        elif block.language == "python":
            self._run_python(block)
        elif block.language == "console":
            self._type(block)
        else:
            self._look_at(block)

    def close(self) -> None:
        """End the interpreter and whatever still runs in the background."""
        if self._interpreter is not None:
            _end(self._interpreter)
        for process in reversed(self._background):
            _end(process)

    def _save(self, block: Block) -> None:
        path = self._folder / block.directive.removeprefix("file:").strip()
        assert path.resolve().is_relative_to(self._folder.resolve()), f"{block.place}: outside the folder"
        if block.language == "python":
            compile(block.text, block.place, "exec")
        else:
            self._look_at(block)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)

    def _run_python(self, block: Block) -> None:
        if self._interpreter is None:
            self._interpreter = subprocess.Popen(
                [sys.executable, "-c", INTERPRETER],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        pipe_in, pipe_out = self._interpreter.stdin, self._interpreter.stdout
        assert pipe_in is not None
        assert pipe_out is not None
        pipe_in.write(json.dumps({"text": block.text, "name": f"<{block.place}>"}) + "\n")
        pipe_in.flush()
        line = pipe_out.readline()
        assert line, f"{block.place}: the interpreter ended"
        answer = json.loads(line)
        assert answer["failure"] is None, f"{block.place}: {answer['failure']}\n{answer['shown']}"
        self._last_output = answer["shown"]

    def _type(self, block: Block) -> None:
        for command, shown in _commands(block):
            word, _, rest = command.partition(" ")
            if word == "cd":
                self._folder = self._folder / rest
            elif word == "export":
                name, _, value = rest.partition("=")
                self._environment[name] = value.strip("'\"")
            elif command.startswith(ONLY_CHECKED):
                _check_make(command, block)
            elif command.endswith("&"):
                self._start(command.removesuffix("&").strip(), shown, block)
            else:
                self._run_command(command, shown, block)

    def _run_command(self, command: str, shown: str, block: Block) -> None:
        run = subprocess.run(
            ["bash", "-c", command],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        may_fail = any(line.startswith("error:") for line in shown.splitlines())
        assert (run.returncode != 0) == may_fail, (
            f"{block.place}: `{command}` ended with {run.returncode}:\n{run.stdout}"
        )
        self._compare(command, shown, run.stdout, block)

    def _start(self, command: str, shown: str, block: Block) -> None:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._background.append(process)
        assert process.stdout is not None
        seen = ""
        for line in process.stdout:
            seen += line
            if missing_line(shown, seen) is None:
                break
        self._compare(command, shown, seen, block)
        threading.Thread(target=process.stdout.read, daemon=True).start()

    def _look_at(self, block: Block) -> None:
        if block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "json":
            json.loads(block.text)
        else:
            assert block.language in FOR_LOOKING, (
                f"{block.place}: what language is {block.language!r}? It must be run, parsed or be text"
            )
            if block.directive == "output":
                self._compare("the block before", block.text, self._last_output, block)

    @staticmethod
    def _compare(what: str, shown: str, real: str, block: Block) -> None:
        line = missing_line(shown, real)
        assert line is None, f"{block.place}: {what} does not print {line!r}; it prints:\n{real}"


def _matches(shown: str, real: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in re.split(r"…|\.\.\.", shown))
    return re.fullmatch(pattern, real.strip()) is not None


def _commands(block: Block) -> Iterator[tuple[str, str]]:
    """Yield each command of a console block with the output shown below it."""
    text = block.text.replace("\\\n", " ")
    assert text.startswith("$ "), f"{block.place}: a console block begins with a command"
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield re.sub(r"\s+", " ", command.partition("  #")[0]).strip(), shown


def _check_make(command: str, block: Block) -> None:
    """A command that is not run here names at least a target that exists."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    if command.startswith("make "):
        words = {word for word in shlex.split(command)[1:] if "=" not in word}
        assert words <= targets, f"{block.place}: make has no {sorted(words - targets)}"
    elif command.startswith(".ci/run"):
        assert os.access(ROOT / ".ci" / "run", os.X_OK), f"{block.place}: .ci/run cannot be run"


def _environment() -> dict[str, str]:
    """Return the environment of a new reader: our commands first in PATH, no settings of ours."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("ALTAR_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    assert shutil.which("bash", path=path), "the console blocks need bash"
    return ours | {"PATH": path, "NO_COLOR": "1", "COLUMNS": "110", "PYTHONUNBUFFERED": "1"}


def _end(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    elif process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
