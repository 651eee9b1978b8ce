"""Events of applications in the record of a host: checked, redacted, allowed, committed, and then acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from altar.later.app_records import RecordEvent, require_event
from altar.ledger.entry import Entry, Event

if TYPE_CHECKING:
    from altar.adm.errors import AltarError
    from altar.grid.host.sessions import HostSession
    from altar.later.variables import Then
    from altar.ledger.ledger import Then as Durable

__all__ = ["AppRecords"]


class AppRecords:
    """Puts what applications record into the log of their session's tenant. For one thread, the host's loop.

    ``commit`` records entries and says when they are durable.
    ``redact`` are further words that mean a secret.
    ``allow`` raises when the session's principal may not record; None lets everybody who has a session.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Entry], Durable], None],
        *,
        redact: Sequence[str] = (),
    ) -> None:
        self._commit = commit
        self.redact = tuple(redact)
        self.allow: Callable[[HostSession], None] | None = None

    def record(self, session: HostSession, asked: RecordEvent, then: Then) -> None:
        """Commit one event; ``then`` is called when it is durable, with nothing, or with why it is not.

        Raises what refuses it: MALFORMED_REQUEST, MESSAGE_TOO_LARGE, PERMISSION_DENIED.
        """
        if self.allow is not None:
            self.allow(session)
        checked = require_event(asked, redact=self.redact)
        made = Event(
            event=f"app.{checked.event}",
            subject=checked.id,
            tenant=session.tenant,
            principal=session.principal,
            session=session.session_id,
            correlation=checked.correlation,
            action="record",
            outcome="SUCCESS",
            data=checked.data.decode() if checked.data != b"{}" else "",
        )

        def durable(_first_seq: int, error: AltarError | None) -> None:
            then((), error)

        self._commit([made], durable)
