"""What a session is, seen from outside of its calls: since when it is there, how long it lives, what it may use.

A session of this process answers for itself, one on a grid asks its host, which caps what it extends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from altar.adm.errors import ConfigurationError
from altar.later.live import not_open
from altar.later.options import time_of

if TYPE_CHECKING:
    from altar.later.asking import Asker
    from altar.later.registry import SessionTools

__all__ = ["DescribedSource", "SessionInfo", "describe", "extend"]


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """One session, as it was when it was asked about.

    ``created`` is by the clock of the process that keeps the session, None when that does not know it any more.
    ``ttl`` is how long it lives after each use, ``left`` how long it lives if nobody uses it from now on.
    ``tools`` are names as they were asked for, empty for all there are.
    ``calls`` are those in flight on its host; None in this process, which does not count them.
    ``variables`` is how many it has, ``connections`` how many clients have it open.
    ``labels`` are those of the runtimes it prefers.
    """

    session_id: str
    created: datetime | None
    ttl: timedelta
    left: timedelta
    tools: tuple[str, ...] = ()
    calls: int | None = None
    variables: int = 0
    connections: int = 1
    labels: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class DescribedSource(Protocol):
    """A source that keeps its session somewhere, and can say what it is."""

    async def describe(self) -> SessionInfo:
        """The session of this source."""
        ...

    async def extend(self, ttl: timedelta | None) -> SessionInfo:
        """Let it live for so long from now on; None for as long as it did so far."""
        ...


async def describe(asker: Asker) -> SessionInfo:
    """What the open session of an asker is.

    Raises INVALID_SESSION when it is not open, FEATURE_UNAVAILABLE when its source cannot say.
    """
    tools = _tools(asker)
    return _here(asker, tools) if tools is not None else await _source(asker).describe()


async def extend(asker: Asker, ttl: float | timedelta | None) -> SessionInfo:
    """Let the open session of an asker live for ``ttl`` from now on, and after each use, and say what it is then.

    None leaves the time to live as it is.
    Raises as :func:`describe` does, and INVALID_CONFIG for a time that is negative.
    """
    wanted = time_of(ttl, name="ttl")
    tools = _tools(asker)
    if tools is None:
        return await _source(asker).extend(wanted)
    tools.touch()
    tools.extend(wanted)
    return _here(asker, tools)


def _tools(asker: Asker) -> SessionTools | None:
    """The catalog of a session of this process, None for another one."""
    if asker.live.closed:
        raise not_open("This session is not open", hint=_OPEN)
    return asker.tools


def _here(asker: Asker, tools: SessionTools) -> SessionInfo:
    live = asker.live
    if tools.left <= 0:
        tools.touch()  # which refuses
    return SessionInfo(
        live.names.session,
        live.created,
        tools.ttl,
        timedelta(seconds=tools.left),
        tools=tuple(sorted(asker.options.tools)),
        variables=len(live.variables) if live.variables is not None else 0,
    )


def _source(asker: Asker) -> DescribedSource:
    source = asker.live.source
    if source is None:
        raise not_open("This session is not open", hint=_OPEN)
    if not isinstance(source, DescribedSource):
        raise ConfigurationError(
            "FEATURE_UNAVAILABLE",
            f"The source {asker.options.source!r} does not say what its sessions are",
            ran="no",
            hint="use 'later:' or 'grid://host:port'",
        )
    return source


_OPEN = "ask inside of `with altar.session(...) as s:`"
