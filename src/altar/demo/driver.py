"""The demo: runs the application in its own process, then on a grid, then through a crash, and proves the record.

Everything runs as a process of its own, started as a person would start it: `altar up`, the application,
`altar audit verify`.
All of them are tied to this process and leave with it, however it ends.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from altar.adm.canonical import canonical, digest
from altar.adm.errors import ConfigurationError, ExecutionError
from altar.demo.account import Account, Added, Crash, Flip, Run, Verified

__all__ = ["STEPS", "Watcher", "run"]

APPLICATION = "altar.demo.package_audit"
MEASURE = "altar.demo.added_time"
TIED = "altar.demo.tied"
ROUNDS = 6
"""How many audits run at the same time when a runtime is killed."""

STRICT = {"ALTAR_HOST_STRICT_INTENTS": "true"}
"""The tools only read; what was in flight at the crash stands in the log all the same, before it runs."""

STEPS = (
    "LATER: the application in its own process",
    "LATER: what a session adds to one call",
    "GRID: certificates, a host, two runtimes",
    "GRID: the same application",
    "GRID: what the grid adds to one call",
    "GRID: one runtime is killed",
    "verify the audit log",
    "flip one bit of a copy",
)


class Watcher(Protocol):
    """Who is told how far the demo is."""

    def step(self, title: str) -> None:
        """A step begins; it is one of `STEPS`."""
        ...

    def progress(self, done: int, total: int) -> None:
        """So many calls of this step are done."""
        ...


def run(*, watcher: Watcher, keep: bool = False) -> Account:
    """Run the whole demo and return its account; its directory is removed unless it is to be kept.

    Raises AltarError when a process fails; a promise that was not kept is told in the account.
    """
    began = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="altar-demo-"))
    try:
        return _Demo(directory, watcher).run(began=began, keep=keep)
    finally:
        if not keep:
            shutil.rmtree(directory)


class _Demo:
    def __init__(self, directory: Path, watcher: Watcher) -> None:
        self._directory = directory
        self._watcher = watcher
        self._steps = iter(STEPS)
        self._ledger = directory / ".altar" / "host" / "ledger.db"
        self._vkey = directory / ".altar" / "keys" / "ledger.vkey"

    def run(self, *, began: float, keep: bool) -> Account:
        """The steps, in order."""
        _require_no_settings(self._directory)
        self._next()
        later, report = self._audit("later:")
        self._next()
        added_later = self._added("later:", calls=2000)
        self._next()
        with self._grid() as grid:
            tls = self._tls(grid["source"])
            self._next()
            on_grid, _ = self._audit(grid["source"])
            self._next()
            added_grid = self._added(grid["source"], calls=200)
            self._next()
            victim = grid["runtimes"][0]
            crashed, _ = self._audit(grid["source"], rounds=ROUNDS, victim=victim["pid"], usual=later.calls)
        crash = self._crash(victim, crashed)
        self._next()
        verified = self._verified()
        self._next()
        flip = self._flip()
        return Account(
            summary=report["summary"],
            tls=tls,
            later=later,
            grid=on_grid,
            added_later=added_later,
            added_grid=added_grid,
            crash=crash,
            verified=verified,
            flip=flip,
            seconds=time.monotonic() - began,
            directory=str(self._directory) if keep else None,
        )

    def _next(self) -> None:
        self._watcher.step(next(self._steps))

    # ------------------------------------------------------------------------------------------------- application

    def _audit(
        self, source: str, *, rounds: int = 1, victim: int | None = None, usual: int = 0
    ) -> tuple[Run, dict[str, Any]]:
        """Run the application; kill the process `victim` when a third of its calls are answered.

        `usual` is how many calls one audit makes, known from an earlier one.
        """
        arguments = ("--json", "--progress", "--rounds", str(rounds))
        with tempfile.TemporaryFile() as out:
            process = self._start(TIED, APPLICATION, *arguments, source=source, stdout=out, stderr=subprocess.PIPE)
            with _ended(process):
                words = []
                for line in process.stderr or ():
                    if not line.startswith(b"{"):
                        words.append(line.decode("utf-8", "replace"))
                        continue
                    far = json.loads(line)
                    self._watcher.progress(far["done"], max(far["total"], rounds * usual))
                    if victim is not None and 3 * far["done"] >= rounds * usual:
                        os.kill(victim, signal.SIGKILL)
                        victim = None
                code = process.wait()
            out.seek(0)
            if code != 0:
                raise _failed(APPLICATION, code, "".join(words))
            answer = json.load(out)
        report = answer["report"]
        ran = Run(source, answer["calls"], answer["seconds"], digest(canonical(report)))
        return ran, report

    def _added(self, source: str, *, calls: int) -> Added:
        return Added(**self._answer(MEASURE, "--calls", str(calls), source=source))

    # -------------------------------------------------------------------------------------------------------- grid

    @contextmanager
    def _grid(self) -> Iterator[dict[str, Any]]:
        """A host and two runtimes for the time of the block; what `altar up` says of them comes out."""
        arguments = ("up", APPLICATION, "--listen", "127.0.0.1:0", "--runtimes", "2", "--tied")
        with tempfile.TemporaryFile() as words:
            process = self._start("altar", *arguments, stdout=subprocess.PIPE, stderr=words)
            with _ended(process):
                line = process.stdout.readline() if process.stdout is not None else b""
                if not line:
                    words.seek(0)
                    raise _failed("altar up", process.wait(), words.read().decode("utf-8", "replace"))
                yield json.loads(line)
                process.send_signal(signal.SIGTERM)
                code = process.wait(timeout=60)
                if code != 0:
                    words.seek(0)
                    raise _failed("altar up", code, words.read().decode("utf-8", "replace"))

    def _tls(self, source: str) -> str:
        doctor = self._answer("altar", "doctor", "--json", source=source)
        return next(str(one["message"]) for one in doctor["findings"] if one["check"] == "host")

    def _crash(self, victim: dict[str, Any], run: Run) -> Crash:
        rows = self._answer("altar", "audit", "list", "--json", "--data", str(self._ledger.parent))
        lost = min(
            row["seq"] for row in rows if (row.get("event"), row.get("subject")) == ("runtime.detached", victim["name"])
        )
        calls = [row for row in rows if row["kind"] == "call"]
        open_then = sum(call["seq"] < lost < call.get("outcome_seq", sys.maxsize) for call in calls)
        again = sum(call.get("attempts", 0) > 1 for call in calls)
        return Crash(victim["name"], victim["pid"], ROUNDS, run, open_then, again)

    # ------------------------------------------------------------------------------------------------------- proof

    def _verified(self) -> Verified:
        report = self._verify(self._ledger)
        return Verified(report["ok"], report["entries"], report["statement"])

    def _flip(self) -> Flip:
        copy = self._directory / "copy.db"
        shutil.copyfile(self._ledger, copy)
        entry, offset = _place_in_an_entry(copy)
        with copy.open("r+b") as file:
            file.seek(offset)
            (byte,) = file.read(1)
            file.seek(offset)
            file.write(bytes([byte ^ 1 << random.randrange(8)]))  # noqa: S311 - any bit will do
        report = self._verify(copy)
        findings = tuple(f"{one['where']}: {one['what']}" for one in report["findings"])
        named = any(one["seq"] == entry for one in report["findings"])
        return Flip(offset, entry, report["ok"], findings, named)

    def _verify(self, path: Path) -> dict[str, Any]:
        # Exit code 1 is the verifier's way to say that something is damaged.
        report = self._answer(
            "altar", "audit", "verify", str(path), "--vkey-file", str(self._vkey), "--json", good=(0, 1)
        )
        if not isinstance(report, dict) or "findings" not in report:
            raise _failed("altar audit verify", 1, str(report))
        return report

    # --------------------------------------------------------------------------------------------------- processes

    def _answer(self, module: str, *arguments: str, source: str = "later:", good: Sequence[int] = (0,)) -> Any:
        """Run a module to its end and read the one JSON value that it prints."""
        with tempfile.TemporaryFile() as words:
            process = self._start(TIED, module, *arguments, source=source, stdout=subprocess.PIPE, stderr=words)
            with _ended(process):
                out = process.stdout.read() if process.stdout is not None else b""
                code = process.wait()
            if code not in good:
                words.seek(0)
                said = (words.read() or out).decode("utf-8", "replace")
                raise _failed(" ".join((module, *arguments[:2])), code, said)
        return json.loads(out)

    def _start(
        self, module: str, *arguments: str, source: str = "later:", stdout: Any, stderr: Any
    ) -> subprocess.Popen[bytes]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("ALTAR_")}
        return subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments],
            cwd=self._directory,
            env=environ | {"ALTAR_SOURCE": source, **STRICT},
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )


@contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """See to it that the process has ended after the block, whatever happened in it."""
    try:
        yield
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def _require_no_settings(directory: Path) -> None:
    for above in directory.parents:
        if (above / "altar.toml").is_file():
            raise ConfigurationError(
                "INVALID_CONFIG",
                f"{str(above / 'altar.toml')!r} would be taken for the settings of the demo",
                hint="set TMPDIR to a directory that has no altar.toml above it",
            )


def _place_in_an_entry(database: Path) -> tuple[int, int]:
    """A random entry of the log, and the place in the file of a random byte of its body."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro&immutable=1", uri=True)) as db:
        rows = db.execute("SELECT seq, body FROM entries").fetchall()
    content = database.read_bytes()
    random.shuffle(rows)
    for seq, body in rows:
        if content.count(body) == 1:  # SQLite may have left an older image of a page elsewhere
            return int(seq), content.index(body) + random.randrange(len(body))  # noqa: S311 - any byte will do
    raise ExecutionError("DATA_PROCESSING_ERROR", "No entry of the audit log was found in its file")


def _failed(what: str, code: int, words: str) -> ExecutionError:
    lines = [line for line in words.splitlines() if line.strip()]
    said = next((line for line in reversed(lines) if line.startswith("error:")), lines[-1] if lines else "nothing")
    return ExecutionError(
        "DEPENDENCY_UNAVAILABLE",
        f"`{what}` ended with exit code {code} and said: {said.removeprefix('error:').strip()}",
        hint="`altar doctor` checks this machine; `altar demo --keep` keeps the logs",
        ran="yes",
    )
