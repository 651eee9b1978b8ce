"""The program of a process that serves one language model on loopback: ``python -m altar.ai.lm.server``.

Its first line on standard input is JSON that says what to load; its only line on standard output is JSON with the
address, or with what went wrong. It ends when standard input does, so that it never outlives who started it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from altar.adm.errors import AltarError
from altar.ai.lm.local_model import LocalModel
from altar.ai.lm.openai_front import ChatServer

__all__ = ["main"]


def main() -> int:
    """Serve until standard input ends; returns the exit code."""
    out = os.dup(1)
    os.dup2(2, 1)  # whatever the runner prints does not belong on the line to who started this
    asked = json.loads(sys.stdin.buffer.readline())
    try:
        model = LocalModel(
            Path(asked["path"]),
            name=asked["name"],
            context=asked["context"],
            parallel=asked["parallel"],
            threads=asked["threads"],
        )
        server = ChatServer(model, port=asked["port"], api_key=asked["api_key"])
    except AltarError as error:
        _tell(out, {"code": error.code, "message": error.message, "hint": error.hint})
        return 1
    except OSError as error:
        _tell(out, {"code": "INVALID_CONFIG", "message": f"Port {asked['port']} cannot be used: {error.strerror}"})
        return 1
    with server:
        _tell(out, {"base_url": server.base_url})
        ended = threading.Event()
        threading.Thread(target=_wait_for_end, args=(ended,), daemon=True).start()
        ended.wait()
    return 0


def _wait_for_end(ended: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    ended.set()


def _tell(out: int, facts: dict[str, Any]) -> None:
    os.write(out, json.dumps(facts).encode() + b"\n")


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # the runner's own threads have nothing to finish
