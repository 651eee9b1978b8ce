"""Which variables a session has, and how they are asked for: in this process, or by its source."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from altar.adm.errors import ConfigurationError
from altar.later.app_records import no_record, record_event
from altar.later.live import not_open
from altar.later.portal import portal
from altar.later.variables import LocalVariables, SyncVariables, Variables, VariableSource, at_once

if TYPE_CHECKING:
    from altar.later.asking import Asker

__all__ = ["end_variables", "record", "sync_variables_of", "variable_source", "variables_of"]


def variable_source(asker: Asker) -> VariableSource:
    """Where the variables of the session are kept.

    Raises INVALID_SESSION when it is not open, FEATURE_UNAVAILABLE when its source keeps none.
    """
    live = asker.live
    if live.closed:
        raise not_open("This session is not open", hint="use variables inside of `with altar.session(...) as s:`")
    if asker.tools is not None:
        if live.variables is None:
            live.variables = LocalVariables(asker.tools, session_id=live.names.session)
        return live.variables
    if live.source is None:
        raise not_open("This session is not open", hint="use variables inside of `with altar.session(...) as s:`")
    if not isinstance(live.source, VariableSource):
        raise ConfigurationError(
            "FEATURE_UNAVAILABLE",
            f"The source {asker.options.source!r} keeps no variables",
            ran="no",
            hint="use 'later:' or 'grid://host:port'",
        )
    return live.source


def variables_of(asker: Asker, *, guard: Callable[[], None]) -> Variables:
    """The variables of the session, for code that awaits; ``guard`` raises where it cannot be used."""
    source = variable_source(asker)

    def usable() -> None:
        guard()
        if asker.live.closed:
            raise not_open("This session is not open", hint="open another one: its variables ended with it")

    options = asker.options
    limit = options.timeout if options.timeout is not None else options.default_timeout
    return Variables(source, timeout=limit.total_seconds(), guard=usable)


def sync_variables_of(asker: Asker) -> SyncVariables:
    """The variables of the session, for code that does not await: no thread is started to ask in this process."""
    variables = variables_of(asker, guard=asker.live.require_process)
    run = at_once if asker.tools is not None else portal().run
    return SyncVariables(variables, run=run, wait=lambda waiting: portal().run(waiting))


async def record(asker: Asker, event: str, data: Mapping[str, Any] | None) -> None:
    """Put an event of the application into the record of the session's host.

    Raises INVALID_SESSION when the session is not open, FEATURE_UNAVAILABLE where nothing is recorded.
    """
    parent = asker.parent
    correlation = parent.correlation_id if parent is not None else ""
    asked = record_event(event, data, id=uuid.uuid4().hex, correlation=correlation)
    if asker.tools is not None:
        raise no_record()
    await variables_of(asker, guard=_anywhere).record(asked)


def end_variables(asker: Asker) -> None:
    """The session is over, and the watches of its variables with it."""
    if asker.live.variables is not None:
        asker.live.variables.close()


def _anywhere() -> None:
    """Where it is used has been looked at already."""
