"""A grid of the tier FOUNDATION as processes of their own, and its administration as an operator has it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pydantic import SecretStr

from altar.testing import LocalGrid
from altar.testing.waiting import until

if TYPE_CHECKING:
    from altar.later.session import Session

PASSWORD = "correct-horse-battery-staple"
OPERATOR = "operator"


class FoundationGrid:
    """A host of the tier FOUNDATION, one runtime, an operator called root, and whatever tenants a test makes."""

    def __init__(
        self,
        directory: Path,
        *,
        modules: tuple[str, ...] = ("tests/integration/foundation_tools.py",),
        database_url: str = "",
        runtimes: int = 1,
        settings: Mapping[str, object] | None = None,
        governance: Mapping[str, Any] | None = None,
        web: bool = False,
    ) -> None:
        self.directory = directory
        self._governance = dict(governance or {})
        self._web = {
            "aesp.web": "127.0.0.1:0",
            "aesp.web_certificate": directory / "certificates/host-web.pem",
            "aesp.web_key": directory / "certificates/host-web.key",
        }
        given: dict[str, object] = {
            "aesp.tier": "foundation",
            "aesp.token_keys": directory / "keys/tokens",
            **({"database_url": database_url} if database_url else {}),
            **(self._web if web else {}),
            **(settings or {}),
        }
        self.database_url = database_url
        self.grid = LocalGrid(modules, runtimes=runtimes, directory=directory, settings=given)
        self.root = ""

    def __enter__(self) -> Self:
        self.grid.prepare()
        self.grid.certificate("host", "web")
        self.govern(self._governance)
        asyncio.run(self._begin())
        self.grid.prepare = lambda: None  # type: ignore[method-assign]  # it has been done
        self.grid.__enter__()
        try:
            self.root = self.sign_in("root", PASSWORD, tenant=OPERATOR)
        except BaseException as failed:
            failed.add_note("\n".join(self.grid.logs()))
            self.grid.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if value is not None:
            value.add_note("\n".join(self.grid.logs())[-6000:])
        self.grid.__exit__(kind, value, trace)

    async def _begin(self) -> None:
        from altar.cli.enterprise import begin
        from altar.settings import Host, Settings

        settings = Settings(host=Host(data=self.directory / "data"), database_url=SecretStr(self.database_url))
        await begin(settings, name="root", password=PASSWORD)

    def govern(self, governance: Mapping[str, Any]) -> None:
        """Put governance of functions into the manifest, which is signed when the host starts."""
        document = json.loads(self.grid.manifest.read_text())
        document["contracts"][0]["grid_governance"] = dict(governance)
        self.grid.manifest.write_text(json.dumps(document))

    # ------------------------------------------------------------------------------------------- administration

    def ask(self, method: str, request: Mapping[str, Any] | None = None, *, credential: str | None = None) -> Any:
        """One request of administration, as root unless another credential is given; "" is the certificate alone."""
        return asyncio.run(self._ask(method, request or {}, self.root if credential is None else credential))

    async def _ask(self, method: str, request: Mapping[str, Any], credential: str) -> Any:
        from altar.aesp.service.client import SERVICES, administration_of

        service, _, name = method.partition("/")
        async with administration_of(self.grid.source, self.grid.client, credential=credential) as client:
            if SERVICES[service].methods_by_name[name].server_streaming:
                return [part async for part in client.stream(method, request)]
            return await client.ask(method, request)

    def sign_in(self, name: str, password: str, *, tenant: str, new_password: str = "") -> str:
        """The access token of a local user."""
        shown = {"username": name, "password": password, "new_password": new_password}
        request = {"provider": "local", "tenant_id": tenant, "username_password": shown}
        answer = self.ask("EnterpriseAuthenticationService/AuthenticateUser", request, credential="")
        return str(answer["details"]["access_token"])

    def tenant(self, name: str, **more: Any) -> None:
        """Make a tenant."""
        self.ask("EnterpriseTenantService/CreateTenant", {"tenant_id": name, **more})

    def person(self, tenant: str, name: str, *roles: str) -> str:
        """Make a local user with roles, and give its token."""
        wanted = {"tenant_id": tenant, "name": name, "type": "PRINCIPAL_TYPE_USER", "password": True}
        once = self.ask("EnterpriseIdentityService/CreatePrincipal", wanted)["one_time_password"]
        for role in roles:
            self.give(tenant, name, role)
        return self.sign_in(name, once, tenant=tenant, new_password=f"{PASSWORD}-{tenant}-x")

    def give(self, tenant: str, name: str, role: str, **more: Any) -> str:
        """Bind a role to a principal; gives the binding's id."""
        request = {"tenant_id": tenant, "role": role, "principal_id": name, **more}
        return str(self.ask("EnterpriseAuthorizationService/AssignRole", request)["binding"]["binding_id"])

    def take(self, tenant: str, binding: str) -> None:
        """Take a binding away."""
        self.ask("EnterpriseAuthorizationService/RevokeRole", {"tenant_id": tenant, "binding_id": binding})

    def events(self, tenant: str, **query: Any) -> list[dict[str, Any]]:
        """The record of a tenant, the newest first."""
        answer = self.ask("EnterpriseAuditService/QueryEvents", {"tenant_id": tenant, "limit": 1000, **query})
        return list(answer["events"])

    def recorded(self, tenant: str, event: str, principal: str, outcome: str) -> dict[str, Any]:
        """The newest such entry of a tenant, as soon as it is there."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            found[:] = [
                one
                for one in self.events(tenant, event_type=event)
                if (one["principal_id"], one["outcome"]) == (principal, outcome)
            ]
            return bool(found)

        until(look, what=f"{event} of {principal} in the log of {tenant}")
        return found[0]

    # ------------------------------------------------------------------------------------------------- data plane

    def session(self, credential: str, *tools: str) -> Session:
        """A session in the name of a credential, for ``with`` or ``async with``."""
        return self.grid.session(tools, options={**self.grid.options, "credential": credential})
