"""A host of the tier FOUNDATION inside of this process: real store, real ledger, no network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from google.protobuf import json_format, message_factory
from pydantic import SecretStr
from sqlalchemy import event

from altar.aesp.principal import Principal, PrincipalKind
from altar.aesp.service.administration import Administration, Came
from altar.aesp.service.client import SERVICES
from altar.aesp.store import people
from altar.cli.enterprise import Enterprise, begin, enterprise
from altar.grid.host.host import Host
from altar.grid.manifests.manifest import Manifest
from altar.grid.trust.certificates import Identity
from altar.ledger import Ledger
from altar.settings import Aesp, Settings
from altar.settings import Host as HostSettings
from tests.unit.grid.contracts import MANIFEST
from tests.unit.ledger.samples import ORIGIN, TIME_MS, signer_in

PASSWORD = "correct-horse-battery-staple"
PHONE = Identity("altar.local", "client", "phone")


@dataclass
class Plane:
    """The parts of a host, its administration, and how it is asked."""

    made: Enterprise
    host: Host
    administration: Administration
    statements: list[str] = field(default_factory=list)

    async def token(self, tenant: str, name: str) -> str:
        """The access token of a principal."""
        who = Principal(f"{tenant}/{name}", tenant, PrincipalKind.USER, authenticated_by="test")
        return (await self.made.tokens.issue(who)).access_token

    async def ask(self, method: str, request: Mapping[str, Any] | None = None, *, token: str = "") -> Any:
        """One request; its answer, or the parts of it."""
        service, _, name = method.partition("/")
        described = SERVICES[service].methods_by_name[name]
        message = json_format.ParseDict(dict(request or {}), message_factory.GetMessageClass(described.input_type)())
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        return await self.administration.answer(method, message, Came(PHONE, metadata, "ipv4:127.0.0.1:4711"))

    async def person(self, tenant: str, name: str, *roles: str) -> str:
        """Make a principal with roles, and give its token."""

        def work(connection: Any) -> None:
            people.create_principal(connection, tenant=tenant, name=name, now_ms=TIME_MS)

        await self.made.store.run(work, tenant=tenant)
        for role in roles:
            await self.made.roles.bind(role, tenant=tenant, principal=name)
        return await self.token(tenant, name)

    def entries(self, tenant: str) -> list[dict[str, Any]]:
        """What stands in the log of a tenant, in order; principals by their names."""
        import json

        from altar.ledger.reader import LogReader

        with LogReader.open(self.host_log) as reader:
            found = [json.loads(row.body) for row in reader.rows() if row.tenant == tenant]
        subjects = self.made._ledger.subjects
        for entry in found:
            known = subjects.name_of(entry.get("principal", "")) if subjects is not None else None
            entry["principal"] = known[1] if known is not None else entry.get("principal", "")
        return found

    @property
    def host_log(self) -> str:
        return self.made._ledger.path


@asynccontextmanager
async def plane(
    directory: Path,
    *,
    database_url: str = "",
    tier: Literal["foundation", "advanced"] = "foundation",
    require_review: bool = True,
    manifest: Manifest = MANIFEST,
) -> AsyncIterator[Plane]:
    """A plane with the operator called root, while the context lasts."""
    loop = asyncio.get_running_loop()
    settings = Settings(
        host=HostSettings(data=directory / "data"),
        aesp=Aesp(tier=tier, token_keys=directory / "tokens", require_review=require_review),
        database_url=SecretStr(database_url),
    )
    await begin(settings, name="root", password=PASSWORD)
    signer = signer_in(directory)
    ledger = await asyncio.to_thread(
        lambda: Ledger.open(
            directory / "ledger.db",
            signer=signer,
            origin=ORIGIN,
            host="host-1",
            software="altar test",
            wall_ms=lambda: TIME_MS,
            on_failure=lambda _error: None,
            deliver=lambda done: _deliver(loop, done),
            per_tenant=True,
            pseudonyms=True,
        )
    )
    try:
        async with enterprise(settings, ledger, trust_domain="altar.local") as made:
            host = Host(
                name="host-1",
                manifest=manifest,
                ledger=ledger,
                control=made.control,
                callers=made.callers,
                views=made.access,
            )
            made.attach(host)
            ready = Plane(made, host, made.administration())

            def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
                ready.statements.append(statement)

            event.listen(made.store.engine, "before_cursor_execute", note)
            yield ready
    finally:
        await asyncio.to_thread(ledger.close)


def _deliver(loop: asyncio.AbstractEventLoop, done: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(done)
