"""The quota of entries of a host, joined with its log: read beside the host that writes it, in a thread."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from altar.adm.errors import AltarError
from altar.aesp.audit.opening import open_records
from altar.aesp.quotas import EntryQuota, first_since
from altar.ledger.entry import entry_members

if TYPE_CHECKING:
    from altar.aesp.directory import Directory
    from altar.ledger.ledger import Ledger

__all__ = ["entry_quota"]

_log = logging.getLogger("altar.grid")


def entry_quota(
    ledger: Ledger, directory: Directory, loop: asyncio.AbstractEventLoop, *, now: Callable[[], float]
) -> EntryQuota:
    """The quota of entries for the tenants of a directory, over this ledger; ``now`` is in seconds since 1970."""
    asking: set[asyncio.Future[None]] = set()

    def begun(tenant: str, time_ms: int, then: Callable[[int], None]) -> None:
        def find() -> None:
            try:
                with closing(open_records(ledger.place).reader) as reader:
                    size = next((log.size for log in reader.logs() if log.tenant == tenant), 0)
                    found = first_since(reader, tenant, size, time_ms=time_ms, time_of=_time_of)
            except AltarError as failed:  # what was written today before the start of this host is then not counted
                _log.warning("the entries of today cannot be counted", extra={"tenant": tenant, "code": failed.code})
                return
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(then, found)

        asked = loop.run_in_executor(None, find)
        asking.add(asked)
        asked.add_done_callback(asking.discard)

    return EntryQuota(directory, size_of=ledger.size_of, begun=begun, now=now)


def _time_of(body: bytes) -> int:
    return int(entry_members(body)["time"])
