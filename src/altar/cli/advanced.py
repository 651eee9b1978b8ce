"""What the tier ADVANCED adds to a host's checks: policies, approvals, and the counters that policies read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import select

from altar.adm.errors import AuthorizationError, ConfigurationError
from altar.aesp.control_plane import Check, advanced
from altar.aesp.policy.check import counting, policy_check
from altar.aesp.policy.counters import Counters
from altar.aesp.policy.facts import Desk
from altar.aesp.store import tables
from altar.ledger.entry import entry_members
from altar.ledger.reader import LogReader

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from altar.aesp.directory import Directory
    from altar.aesp.policy.check import Bundles
    from altar.aesp.store.database import Store
    from altar.cli.approvals_of_host import ApprovalsOfHost
    from altar.later.invocation import Invocation
    from altar.ledger.ledger import Ledger

__all__ = ["PolicyChecks", "require_ungoverned_by_policies"]

_FLUSH_SECONDS = 1.0
_PASSED_OVER = {"policy": "policies", "configuration": "configuration"}


class PolicyChecks:
    """The checks of policies of one host, and its counters."""

    def __init__(
        self,
        store: Store,
        directory: Directory,
        bundles: Bundles,
        *,
        ledger: Ledger,
        host: str,
        operator_tenant: str,
        environment: str,
        now: Callable[[], float],
        clock: Callable[[], float],
        approvals: ApprovalsOfHost | None = None,
    ) -> None:
        """Read what was counted today; blocks.

        ``host`` is the host's name; ``now`` gives seconds since 1970, ``clock`` those of deadlines.
        """
        self.counters = Counters(store, host=host, now=now, size=lambda: ledger.size)
        self.counters.load(lambda start: calls_recorded(ledger, start), tenant=operator_tenant)
        self.desk = Desk(
            directory=directory,
            counters=self.counters,
            environment=environment,
            now=now,
            clock=clock,
            has_approval=_never if approvals is None else approvals.approvals.stands,
        )
        self._bundles = bundles
        self._approvals = approvals

    def after(self, foundation: tuple[Check, ...]) -> tuple[Check, ...]:
        """Give all checks of the tier, those of FOUNDATION first."""
        approvals = self._approvals
        return advanced(
            foundation,
            policy=policy_check(
                self._bundles, self.desk, glass=_never if approvals is None else approvals.glass.covers
            ),
            approval=_unapproved if approvals is None else approvals.check,
            counted=counting(self.counters),
        )

    async def keep(self) -> None:
        """Until cancelled: write what was counted, once a second when there is something."""
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            await self.counters.flush()


def calls_recorded(ledger: Ledger, start: int) -> Iterator[tuple[str, str, int]]:
    """Give tenant, principal and time of each call in the log from a place on, by the names behind pseudonyms."""
    reader = LogReader.open(ledger.place)
    try:
        for row in reader.marked((b'"kind":"intent"',), start):
            said = entry_members(row.body)
            pseudonym = str(said["principal"])
            known = None if ledger.subjects is None else ledger.subjects.name_of(pseudonym)
            yield row.tenant, pseudonym if known is None else known[1], int(said["time"])
    finally:
        reader.close()


def require_ungoverned_by_policies(store: Store, tenants: tuple[str, ...]) -> None:
    """Raise ConfigurationError INVALID_CONFIG for policies or configuration in force, which a lower tier ignores."""

    def active(connection: Connection, *, tenant: str) -> str | None:
        table = tables.artefacts
        held = select(table.c.kind).where(table.c.kind.in_(_PASSED_OVER), table.c.status == "ACTIVE")
        return connection.execute(held.where(table.c.tenant == tenant).limit(1)).scalar()

    for tenant in tenants:
        kind = store.run_now(partial(active, tenant=tenant), tenant=tenant, reads=True)
        if kind is not None:
            what = _PASSED_OVER[kind]
            raise ConfigurationError(
                "INVALID_CONFIG",
                f"The tenant {tenant!r} has {what} in force, which a host of the tier 'foundation' would pass over",
                hint=f'put `tier = "advanced"` under [aesp] in altar.toml, or retire the {what} first',
            )


def _never(_invocation: Invocation) -> bool:
    return False


def _unapproved(invocation: Invocation) -> None:
    """Refuse what needs an approval, where nobody can give one."""
    if invocation.verdict is not None and invocation.verdict.wants:
        raise AuthorizationError(
            "APPROVAL_PENDING",
            f"The policy {invocation.verdict.wants[0].name!r} wants an approval, and this host takes none",
            ran="no",
        )
