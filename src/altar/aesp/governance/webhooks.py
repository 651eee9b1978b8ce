"""The alarm of a break-glass: a webhook that is taken before anything opens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from altar.adm.errors import AltarError, ExecutionError
from altar.aesp.audit.sinks.webhook import message_id

if TYPE_CHECKING:
    from altar.aesp.audit.sinks.webhook import WebhookSink

__all__ = ["WebhookAlarm"]


class WebhookAlarm:
    """Sounds an alarm at every webhook that hears of break-glasses; one that takes it is enough."""

    def __init__(self, sinks: Iterable[WebhookSink], *, now: Callable[[], float]) -> None:
        self._sinks = tuple(sinks)
        self._now = now

    async def sound(self, facts: Mapping[str, str | int]) -> None:
        """Return when one receiver has taken it; raises DEPENDENCY_UNAVAILABLE when there is none, or none did."""
        if not self._sinks:
            raise _unheard("no receiver of alarms is configured")
        name = message_id(f"{facts.get('break_glass')}/opening")
        sent = await asyncio.gather(
            *(
                sink.post(name, "breakglass.opening", time_ms=int(self._now() * 1000), data=facts)
                for sink in self._sinks
            ),
            return_exceptions=True,
        )
        if all(isinstance(one, BaseException) for one in sent):
            raise _unheard("; ".join(str(one) for one in sent))


def _unheard(why: str) -> AltarError:
    return ExecutionError(
        "DEPENDENCY_UNAVAILABLE",
        "The alarm has reached nobody, so the break-glass stays closed",
        ran="no",
        hint='configure a sink of kind "webhook" that gets the events "breakglass.*", and see that it answers',
        detail=why[:500],
    )
