"""The names of worker processes: several processes that share the certificate of one runtime.

Each is a runtime of its own to the host: it has its own connection, its own epoch and its own id.
The id is the name in the certificate, a slash and the number of the worker: ``py-1/2``.
No certificate can hold a slash in its name, so an id of one runtime never means another one.
"""

from __future__ import annotations

import re

__all__ = ["MAX_WORKERS", "may_announce", "worker_id"]

MAX_WORKERS = 64
"""Most workers of one runtime, so that one certificate cannot fill a host with connections."""

_NUMBER = re.compile(r"[1-9][0-9]?")


def worker_id(runtime_id: str, *, number: int) -> str:
    """The id of a worker, counted from 1; number 0 is a runtime that has no workers, and is the runtime's own id."""
    return f"{runtime_id}/{number}" if number else runtime_id


def may_announce(runtime_id: str, *, certificate: str) -> bool:
    """Whether the holder of a certificate may call itself so: by the name in it, or as a worker of that name."""
    name, slash, number = runtime_id.partition("/")
    if name != certificate:
        return False
    return not slash or (_NUMBER.fullmatch(number) is not None and int(number) <= MAX_WORKERS)
