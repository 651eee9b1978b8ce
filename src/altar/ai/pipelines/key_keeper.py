"""Which host knows the idempotency keys of a run: the one at an address that has had the session of the calls.

An address alone says little: another host, or one that was started with an empty log, may answer there, and would run
what it is asked for under a key that it does not know.
A host keeps its sessions beside its log, and their ids are chosen at random.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from altar.adm.errors import AltarError
from altar.later.source import GatedSource, SessionSource

if TYPE_CHECKING:
    from altar.later.session import Session

__all__ = ["is_kept_for", "keeper_of"]

_UNKNOWN = frozenset({"INVALID_SESSION", "FEATURE_UNAVAILABLE"})


def keeper_of(session: Session) -> str:
    """The host that keeps keys for the calls of a session, and that session; empty where nobody outlives the process.

    A session that runs tools here by the word of a host has none: its keys would send every call to the host.
    """
    source: object = session.asker.live.source
    if session.asker.tools is not None or isinstance(source, GatedSource) or not isinstance(source, SessionSource):
        return ""
    return f"{_address(session)} {source.session_id}"


async def is_kept_for(session: Session, keeper: str) -> bool:
    """Whether the host of a session is that ``keeper``, which may have been started anew with its log meanwhile.

    Raises what keeps it from answering.
    """
    address, _, session_id = keeper.partition(" ")
    source: object = session.asker.live.source
    if not session_id or address != _address(session) or not isinstance(source, SessionSource):
        return False
    try:
        await source.described(session_id)
    except AltarError as gone:
        if gone.code in _UNKNOWN:
            return False
        if gone.code != "SESSION_EXPIRED":
            raise
    return True


def _address(session: Session) -> str:
    return session.asker.options.source
