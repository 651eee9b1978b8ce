"""What a host of the tier `foundation` answers over HTTP, and what it pulls by itself: joined here, served beside gRPC.

Nothing of this is imported by a host that has no tier.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from altar.adm.errors import AltarError, ConfigurationError
from altar.aesp.identity.api_keys import PREFIX
from altar.aesp.identity.configured import providers_of, saml_of, source_of
from altar.aesp.identity.sync import Synchronization

if TYPE_CHECKING:
    from altar.aesp.identity.login import Provider
    from altar.aesp.identity.saml import SamlProvider
    from altar.aesp.identity.sync import Source
    from altar.aesp.principal import Principal
    from altar.aesp.store.database import Store
    from altar.aesp.web.app import Part
    from altar.aesp.web.gate import Deed, Gate
    from altar.cli.enterprise import Enterprise
    from altar.settings import Settings

__all__ = ["providers_at_start", "web_of_host"]

_log = logging.getLogger(__name__)


def providers_at_start(settings: Settings, store: Store) -> tuple[Provider, ...]:
    """Everything that people sign in by, beside the users of the host itself.

    Raises ConfigurationError for a provider that cannot be used, and for SAML without an address for browsers.
    """
    members = _members(settings)
    made = providers_of(members, now=time.time, clock=time.monotonic)
    saml = [each for each in members if each["kind"] == "saml"]
    if saml and not settings.aesp.web_url:
        raise ConfigurationError(
            "INVALID_CONFIG",
            "A provider of kind saml needs the address at which browsers reach this host",
            hint="set aesp.web and aesp.web_url",
        )
    base = settings.aesp.web_url.rstrip("/")
    return (*made, *(saml_of(each, base=base, store=store, now=time.time) for each in saml))


@asynccontextmanager
async def web_of_host(settings: Settings, enterprise: Enterprise) -> AsyncIterator[str]:
    """Serve, and pull on schedule, while the context lasts; gives the address, empty when `aesp.web` is not set."""
    sources = [source for each in _members(settings) if (source := source_of(each, now=time.time)) is not None]
    synchronization = Synchronization(enterprise.store, now=time.time, map_groups=enterprise.mapping)
    async with asyncio.TaskGroup() as group:
        tasks = _schedules(group, settings, enterprise, synchronization, sources)
        try:
            if settings.aesp.web is None:
                yield ""
            else:
                from altar.aesp.web.app import application
                from altar.aesp.web.serving import WebServer

                certificate, key = settings.aesp.web_certificate, settings.aesp.web_key
                app = application(_parts(settings, enterprise, synchronization, sources), _gate(enterprise))
                async with WebServer(app, settings.aesp.web, certificate=certificate, private_key=key) as server:
                    yield server.address
        finally:
            for task in tasks:
                task.cancel()


def _parts(
    settings: Settings, enterprise: Enterprise, synchronization: Synchronization, sources: Sequence[Source]
) -> list[Part]:
    from altar.aesp.identity.scim_roster import Roster
    from altar.aesp.service.reach import Reach
    from altar.aesp.web.directories import Configured, Directories
    from altar.aesp.web.scim import PREFIX as SCIM
    from altar.aesp.web.scim import Scim

    by_name = {source.name: source for source in sources}
    configured = [
        Configured(each["name"], each["kind"], each["tenant"], by_name.get(each["name"])) for each in _members(settings)
    ]
    base = settings.aesp.web_url.rstrip("/") + SCIM
    roster = Roster(
        base=base,
        now=time.time,
        new_id=lambda: str(uuid.uuid4()),
        map_groups=enterprise.mapping,
        links=settings.aesp.scim_links,
    )
    reach = Reach(enterprise.rbac, enterprise.directory)

    def may_give(who: Principal, role: str, tenant: str) -> None:
        reach.require_role(who, role, tenant=tenant)

    directories = Directories(configured, synchronization, enterprise.mapping, may_give=may_give)
    parts = [Scim(enterprise.store, roster).part(), directories.part()]
    browsers: list[SamlProvider] = [each for each in enterprise.providers if _is_saml(each)]  # type: ignore[misc]  # judged by what it can do
    if browsers:
        from altar.aesp.web.saml import SamlPages

        parts.append(SamlPages(browsers, note=enterprise.signed_in).part())
    return parts


def _gate(enterprise: Enterprise) -> Gate:
    from altar.aesp.web.gate import Gate

    def verify(token: str) -> Principal:
        return (enterprise.keys.verify if token.startswith(PREFIX) else enterprise.tokens.verify)(token)

    async def record(deed: Deed) -> None:
        await enterprise.record(deed)  # type: ignore[arg-type]  # has the members of a deed of the other services

    def denied(deed: Deed) -> None:
        enterprise.refusals.denied(
            tenant=deed.tenant, principal=deed.principal, code=deed.code, resource=deed.resource, action=deed.action
        )

    return Gate(verify=verify, directory=enterprise.directory, rbac=enterprise.rbac, record=record, denied=denied)


def _schedules(
    group: asyncio.TaskGroup,
    settings: Settings,
    enterprise: Enterprise,
    synchronization: Synchronization,
    sources: Sequence[Source],
) -> list[asyncio.Task[None]]:
    minutes = {each["name"]: (each["sync_minutes"], each["full_sync_hours"]) for each in _members(settings)}
    return [
        group.create_task(_pulled(synchronization, source, *minutes[source.name], enterprise=enterprise))
        for source in sources
        if minutes[source.name][0] > 0
    ]


async def _pulled(
    synchronization: Synchronization, source: Source, minutes: int, hours: int, *, enterprise: Enterprise
) -> None:
    """Until cancelled: pull what changed, and everybody now and then; what fails is tried again at the next turn."""
    from altar.aesp.web.gate import Deed

    while True:
        deed = Deed("admin.provider_sync", source.tenant, "", "sync", f"providers/{source.name}", "SUCCESS")
        try:
            state = await synchronization.state(source)
            is_due = time.time() * 1000 - state["full_ms"] >= hours * 3_600_000
            plan = await synchronization.run(source, full=is_due)
            if plan.create or plan.update or plan.activate or plan.deactivate:
                await enterprise.record(deed)  # type: ignore[arg-type]  # has the members of a deed of the other services
        except AltarError as error:
            _log.warning("a provider could not be pulled: %s", source.name, extra={"code": error.code})
        await asyncio.sleep(minutes * 60)


def _members(settings: Settings) -> list[dict[str, Any]]:
    return [each.model_dump() for each in settings.aesp.providers]


def _is_saml(provider: Provider) -> bool:
    return hasattr(provider, "begin") and hasattr(provider, "accept")
