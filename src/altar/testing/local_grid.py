"""A real grid on this machine for tests: a host and runtimes as processes of their own.

They speak mutual TLS on loopback, with certificates made on the spot.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from altar.testing.waiting import PATIENCE, until

if TYPE_CHECKING:
    from altar.grid.trust.certificates import CertificateFiles, Role
    from altar.later.gate import Gate
    from altar.later.session import Session
    from altar.ledger.places import Place

__all__ = ["GridProcess", "LocalGrid"]


class GridProcess:
    """One ``altar`` process that announces itself in JSON on stdout and is tied to us by its stdin."""

    def __init__(self, arguments: Sequence[str], *, environ: Mapping[str, str], at: Path, log: Path) -> None:
        self.log_file = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _ALTAR, *arguments, "--tied"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=at,
                env=dict(environ),
            )
        self.announced: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has written to stderr."""
        return self.log_file.read_text(errors="replace")

    def ready(self, times: int = 1) -> dict[str, Any]:
        """Wait for its announcement, or for the ``times``-th one, and return it.

        Raises RuntimeError with its log when it ended instead.
        """
        try:
            until(
                lambda: len(self.announced) >= times or not self._reader.is_alive(),
                what=f"announcement of process {self.pid}",
            )
        except TimeoutError as silent:
            silent.add_note(self.log)
            raise
        if len(self.announced) < times:
            raise RuntimeError(f"the process ended with {self.wait()} before it was ready:\n{self.log}")
        return self.announced[times - 1]

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Tell it to leave, let it go on if it was stopped, and wait for its end."""
        if self.alive:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end; its exit code, negative for a signal. A process that does not end is killed."""
        try:
            return self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        finally:
            self._reader.join(PATIENCE)
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()

    def _read(self) -> None:
        stdout = self._process.stdout
        for line in stdout or ():
            self.announced.append(json.loads(line))


class LocalGrid:
    """A host and runtimes on this machine, as processes of their own, for as long as the context lasts.

    ``modules`` are the modules or ``.py`` files that declare the tools, as for ``altar runtime --tools``.
    ``settings`` are settings of the processes by their dotted names, such as ``{"host.heartbeat": 0.2}``.
    ``runtimes`` is how many there are; they are called ``runtime-1``, ``runtime-2`` and so on.
    Everything it makes is in ``directory``, a temporary one that is removed at the end unless given.
    """

    def __init__(
        self,
        modules: Sequence[str],
        *,
        runtimes: int = 2,
        directory: Path | None = None,
        settings: Mapping[str, object] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="altar-grid-") if directory is None else None
        self.directory = directory or Path(self._temporary.name if self._temporary else "")
        self._modules = [str(Path(name).resolve()) if name.endswith(".py") else name for name in modules]
        self._count = runtimes
        self._settings = dict(settings or {})
        self._environ = {name: value for name, value in os.environ.items() if not name.startswith("ALTAR_")}
        self._environ |= {"NO_COLOR": "1", "PYTHONPATH": os.pathsep.join(filter(None, map(str, sys.path)))}
        self._environ |= environ or {}
        self.port = 0
        self.vkey = ""
        self.host: GridProcess | None = None
        self.runtimes: dict[int, GridProcess] = {}
        self._replaced: list[GridProcess] = []

    # --------------------------------------------------------------------------------------------- start and stop

    def __enter__(self) -> Self:
        self.prepare()
        try:
            self.start_host()
            for number in range(1, self._count + 1):
                self.start_runtime(number, wait=False)
            for runtime in self.runtimes.values():
                runtime.ready()
        except BaseException:
            self.stop(signal.SIGKILL)
            self._clean()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            self._clean()

    def prepare(self) -> None:
        """Make certificates, signing keys and the manifest."""
        from altar.grid.trust.authority import Authority
        from altar.ledger.signer import FileSigner

        self.authority = Authority.create(self.directory / "authority")
        self._host_files = self.certificate("host", "host-1")
        self.client = self.certificate("client", "client-1")
        (self.directory / "keys").mkdir(exist_ok=True)
        FileSigner.create(self.directory / "keys/ledger.pem", name="altar.local/host-1")
        self.manifest_signer = FileSigner.create(self.directory / "keys/manifest.pem", name="altar.local/manifest")
        (self.directory / "keys/manifest.vkey").write_text(self.manifest_signer.vkey + "\n")
        self.manifest = self.directory / "manifest.json"
        self.signed_manifest = self.directory / "manifest.signed.json"
        self.altar("manifest", "build", *self._modules, "-o", str(self.manifest))

    def sign_manifest(self, *, lifetime: timedelta = timedelta(days=1)) -> Path:
        """Sign the manifest as it is, with the next version where it has changed; a running host takes it up.

        It holds for ``lifetime``.
        """
        from altar.grid.manifests.manifest_statement import sign_file

        sign_file(self.manifest, self.signed_manifest, self.manifest_signer, lifetime=lifetime)
        return self.signed_manifest

    def start_host(self) -> GridProcess:
        """Start the host and wait until it listens; a second start takes the same port.

        The manifest is signed first, where it has changed.
        """
        self.sign_manifest()
        given = {
            "host.listen": f"127.0.0.1:{self.port}",
            "host.name": "host-1",
            "host.data": self.directory / "data",
            "host.manifest": self.signed_manifest,
            "host.manifest_keys": self.directory / "keys/manifest.vkey",
            "host.signing_key": self.directory / "keys/ledger.pem",
            **_tls("host.tls", self._host_files),
            **self._settings,
        }
        self.host = self._start(["host"], given, log="host.log")
        facts = self.host.ready()
        self.port, self.vkey = facts["port"], facts["vkey"]
        return self.host

    def start_runtime(
        self,
        number: int,
        *,
        name: str = "",
        modules: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        settings: Mapping[str, object] | None = None,
        wait: bool = True,
    ) -> GridProcess:
        """Start a runtime, which replaces the one of the same number in ``runtimes``; the old one is let be.

        ``name`` is ``runtime-<number>`` unless given; ``modules`` are those of the grid unless given; ``labels`` say
        where it stands and what it has; ``settings`` go before those of the grid.
        """
        runtime_id = name or f"runtime-{number}"
        files = self.certificate("runtime", runtime_id)
        given = {
            "runtime.connect": f"127.0.0.1:{self.port}",
            "runtime.runtime_id": runtime_id,
            **_tls("runtime.tls", files),
            **self._settings,
            **(settings or {}),
        }
        named = [word for module in modules or self._modules for word in ("--tools", module)]
        named += [word for label in (labels or {}).items() for word in ("--label", "=".join(label))]
        older = self.runtimes.get(number)
        if older is not None:
            if older.alive:
                self._replaced.append(older)
            else:
                older.wait()
        process = self._start(["runtime", *named], given, log=f"{runtime_id}.{os.urandom(4).hex()}.log")
        self.runtimes[number] = process
        if wait:
            process.ready()
        return process

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the runtimes, then the host, and wait for each; one that was replaced and is still there is killed."""
        for runtime in self.runtimes.values():
            if runtime.alive:
                runtime.send(number)
        for process in (*self.runtimes.values(), self.host):
            if process is not None:
                process.end(number)
        for replaced in self._replaced:
            replaced.end(signal.SIGKILL)
        self.runtimes, self.host, self._replaced = {}, None, []

    def kill_runtime(self, number: int) -> None:
        """End a runtime with SIGKILL, as a machine that loses power would."""
        self.runtimes.pop(number).end(signal.SIGKILL)

    def restart_host(self, number: signal.Signals = signal.SIGTERM) -> GridProcess:
        """End the host and start it again, on the same port and the same ledger."""
        if self.host is not None:
            self.host.end(number)
        return self.start_host()

    def mend(self) -> None:
        """Start again what has ended: the host, and each of the runtimes that there were at the beginning."""
        if self.host is None or not self.host.alive:
            self.restart_host()
        for number in range(1, self._count + 1):
            runtime = self.runtimes.get(number)
            if runtime is None or not runtime.alive:
                self.start_runtime(number)

    # ----------------------------------------------------------------------------------------------- to work with

    @property
    def source(self) -> str:
        """The address of the host, for ``altar.session(source=…)``."""
        return f"grid://127.0.0.1:{self.port}"

    @property
    def options(self) -> dict[str, Any]:
        """The certificate files of a client, as options of a source."""
        return {"certificate": self.client.certificate, "key": self.client.key, "authority": self.client.authority}

    def session(
        self,
        tools: Sequence[str] = (),
        *,
        timeout: float | None = None,
        options: Mapping[str, Any] | None = None,
        gate: Gate | None = None,
    ) -> Session:
        """A session on this grid, for ``with`` or ``async with``; ``timeout`` in seconds.

        ``gate`` decides and records on the side of the caller, before the host does.
        """
        from altar.later.gate import OpenGate
        from altar.later.options import Options, tools_of
        from altar.later.session import Session

        limit = None if timeout is None else timedelta(seconds=timeout)
        files = options or self.options
        wanted = tools_of(tools)
        return Session(Options(wanted, self.source, timeout=limit, source_options=files, gate=gate or OpenGate()))

    def certificate(self, role: Role, name: str) -> CertificateFiles:
        """Issue a certificate of this grid's authority: ``role`` is host, runtime or client."""
        return self.authority.issue(role, name, self.directory / "certificates")

    def altar(self, *arguments: str, environ: Mapping[str, str] | None = None) -> str:
        """Run an ``altar`` command to its end in the directory of the grid, and return its stdout.

        Raises RuntimeError with what it wrote to stderr when it fails.
        """
        done = subprocess.run(
            [sys.executable, "-c", _ALTAR, *arguments],
            cwd=self.directory,
            env=self._environ | dict(environ or {}),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        if done.returncode != 0:
            raise RuntimeError(f"altar {arguments[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    @property
    def log(self) -> Place:
        """Where the log of the host is: in its directory, or in the database of its settings."""
        from altar.ledger.places import DatabaseLog

        file = self.directory / "data/ledger.db"
        url = str(self._settings.get("database_url", ""))
        if file.exists() or not url.startswith("postgresql:"):
            return file
        return DatabaseLog(url, "altar.local/host-1", file)

    def entries(self) -> list[dict[str, Any]]:
        """Every entry of the log so far, in order; the host may be running."""
        lines = map(json.loads, self.export().read_text().splitlines())
        return [json.loads(line["entry"]) for line in lines if "entry" in line]

    def export(self) -> Path:
        """Write the log to a file that an auditor can verify with ``vkey``; the host may be running."""
        from altar.ledger.export import write_export

        out = self.directory / "log.jsonl"
        with out.open("wb") as file:
            write_export(self.log, file, vkey=self.vkey)
        return out

    def logs(self) -> Iterator[str]:
        """What each process has written to stderr so far."""
        for file in sorted(self.directory.glob("*.log")):
            yield file.read_text(errors="replace")

    def _start(self, command: Sequence[str], given: Mapping[str, object], *, log: str) -> GridProcess:
        wanted = {_variable(key): str(value) for key, value in {**self._settings, **given}.items()}
        return GridProcess(command, environ=self._environ | wanted, at=self.directory, log=self.directory / log)

    def _clean(self) -> None:
        if self._temporary is not None:
            self._temporary.cleanup()


_ALTAR = "import sys; from altar.cli.main import main; sys.exit(main())"
"""The command, run by the interpreter that runs the test."""


def _variable(key: str) -> str:
    return "ALTAR_" + key.upper().replace(".", "_")


def _tls(section: str, files: CertificateFiles) -> dict[str, object]:
    return {
        f"{section}.certificate": files.certificate,
        f"{section}.key": files.key,
        f"{section}.authority": files.authority,
    }
