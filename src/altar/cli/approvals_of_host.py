"""Approvals and break-glass of a host of the tier ADVANCED: their parts, joined in one place."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from altar.adm.errors import AltarError
from altar.aesp.audit.sinks.sink import SinkOptions
from altar.aesp.audit.sinks.webhook import WebhookSink
from altar.aesp.governance.approval_check import approval_check
from altar.aesp.governance.approvals import Approvals
from altar.aesp.governance.break_glass import BreakGlass
from altar.aesp.governance.desk import ApprovalDesk, call_text
from altar.aesp.governance.kept import KeptCalls, calls_path
from altar.aesp.governance.owners import KeyHolders
from altar.aesp.governance.quorum import Quorum
from altar.aesp.governance.requests import ApprovalLimits
from altar.aesp.governance.restoring import requests_in, told_in
from altar.aesp.governance.shared import SharedCalls, host_id
from altar.aesp.governance.webhooks import WebhookAlarm
from altar.aesp.identity.certificates import certificate_principal_id
from altar.aesp.service.governance import Governance
from altar.cli.audit_files import sink_options

if TYPE_CHECKING:
    from altar.aesp.callers import PrincipalCallers
    from altar.aesp.directory import Directory
    from altar.aesp.identity.token_keys import TokenKeys
    from altar.aesp.policy.policy import Bundle
    from altar.aesp.rbac import Rbac
    from altar.aesp.service.audit import Audit
    from altar.aesp.store.database import Store
    from altar.grid.host.host import Host
    from altar.grid.trust.certificates import Identity
    from altar.ledger.ledger import Ledger
    from altar.settings import Settings

__all__ = ["ApprovalsOfHost", "approvals_of_host", "governance_service"]

_log = logging.getLogger("altar.aesp")


class ApprovalsOfHost:
    """What a host of the tier ADVANCED has of approvals.

    ``check`` comes last of its checks; ``approvals.stands`` and ``glass.covers`` are for that of policies.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        store: Store,
        directory: Directory,
        bundle_of: Callable[[str], Bundle | None],
        sinks: list[SinkOptions],
        on_failure: Callable[[AltarError], None],
        deliver: Callable[[Callable[[], None]], None],
        now: Callable[[], float] = time.time,
        host: str = "",
        keys: TokenKeys | None = None,
    ) -> None:
        """Open the calls that wait, and take up what the log says; blocks, because it reads both."""
        subjects = ledger.subjects
        if subjects is None:
            raise RuntimeError("a governed host has pseudonyms")
        self._ledger, self.subjects = ledger, subjects
        limits = ApprovalLimits()
        self._kept = KeptCalls(calls_path(ledger.path), on_failure=on_failure, deliver=deliver)
        floor, rows = self._kept.load()
        quorum = Quorum(directory, KeyHolders(store).of)
        self.approvals = Approvals(
            quorum=quorum, kept=self._kept, subjects=subjects, bundle_of=bundle_of, now=now, limits=limits
        )
        webhooks = [WebhookSink(each) for each in sinks if each.kind == "webhook" and _hears_alarms(each)]
        self.glass = BreakGlass(WebhookAlarm(webhooks, now=now), now=now)
        events = told_in(ledger.place, floor=floor)
        self.approvals.take_up(
            requests_in(
                events,
                ledger.claims(floor=floor),
                dict(rows),
                subjects=subjects,
                now_ms=int(now() * 1000),
                longest_ms=int(limits.kept.total_seconds() * 1000),
                account_of=quorum.account,
            )
        )
        self.glass.take_up(events, subjects)
        self.check = approval_check(self.approvals, self.glass)
        if keys is not None and store.dialect == "postgresql":  # hosts that share a file have one machine, and one host
            self._share(store, directory, keys, host=host, now=now)

    def _share(
        self, store: Store, directory: Directory, keys: TokenKeys, *, host: str, now: Callable[[], float]
    ) -> None:
        """Let the hosts of this store use what one of them approved; blocks, to let go of what was never begun."""
        ledger, approvals = self._ledger, self.approvals
        shared = SharedCalls(
            store,
            host=host_id(host, ledger.vkey),
            keys=lambda kid: keys.secret(kid, purpose=b"approved calls"),
            now=now,
            size=lambda: ledger.size,
            find=approvals.any,
            was_used_here=approvals.is_again,
        )
        shared.let_go([one.name for one in directory.tenants()], lambda place: ledger.claims(floor=place))
        approvals.shared = shared
        approvals.text_of = lambda request: call_text(approvals, self.subjects, request)

    async def _share_again(self) -> None:
        """Share what an earlier process of this host had approved and was killed before it could share it."""
        for request in self.approvals:
            await self.approvals.share(request)

    def join(self, host: Host, callers: PrincipalCallers) -> None:
        """Join with the host: record through its gate, hear of claims, answer who waits, do what is due."""
        ledger = self._ledger
        self.approvals.join(
            commit=host.gate.commit,
            knows=host.gate.knows_key,
            size=lambda: self.glass.floor(ledger.size),
            contract_of=lambda name, version: host.manifest.get(name, version),  # noqa: PLW0108 - the manifest of then
        )
        self.glass.join(commit=host.gate.commit)
        host.gate.tell_claims(self.approvals)
        if self.approvals.shared is not None:
            host.gate.hold = self.approvals.shared.hold
            self._sharing = asyncio.get_running_loop().create_task(self._share_again())
        host.approvals = ApprovalDesk(self.approvals, self.subjects, callers)
        host.chores += [self.approvals.sweep, self.glass.sweep]

    def figures(self) -> dict[str, dict[str, int]]:
        """What is counted by tenant, for the metrics of the host."""
        return {**self.approvals.figures(), **self.glass.figures()}

    def close(self) -> None:
        """Write what waits."""
        self._kept.close()


def approvals_of_host(
    settings: Settings,
    ledger: Ledger,
    store: Store,
    directory: Directory,
    *,
    bundle_of: Callable[[str], Bundle | None],
    loop: asyncio.AbstractEventLoop,
    now: Callable[[], float],
    keys: TokenKeys | None = None,
) -> ApprovalsOfHost:
    """The approvals of a host as its settings ask for them; blocks.

    Raises ConfigurationError INVALID_CONFIG for a webhook that is none.
    """

    def deliver(function: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
            loop.call_soon_threadsafe(function)

    return ApprovalsOfHost(
        ledger=ledger,
        store=store,
        directory=directory,
        bundle_of=bundle_of,
        sinks=sink_options(settings),
        on_failure=_failed,
        deliver=deliver,
        now=now,
        host=settings.host.name,
        keys=keys,
    )


def governance_service(
    parts: ApprovalsOfHost | None,
    host: Host | None,
    *,
    rbac: Rbac,
    audit: Audit,
    now: Callable[[], float],
    operator_tenant: str,
) -> Governance:
    """The methods of approvals, which refuse all on a host that has none."""

    def account_of(identity: Identity) -> str:
        with suppress(AltarError):
            return certificate_principal_id(identity, operator_tenant=operator_tenant)
        return ""

    return Governance(
        parts.approvals if parts is not None else None,
        parts.glass if parts is not None else None,
        rbac=rbac,
        audit=audit,
        subjects=parts.subjects if parts is not None else None,
        schema_of=_schema_in(host) if host is not None else lambda _name, _version: None,
        now=now,
        account_of=account_of,
    )


def _schema_in(host: Host) -> Callable[[str, str], Mapping[str, Any] | None]:
    """What gives the parameters of a contract of a host by name and version; None for one that is not there."""

    def schema_of(name: str, version: str) -> Mapping[str, Any] | None:
        contract = host.manifest.get(name, version)
        return None if contract is None else contract.declaration.parameters.json_schema

    return schema_of


def _failed(error: AltarError) -> None:
    _log.critical(
        "calls that wait for approval cannot be kept", extra={"reason": error.message, "detail": error.detail}
    )


def _hears_alarms(options: SinkOptions) -> bool:
    """Whether a webhook gets the events of break-glasses, of every tenant."""
    if options.tenants:
        return False
    patterns = [re.compile(".*".join(map(re.escape, event.split("*")))) for event in options.events]
    return not patterns or any(pattern.fullmatch("breakglass.opened") for pattern in patterns)
