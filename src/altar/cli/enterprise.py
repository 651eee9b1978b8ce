"""A host with identities, tenants and roles: what it is made of, joined in one place.

Managers know nothing of each other; they meet here.
Nothing of this is imported by a host that has no tier.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from altar.aesp.audit.denials import Denials
from altar.aesp.callers import PrincipalCallers
from altar.aesp.control_plane import ControlPlane, foundation
from altar.aesp.directory import Directory
from altar.aesp.governance.contract_needs import unapproved
from altar.aesp.governance.humans import OWNER
from altar.aesp.identity.api_keys import ApiKeys
from altar.aesp.identity.credentials import Credentials
from altar.aesp.identity.mapping import GroupMapping
from altar.aesp.identity.passwords import LocalUsers, one_time_password
from altar.aesp.identity.provisioning import Provisioning
from altar.aesp.identity.refresh import RefreshTokens
from altar.aesp.identity.service_accounts import ServiceAccounts
from altar.aesp.identity.sign_in import SignIn
from altar.aesp.identity.token_keys import TokenKeys
from altar.aesp.identity.tokens import Tokens
from altar.aesp.principal import PrincipalKind
from altar.aesp.quotas import CallQuota
from altar.aesp.rbac import Rbac
from altar.aesp.roles import Roles
from altar.aesp.service.administration import Administration, Deed
from altar.aesp.service.audit import Audit
from altar.aesp.service.authentication import Authentication
from altar.aesp.service.authorization import Authorization
from altar.aesp.service.identity import Identity
from altar.aesp.service.log_keeping import LogKeeping
from altar.aesp.service.managers import Managers
from altar.aesp.service.reach import Reach
from altar.aesp.service.tenants import Tenants as TenantService
from altar.aesp.store import people
from altar.aesp.store.database import Store
from altar.aesp.tenants import Tenants
from altar.aesp.tool_access import ToolAccess
from altar.aesp.withdrawal import Withdrawal
from altar.cli.advanced import PolicyChecks, require_ungoverned_by_policies
from altar.cli.approvals_of_host import ApprovalsOfHost, approvals_of_host, governance_service
from altar.cli.artefacts_of_host import artefact_service, configure_policies
from altar.cli.configuration_of_host import ConfigurationOfHost
from altar.cli.explaining_of_host import explaining_of_host
from altar.cli.keeping_of_host import keeping_of_host
from altar.cli.policies_of_host import PoliciesOfHost, contract_service, policy_service
from altar.cli.quotas_of_host import entry_quota
from altar.cli.web_of_host import providers_at_start
from altar.grid.host.sessions import tenant_of
from altar.ledger.entry import Event

if TYPE_CHECKING:
    import grpc

    from altar.adm.errors import AltarError
    from altar.grid.host.host import Host
    from altar.grid.host.service import Service
    from altar.grid.host.session_gate import SessionGate
    from altar.grid.host.sessions import HostSession
    from altar.later.gate import Gate
    from altar.ledger.ledger import Ledger
    from altar.settings import Settings

__all__ = ["Begun", "Enterprise", "begin", "database_of", "enterprise"]

_CHORES_SECONDS = 60.0


@asynccontextmanager
async def enterprise(settings: Settings, ledger: Ledger, *, trust_domain: str) -> AsyncIterator[Enterprise]:
    """The parts of a host of the tier in `aesp.tier`, while the context lasts.

    Tokens are good for all hosts of the trust domain that share the store and the keys of tokens.
    Raises what the store and the keys of tokens raise when they cannot be opened.
    """
    store = await asyncio.to_thread(Store.open, database_of(settings))
    try:
        loop = asyncio.get_running_loop()
        made = await asyncio.to_thread(lambda: Enterprise(settings, ledger, store, loop, trust_domain=trust_domain))
        chores = [asyncio.get_running_loop().create_task(made.chores())]
        if made.policy_checks is not None:
            chores.append(asyncio.get_running_loop().create_task(made.policy_checks.keep()))
        try:
            yield made
        finally:
            for each in chores:
                each.cancel()
                with suppress(asyncio.CancelledError):
                    await each
            await made.close()
    finally:
        await asyncio.to_thread(store.close)


class Enterprise:
    """The managers of one host, and what a `Host` is given of them."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        store: Store,
        loop: asyncio.AbstractEventLoop,
        *,
        trust_domain: str,
    ) -> None:
        """Open and join everything; blocks, because it reads the store."""
        aesp, now = settings.aesp, time.time
        self.operator_tenant = aesp.operator_tenant
        self.store, self._ledger, self._loop = store, ledger, loop
        self._host: Host | None = None
        self.refusals = Denials(self._note, is_full=self._is_full)
        self.keeping = keeping_of_host(settings, ledger)
        self.directory = Directory(store, clock=now, deliver=loop.call_soon_threadsafe)
        self.entries = entry_quota(ledger, self.directory, loop, now=now)
        self.rbac = Rbac(self.directory)
        self.access = ToolAccess(self.rbac, self.directory, refusals=self.refusals, clock=now)
        self.roles = Roles(store, clock=now, new_id=lambda: uuid.uuid4().hex)
        self.tenants = Tenants(store, clock=now)
        self._open_identities(settings, trust_domain=trust_domain)
        self._open_decisions(settings, ledger)

    def _open_identities(self, settings: Settings, *, trust_domain: str) -> None:
        """Join who proves who somebody is, and what they show for it afterwards."""
        aesp, store, now = settings.aesp, self.store, time.time
        overlap = 2 * aesp.token_lifetime
        self.refreshing = RefreshTokens(
            store, now=now, idle=aesp.refresh_idle, longest=aesp.refresh_lifetime, access=aesp.token_lifetime
        )
        self.refreshing.load()
        self.token_keys = TokenKeys.open(aesp.token_keys, overlap=overlap, now=now)
        self.tokens = Tokens(
            self.token_keys,
            self.refreshing,
            self.directory,
            issuer=f"altar:{trust_domain}",
            audience=f"altar:{trust_domain}",
            now=now,
            lifetime=aesp.token_lifetime,
        )
        self.keys = ApiKeys(store, self.directory, now=now)
        self.keys.load()
        self.users = LocalUsers(store, self.directory, now=now, clock=time.monotonic)
        self.mapping = GroupMapping(store, now=now, new_id=lambda: uuid.uuid4().hex)
        self.provisioning = Provisioning(store, self.directory, now=now, map_groups=self.mapping)
        self.providers = providers_at_start(settings, store)
        self.sign_in = SignIn(
            (self.users, *self.providers), self.provisioning, self.tokens, self.refreshing, note=self.signed_in
        )
        self.service_accounts = ServiceAccounts(store, self.keys, self.refreshing, now=now)
        self.credentials = Credentials(self.tokens, self.keys, self.directory, operator_tenant=self.operator_tenant)
        self.callers = PrincipalCallers(
            self.credentials,
            directory=self.directory,
            rbac=self.rbac,
            refusals=self.refusals,
            clock=now,
            sessions_of=self._sessions_of,
            entries=self.entries,
        )

    def _open_decisions(self, settings: Settings, ledger: Ledger) -> None:
        """Join the checks of the tier; what the tier does not have is None."""
        aesp, store, loop, now = settings.aesp, self.store, self._loop, time.time
        self.policies = (
            PoliciesOfHost(
                store,
                self.directory,
                clock=now,
                require_review=aesp.require_review,
                configuration=ConfigurationOfHost(store, settings),
            )
            if aesp.tier == "advanced"
            else None
        )
        self.approvals: ApprovalsOfHost | None = (
            approvals_of_host(
                settings,
                ledger,
                store,
                self.directory,
                bundle_of=self.policies.bundles.bundle_of,
                loop=loop,
                now=now,
                keys=self.token_keys,
            )
            if self.policies is not None
            else None
        )
        self.quota = CallQuota(self.directory, clock=time.monotonic, entries=self.entries)
        base = foundation(
            directory=self.directory,
            access=self.access,
            quota=self.quota,
            clock=now,
            still=self.credentials.still,
        )
        self.policy_checks: PolicyChecks | None = None
        if self.policies is None:
            require_ungoverned_by_policies(store, tuple(tenant.name for tenant in self.directory.tenants()))
        else:
            self.policy_checks = PolicyChecks(
                store,
                self.directory,
                self.policies.bundles,
                ledger=ledger,
                host=settings.host.name,
                operator_tenant=aesp.operator_tenant,
                environment=aesp.environment,
                now=now,
                clock=time.monotonic,
                approvals=self.approvals,
            )
            configure_policies(self.policies.configuration, self.policies, self.policy_checks)
        self._checks = (*base, unapproved) if self.policy_checks is None else self.policy_checks.after(base)

    def control(self, record: SessionGate) -> Gate:
        """The gate that decides, in front of the one that records."""
        return ControlPlane(record, self._checks, refusals=self.refusals)

    def attach(self, host: Host) -> None:
        """Join with the host: follow what changes, and do what is due."""
        self._host = host
        if self.policies is not None:
            self.policies.join(host)
        if self.approvals is not None:
            self.approvals.join(host, self.callers)
        withdrawal = Withdrawal(
            host,
            directory=self.directory,
            access=self.access,
            still=self.credentials.still,
            later=self._loop.call_soon,
        )

        def changed(_tenant: str) -> None:  # told after directory, keys and tokens, which listen before
            self.credentials.changed()
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(withdrawal.changed)

        self.store.changed(changed)
        host.chores.append(self.refusals.sweep)
        host.app_records.allow = self._require_may_record

    def handlers(self, service: Service) -> tuple[grpc.GenericRpcHandler, ...]:
        """The services of administration, for the host's own port."""
        return self.administration().handlers(service.identify)

    def administration(self) -> Administration:
        """All methods of administration, joined with who carries them out."""
        keeping = LogKeeping(
            self.keeping, named=lambda who: self._gate.named(tenant_of(who), who), settle=self.refusals.flush
        )
        audit = Audit(self._ledger.place, _Names(self._ledger), keeping)
        explains = explaining_of_host(
            host=self._host,
            directory=self.directory,
            rbac=self.rbac,
            access=self.access,
            quota=self.quota,
            still=self.credentials.still,
            in_force=None if self.policies is None else self.policies.bundles,
            prices=None if self.policies is None else self.policies.prices.of,
            desk=None if self.policy_checks is None else self.policy_checks.desk,
            store=self.store,
            names=_Names(self._ledger),
            log=self._ledger.place,
            operator_tenant=self.operator_tenant,
            approvals=None if self.approvals is None else self.approvals.approvals,
        )
        managers = Managers(
            store=self.store,
            directory=self.directory,
            roles=self.roles,
            keys=self.keys,
            users=self.users,
            service_accounts=self.service_accounts,
            refreshing=self.refreshing,
            reach=Reach(self.rbac, self.directory),
            audit=audit,
            now=time.time,
        )
        services = (
            Authentication(self.sign_in, self.keys, self.directory, self.token_keys),
            Identity(managers),
            Authorization(managers, self.rbac),
            audit,
            TenantService(self.tenants, operator_tenant=self.operator_tenant),
            contract_service(self.policies, self._note),
            artefact_service(self.policies, self._note, managers, self.access),
            policy_service(self.policies, self._note, explains=explains),
            governance_service(
                self.approvals,
                self._host,
                rbac=self.rbac,
                audit=audit,
                now=time.time,
                operator_tenant=self.operator_tenant,
            ),
        )
        return Administration(
            services,
            callers=self.callers,
            directory=self.directory,
            rbac=self.rbac,
            refusals=self.refusals,
            record=self.record,
            operator_tenant=self.operator_tenant,
            clock=time.monotonic,
        )

    def record(self, deed: Deed) -> Awaitable[None]:
        """Make a deed durable; LOG_UNAVAILABLE when that cannot be."""
        durable: asyncio.Future[None] = self._loop.create_future()

        def then(_first: int, error: AltarError | None) -> None:
            if not durable.done():
                durable.set_result(None) if error is None else durable.set_exception(error)

        if deed.event == "-":
            durable.set_result(None)
        else:
            self._gate.commit([self._event_of(deed)], then)
        return durable

    def signed_in(self, event: str, facts: Mapping[str, str]) -> None:
        """Record a sign-in or what became of it; a failed one names nobody, because nobody has proved to be anybody."""
        if event == "auth.failed":
            self.refusals.denied(
                tenant="", principal="", code=facts.get("code", ""), resource="tokens", action="create"
            )
            return
        self._note(
            Event(
                event=event,
                subject=facts.get("provider", ""),
                tenant=facts.get("tenant", ""),
                principal=facts.get("principal", ""),
                action="create",
                resource="tokens",
                outcome="SUCCESS",
            )
        )

    async def chores(self) -> None:
        """Until cancelled: write down, now and then, when keys were used."""
        while True:
            await asyncio.sleep(_CHORES_SECONDS)
            await self.keys.write_used()

    async def close(self) -> None:
        """Write what is left to write."""
        self.refusals.flush()
        if self.policy_checks is not None:
            await self.policy_checks.counters.flush()
        await self.keys.write_used()
        if self.approvals is not None:
            await asyncio.to_thread(self.approvals.close)

    @property
    def _gate(self) -> SessionGate:
        if self._host is None:
            raise RuntimeError("the host is not attached yet")
        return self._host.gate

    def _event_of(self, deed: Deed) -> Event:
        """The entry for a deed: who did it and whom it was done to are pseudonyms in it."""
        resource = deed.resource
        if deed.about:
            resource = f"{resource}/{self._gate.named(tenant_of(deed.about), deed.about)}"
        return Event(
            event=deed.event,
            subject=resource,
            tenant=deed.tenant,
            principal=deed.principal,
            action=deed.action,
            resource=resource,
            outcome=deed.outcome,
            code=deed.code,
            correlation=deed.correlation,
        )

    def _note(self, event: Event) -> None:
        self._gate.commit([event], _nobody)

    def _sessions_of(self, tenant: str) -> int:
        return 0 if self._host is None else self._host.sessions.open_in[tenant]

    def _is_full(self, tenant: str) -> bool:
        return self.entries.is_used_up(tenant)

    def _require_may_record(self, session: HostSession) -> None:
        self.rbac.require(session.who, resource="audit", action="record")
        self.entries.require(self.directory.require_active(session.tenant))


class _Names:
    """The names behind the pseudonyms of a log."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def pseudonym(self, tenant: str, principal: str) -> str:
        subjects = self._ledger.subjects
        if subjects is None:
            return principal
        known = subjects.find(tenant, principal)  # a question makes nobody known
        return "" if known is None else known.pseudonym

    def name_of(self, pseudonym: str) -> tuple[str, str] | None:
        subjects = self._ledger.subjects
        return None if subjects is None else subjects.name_of(pseudonym)


@dataclass(frozen=True, slots=True)
class Begun:
    """What `begin` made: the first administrator, and the one-time password, empty when one was given."""

    principal: str
    password: str


async def begin(
    settings: Settings, *, name: str, password: str = "", certificate: str = "", clock: Callable[[], float] = time.time
) -> Begun:
    """Make the operator's tenant and its first administrator, who can do everything on this host.

    With ``certificate`` the client certificate of that name is an administrator too.
    Raises ValidationError RESOURCE_CONFLICT when there is a tenant of the operator already.
    """
    tenant = settings.aesp.operator_tenant
    store = await asyncio.to_thread(Store.open, database_of(settings))
    try:
        directory = await asyncio.to_thread(lambda: Directory(store, clock=clock))
        await Tenants(store, clock=clock).create(tenant, display="Operator of the host")
        await add_administrator(store, tenant=tenant, name=name, clock=clock)
        users = LocalUsers(store, directory, now=clock, clock=time.monotonic)
        made = password or one_time_password()
        await users.set_password(f"{tenant}/{name}", made, tenant=tenant, once=not password)
        if certificate:
            await add_administrator(
                store,
                tenant=tenant,
                name=f"cert:{certificate}",
                kind=PrincipalKind.SYSTEM_ACCOUNT,
                clock=clock,
                attributes={OWNER: f"{tenant}/{name}"},
            )
        return Begun(f"{tenant}/{name}", "" if password else made)
    finally:
        await asyncio.to_thread(store.close)


async def add_administrator(
    store: Store,
    *,
    tenant: str,
    name: str,
    clock: Callable[[], float],
    kind: PrincipalKind = PrincipalKind.USER,
    attributes: Mapping[str, str] | None = None,
) -> None:
    """Add a principal that holds the role admin in its tenant."""
    now_ms = int(clock() * 1000)

    def work(connection: Any) -> None:
        people.create_principal(connection, tenant=tenant, name=name, now_ms=now_ms, kind=kind, attributes=attributes)

    await store.run(work, tenant=tenant)
    roles = Roles(store, clock=clock, new_id=lambda: uuid.uuid4().hex)
    await roles.bind("admin", tenant=tenant, principal=name, created_by="beginning")


def database_of(settings: Settings) -> str:
    """The address of the store: what is set, or a file beside the ledger."""
    told = settings.database_url.get_secret_value()
    if told:
        return told
    settings.host.data.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{(settings.host.data / 'aesp.db').absolute()}"


def _nobody(_first: int, _error: AltarError | None) -> None:
    """Nobody waits for it; a ledger that fails has told the host already."""
