"""Sign-ins that a browser is under way with: what their answer or code is good for, kept in the store for some minutes.

Whoever can reach the host can begin one, so they are bounded, and at the bound it is they who began most that lose
their oldest: nobody else's sign-in ends by it.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from altar.aesp.identity.lockout import network_of

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

    from altar.aesp.store.database import Store

__all__ = ["MOST_OF_ONE", "MOST_UNDER_WAY", "BrowserSignIns"]

MOST_OF_ONE = 100
"""How many sign-ins one network may have under way; beyond that its oldest ends."""
MOST_UNDER_WAY = 10_000
"""How many a tenant may have under way; beyond that the oldest ends of the network that has most."""
_TAG = 16


class BrowserSignIns:
    """Data under words that are told once, for one provider of a tenant; ``now`` is in seconds since 1970."""

    def __init__(self, store: Store, *, tenant: str, provider: str, now: Callable[[], float]) -> None:
        self._store = store
        self._tenant = tenant
        self._provider = provider
        self._now = now

    def word_of(self, address: str) -> str:
        """Give a new word for whoever asks from a network address, and is not known yet."""
        tag = hashlib.sha256(network_of(address).encode()).hexdigest()[:_TAG]
        return f"{tag}.{secrets.token_urlsafe(32)}"

    async def keep(self, word: str, data: Mapping[str, Any], *, seconds: int) -> None:
        """Keep data under a word of `word_of`, or another one for somebody who has been proved to be who they are."""
        await self._store.run(
            lambda connection: self._keep(connection, word, data, seconds=seconds), tenant=self._tenant
        )

    async def take(self, word: str) -> dict[str, Any] | None:
        """Give what was kept under a word, once; None when it was taken, is over or never was."""
        from sqlalchemy import delete, select

        from altar.aesp.store.tables import browser_sign_ins as table

        now_ms = int(self._now() * 1000)

        def work(connection: Connection) -> str | None:
            mine = (table.c.tenant == self._tenant) & (table.c.id == _id(word)) & (table.c.provider == self._provider)
            row = connection.execute(select(table).where(mine)).one_or_none()
            gone = connection.execute(delete(table).where(mine))
            return None if row is None or gone.rowcount != 1 or row.expires_ms <= now_ms else str(row.data)

        text = await self._store.run(work, tenant=self._tenant)
        found: dict[str, Any] | None = None if text is None else json.loads(text)
        return found

    def _keep(self, connection: Connection, word: str, data: Mapping[str, Any], *, seconds: int) -> None:
        """Write a row; what is over goes on this occasion, and what is too much."""
        from sqlalchemy import delete, insert

        from altar.aesp.store.tables import browser_sign_ins as table

        now_ms = int(self._now() * 1000)
        connection.execute(delete(table).where(table.c.tenant == self._tenant, table.c.expires_ms <= now_ms))
        if tag := _tag_of(word):
            self._make_room(connection, tag)
        row = {"tenant": self._tenant, "id": _id(word), "provider": self._provider, "data": json.dumps(dict(data))}
        connection.execute(insert(table).values(**row, expires_ms=now_ms + seconds * 1000))

    def _make_room(self, connection: Connection, tag: str) -> None:
        from sqlalchemy import func, select

        from altar.aesp.store.tables import browser_sign_ins as table

        ours = table.c.tenant == self._tenant
        count = select(func.count()).select_from(table)
        while connection.execute(count.where(ours, _of(tag))).scalar_one() >= MOST_OF_ONE:
            self._end_oldest(connection, tag)
        while connection.execute(count.where(ours)).scalar_one() >= MOST_UNDER_WAY:
            whose = func.substr(table.c.id, 1, _TAG)
            most = select(whose).where(ours, table.c.id.like("%.%")).group_by(whose).order_by(func.count().desc())
            found = connection.execute(most.limit(1)).scalar_one_or_none()
            if found is None:  # all that is under way has been proved
                return
            self._end_oldest(connection, found)

    def _end_oldest(self, connection: Connection, tag: str) -> None:
        from sqlalchemy import delete, select

        from altar.aesp.store.tables import browser_sign_ins as table

        ours = table.c.tenant == self._tenant
        oldest = select(table.c.id).where(ours, _of(tag)).order_by(table.c.expires_ms).limit(1)
        connection.execute(delete(table).where(ours, table.c.id == oldest.scalar_subquery()))


def _of(tag: str) -> ColumnElement[bool]:
    from altar.aesp.store.tables import browser_sign_ins as table

    return (table.c.id >= f"{tag}.") & (table.c.id < f"{tag}/")  # "/" follows "."


def _id(word: str) -> str:
    """The id of a word's row: its digest, behind the tag of the network that it was given to."""
    digest, tag = hashlib.sha256(word.encode()).hexdigest(), _tag_of(word)
    return f"{tag}.{digest}" if tag else digest


def _tag_of(word: str) -> str:
    tag, dot, _ = word.partition(".")
    return tag if dot and len(tag) == _TAG else ""
