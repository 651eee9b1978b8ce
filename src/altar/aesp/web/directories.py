"""Work on where people come from: which providers there are, whether they answer, pulling from them, rules of groups.

Everything here is about the asker's own tenant; a provider of another one is one that does not exist.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from altar.adm.canonical import parse
from altar.adm.errors import AltarError, ValidationError
from altar.aesp.control_plane import principal_of
from altar.aesp.identity.mapping import GroupMapping, MappingRule
from altar.aesp.web.app import Part, refuse_plainly

if TYPE_CHECKING:
    from altar.aesp.identity.sync import Source, Synchronization
    from altar.aesp.principal import Principal
    from altar.aesp.web.gate import Asked

__all__ = ["PREFIX", "Configured", "Directories"]

PREFIX = "/identity/v1"


@dataclass(frozen=True, slots=True)
class Configured:
    """One provider of the configuration: its kind, its tenant, and its people where they can be pulled."""

    name: str
    kind: str
    tenant: str
    source: Source | None = None


@dataclass(slots=True)
class _Running:
    """How far a pull is; ``total`` is None while it is not known."""

    done: int = 0
    total: int | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Directories:
    """The routes below `PREFIX`."""

    def __init__(
        self,
        configured: Iterable[Configured],
        synchronization: Synchronization,
        mapping: GroupMapping,
        *,
        may_give: Callable[[Principal, str, str], None],
    ) -> None:
        """Take what carries it out; ``may_give(who, role, tenant)`` raises unless somebody may hand out a role."""
        self._may_give = may_give
        self._configured = {each.name: each for each in configured}
        self._synchronization = synchronization
        self._mapping = mapping
        self._running = {name: _Running() for name in self._configured}

    def part(self) -> Part:
        """Give the routes with their handlers."""
        handlers = {
            f"GET {PREFIX}/providers": self._providers,
            f"POST {PREFIX}/providers/{{provider}}/test": self._test,
            f"POST {PREFIX}/providers/{{provider}}/sync": self._sync,
            f"GET {PREFIX}/mappings": self._mappings,
            f"POST {PREFIX}/mappings": self._add_mapping,
            f"DELETE {PREFIX}/mappings": self._remove_mapping,
        }
        return Part(PREFIX, handlers, refuse_plainly)

    async def _providers(self, asked: Asked) -> Response:
        told = []
        for each in sorted(self._configured.values(), key=lambda one: one.name):
            if each.tenant != asked.tenant:
                continue
            row: dict[str, Any] = {"name": each.name, "kind": each.kind, "syncs": each.source is not None}
            running = self._running[each.name]
            if each.source is not None:
                state = await self._synchronization.state(each.source)
                row |= {"run_ms": state["run_ms"], "full_ms": state["full_ms"]}
            if running.lock.locked():
                row["running"] = {"done": running.done, "total": running.total}
            told.append(row)
        return JSONResponse({"providers": told})

    async def _test(self, asked: Asked) -> Response:
        """Pull everybody, and say only how many there are and who some of them would be; nothing is written."""
        source = self._source(asked)
        pulled = await source.pull("", lambda _done, _total: None)
        some = [
            {"name": each.login.name, "active": each.active, "groups": list(each.login.groups)[:20]}
            for each in pulled.people[:5]
        ]
        return JSONResponse({"provider": source.name, "people": len(pulled.people), "some": some})

    async def _sync(self, asked: Asked) -> Response:
        source = self._source(asked)
        flags = _flags(asked.body, ("full", "dry_run", "force"))
        running = self._running[source.name]
        if running.lock.locked():
            raise ValidationError("RESOURCE_CONFLICT", f"{source.name!r} is being pulled already", ran="no")

        def progress(done: int, total: int | None) -> None:
            running.done, running.total = done, total

        async with running.lock:
            progress(0, None)
            plan = await self._synchronization.run(source, progress=progress, **flags)
        return JSONResponse(plan.members())

    async def _mappings(self, asked: Asked) -> Response:
        rules = await self._mapping.list(tenant=asked.tenant)
        return JSONResponse({"mappings": [_members(rule) for rule in rules]})

    async def _add_mapping(self, asked: Asked) -> Response:
        rule = self._rule(asked)
        self._may_give(principal_of(asked.who), rule.role, asked.tenant)
        await self._mapping.add(rule, tenant=asked.tenant)
        return JSONResponse(_members(rule), status_code=201)

    async def _remove_mapping(self, asked: Asked) -> Response:
        await self._mapping.remove(self._rule(asked, removing=True), tenant=asked.tenant)
        return Response(status_code=204)

    # ── steps ────────────────────────────────────────────────────────────────────────────────────────────

    def _source(self, asked: Asked) -> Source:
        """Give the provider of the route; UNKNOWN_RESOURCE when the tenant has none of that name that can be pulled."""
        found = self._configured.get(str(asked.request.path_params["provider"]))
        if found is None or found.tenant != asked.tenant or found.source is None:
            raise ValidationError(
                "UNKNOWN_RESOURCE",
                "There is no provider of that name whose people can be pulled",
                ran="no",
                hint="altar identity providers lists them",
            )
        return found.source

    def _rule(self, asked: Asked, *, removing: bool = False) -> MappingRule:
        members = _object(asked.body)
        texts = {name: members.get(name, "*" if name == "scope" else None) for name in _RULE}
        if members.keys() - set(_RULE) or not all(isinstance(value, str) and value for value in texts.values()):
            raise ValidationError(
                "MALFORMED_REQUEST", f"A rule has the texts {', '.join(_RULE)} and no others", ran="no"
            )
        rule = MappingRule(**texts)
        known = {name for name, each in self._configured.items() if each.tenant == asked.tenant} | {"scim"}
        if rule.provider not in known and not removing:
            raise ValidationError("UNKNOWN_RESOURCE", "There is no provider of that name", ran="no")
        return rule


_RULE = ("provider", "pattern", "role", "scope")


def _members(rule: MappingRule) -> dict[str, str]:
    return {name: getattr(rule, name) for name in _RULE}


def _flags(body: bytes, names: tuple[str, ...]) -> dict[str, bool]:
    members = _object(body) if body else {}
    if members.keys() - set(names) or not all(isinstance(value, bool) for value in members.values()):
        raise ValidationError("MALFORMED_REQUEST", f"{', '.join(names)} are true or false", ran="no")
    return {name: bool(members.get(name, False)) for name in names}


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = parse(body)
    except AltarError as error:
        raise ValidationError("MALFORMED_REQUEST", "The body is no JSON that can be read", ran="no") from error
    if not isinstance(found, dict):
        raise ValidationError("MALFORMED_REQUEST", "The body is no JSON object", ran="no")
    return found
