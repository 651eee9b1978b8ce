"""A witness that others wrote: `litewitness` of filippo.io/torchwood, with its key in an ssh-agent.

``with litewitness(folder, logs={origin: vkey}) as witness`` starts one on loopback that knows these logs.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from altar.testing import PATIENCE, until
from tests.providers.presence import need

__all__ = ["Litewitness", "litewitness"]

PROGRAM = Path(__file__).parents[2] / ".cache/providers/bin/litewitness"
NAME = "witness.test/one"


@dataclass(frozen=True, slots=True)
class Litewitness:
    """A witness that runs: its address, and its verifier key."""

    address: str
    vkey: str
    database: Path


@contextmanager
def litewitness(folder: Path, *, logs: Mapping[str, str]) -> Iterator[Litewitness]:
    """Start a witness below ``folder`` that knows the logs of these origins by these verifier keys."""
    need("litewitness", PROGRAM, shutil.which("ssh-agent") or "ssh-agent", shutil.which("ssh-keygen") or "ssh-keygen")
    folder.mkdir(parents=True)
    key, agent, database = folder / "key", folder / "agent", folder / "witness.db"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    public = base64.b64decode((folder / "key.pub").read_text().split()[1])
    fingerprint = base64.b64encode(hashlib.sha256(public).digest()).decode().rstrip("=")
    port = _free_port()
    arguments = ["-name", NAME, "-db", str(database), "-ssh-agent", str(agent), "-listen", f"127.0.0.1:{port}"]
    with (folder / "log").open("wb") as log:
        keeper = subprocess.Popen(["ssh-agent", "-D", "-a", str(agent)], stdout=log, stderr=log)
        processes = [keeper]
        try:
            until(agent.exists, what="the start of ssh-agent")
            subprocess.run(["ssh-add", "-q", str(key)], check=True, env={"SSH_AUTH_SOCK": str(agent)})
            command = [str(PROGRAM), *arguments, "-key", f"SHA256:{fingerprint}"]
            processes.append(subprocess.Popen(command, stdout=log, stderr=log))
            until(lambda: _answers(port), what="the start of litewitness")
            _teach(database, logs)
            raw = b"\x04" + public[-32:]
            key_id = hashlib.sha256(NAME.encode() + b"\n" + raw).digest()[:4].hex()
            yield Litewitness(f"http://127.0.0.1:{port}", f"{NAME}+{key_id}+{base64.b64encode(raw).decode()}", database)
        finally:
            for process in reversed(processes):
                process.send_signal(signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(PATIENCE)


def _teach(database: Path, logs: Mapping[str, str]) -> None:
    """Make logs known; what `witnessctl add-log` and `add-key` write."""
    empty = base64.b64encode(hashlib.sha256(b"").digest()).decode()
    with closing(sqlite3.connect(database, timeout=PATIENCE, isolation_level=None)) as db:
        for origin, vkey in logs.items():
            db.execute("INSERT INTO log (origin, tree_size, tree_hash) VALUES (?, 0, ?)", (origin, empty))
            db.execute("INSERT INTO key (origin, key) VALUES (?, ?)", (origin, vkey))


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])
