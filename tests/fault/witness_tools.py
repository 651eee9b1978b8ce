"""Two tools that testify: each run is written down, durably, before anything is answered.

The file is named by the environment variable ``FAULT_RAN``; a line is ``key attempt pid``.
"""

from __future__ import annotations

import os
import threading
import zlib

import altar


@altar.tool(idempotent=True)
def again(key: str, attempt: int) -> dict[str, str | int]:
    """Write down that it ran; may be run again."""
    return _testify(key, attempt)


@altar.tool
def once(key: str, attempt: int) -> dict[str, str | int]:
    """Write down that it ran; must not be run again."""
    return _testify(key, attempt)


def _testify(key: str, attempt: int) -> dict[str, str | int]:
    file = os.open(os.environ["FAULT_RAN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"{key} {attempt} {os.getpid()}\n".encode())
        os.fsync(file)
    finally:
        os.close(file)
    # Up to 30 ms between the deed and its answer, different for each key: that is where a kill hurts most.
    threading.Event().wait(zlib.crc32(key.encode()) % 31 / 1000)
    return {"attempt": attempt, "key": key, "pid": os.getpid()}
