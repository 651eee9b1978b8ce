"""A store with tenants, people and keys behind a real HTTP server: ``async with web_scene(url) as scene``."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from sqlalchemy import Connection

from altar.aesp.directory import Directory
from altar.aesp.identity.api_keys import ApiKeys
from altar.aesp.identity.mapping import GroupMapping
from altar.aesp.identity.scim_roster import Roster
from altar.aesp.principal import Principal, PrincipalKind
from altar.aesp.rbac import Rbac
from altar.aesp.roles import Roles
from altar.aesp.store import people
from altar.aesp.store.database import Store
from altar.aesp.tenants import Tenants
from altar.aesp.web.app import Part, application
from altar.aesp.web.gate import Deed, Gate
from altar.aesp.web.scim import PREFIX, Scim
from altar.aesp.web.serving import WebServer

__all__ = ["WebScene", "web_scene"]

TENANTS = ("acme", "globex")


def new_id() -> str:
    """An id that was never used."""
    return str(uuid.uuid4())


@dataclass
class WebScene:
    """What runs: the parts, the address, and every deed that was recorded."""

    store: Store
    directory: Directory
    rbac: Rbac
    keys: ApiKeys
    roles: Roles
    mapping: GroupMapping
    deeds: list[Deed] = field(default_factory=list)
    clients: list[httpx.AsyncClient] = field(default_factory=list)
    address: str = ""

    async def client(
        self, tenant: str = "acme", *, role: str = "provisioner", prefix: str = PREFIX
    ) -> httpx.AsyncClient:
        """An HTTP client with a key of a new service account of this tenant that has this role."""
        name = f"svc:{new_id()[:8]}"

        def work(connection: Connection) -> None:
            people.create_principal(connection, tenant=tenant, name=name, now_ms=1, kind=PrincipalKind.SERVICE_ACCOUNT)

        await self.store.run(work, tenant=tenant)
        await self.roles.bind(role, tenant=tenant, principal=name)
        new = await self.keys.create(f"{tenant}/{name}", tenant=tenant)
        made = httpx.AsyncClient(
            base_url=self.address + prefix,
            headers={"authorization": f"Bearer {new.text}"},
            trust_env=False,
            timeout=30,
        )
        self.clients.append(made)
        return made

    def may(self, principal: str, resource: str, action: str) -> bool:
        """Whether a principal may do something at this moment."""
        person = self.directory.principal(principal)
        kind = PrincipalKind.USER if person is None else person.kind
        asked = Principal(id=principal, tenant=principal.partition("/")[0], kind=kind, authenticated_by="test")
        return self.rbac.decide(asked, resource=resource, action=action).allowed


Parts = Callable[[WebScene], Iterable[Part]]


def scim_part(scene: WebScene) -> Iterable[Part]:
    """SCIM alone, as the host has it."""
    roster = Roster(base=PREFIX, now=time.time, new_id=new_id, map_groups=scene.mapping, links="corp")
    yield Scim(scene.store, roster).part()


@asynccontextmanager
async def web_scene(url: str, *, parts: Parts = scim_part) -> AsyncIterator[WebScene]:
    """Open everything over an empty database and serve it on loopback."""
    async with AsyncExitStack() as stack:
        store = Store.open(url)
        stack.callback(store.close)
        tenants = Tenants(store, clock=time.time)
        roles = Roles(store, clock=time.time, new_id=new_id)
        for name in TENANTS:
            await tenants.create(name)
            await roles.create("provisioner", tenant=name, permissions=["scim:manage", "mappings:*", "providers:*"])
        directory = Directory(store, clock=time.time)
        keys = ApiKeys(store, directory, now=time.time)
        keys.load()
        mapping = GroupMapping(store, now=time.time, new_id=new_id)
        scene = WebScene(store, directory, Rbac(directory), keys, roles, mapping)

        async def record(deed: Any) -> None:
            scene.deeds.append(deed)

        gate = Gate(verify=keys.verify, directory=directory, rbac=scene.rbac, record=record, denied=scene.deeds.append)
        server = await stack.enter_async_context(WebServer(application(parts(scene), gate), "127.0.0.1:0"))
        scene.address = server.address
        yield scene
        for client in scene.clients:
            await client.aclose()
