"""EnterpriseArtefactService: roles, prices and configuration as versions, and what a call of a tool costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from altar._proto.altar.aesp.v1 import artefact_pb2 as pb
from altar.adm.errors import AuthorizationError, ValidationError
from altar.aesp.governance.artefact_rows import Artefact, ArtefactKind
from altar.aesp.service.looked_at import require_looked_at
from altar.aesp.service.paging import after, limit_of, next_cursor
from altar.aesp.service.policies import STATUS, Note

if TYPE_CHECKING:
    from google.protobuf.descriptor import ServiceDescriptor

    from altar.aesp.governance.artefacts import Artefacts
    from altar.aesp.governance.price_lists import PriceList
    from altar.aesp.principal import Principal
    from altar.aesp.service.administration import Asked
    from altar.aesp.service.artefact_kinds import Kind
    from altar.grid.manifests.manifest import HostContract

__all__ = ["ArtefactService", "PricesInForce"]

_MOST_CHANGES = 200
_MOST_PROBLEMS = 50

PricesInForce = Callable[[str], "tuple[int, PriceList] | None"]
"""Gives number and text of the price list of a tenant, None when it has none; POLICY_ERROR for one that is broken."""


@dataclass(frozen=True, slots=True)
class _Named:
    """What a request names: a kind, the name without it, and who knows the kind."""

    kind: ArtefactKind
    name: str
    of: Kind


class ArtefactService:
    """The versions of a tenant that are neither policies nor contracts."""

    descriptor: ServiceDescriptor = pb.DESCRIPTOR.services_by_name["EnterpriseArtefactService"]

    def __init__(
        self,
        artefacts: Artefacts | None,
        kinds: Mapping[ArtefactKind, Kind],
        *,
        prices: PricesInForce,
        seen_by: Callable[[Principal], Iterable[HostContract]],
        note: Note,
    ) -> None:
        """Take what keeps versions, None on a host of a lower tier, and the kinds there are.

        ``prices`` is the list in force, ``seen_by`` the contracts that somebody may see; ``note`` records.
        """
        self._kept = artefacts
        self._kinds = kinds
        self._prices = prices
        self._seen_by = seen_by
        self._note = note

    async def create_artefact(self, asked: Asked, request: pb.CreateArtefactRequest) -> pb.CreateArtefactResponse:
        """A new version, which must be readable and within the reach of who hands it in."""
        artefacts, named, who = self._artefacts, self._named(request.artefact), asked.principal.id
        if not request.draft:
            await artefacts.require_author(named.kind, who)
        body = named.of.body(named.name, request.source)
        named.of.require(asked, named.name, body)
        changes = await self._changes(asked, named, body)
        made = await artefacts.draft(
            named.kind, named.name, body, tenant=asked.tenant, by=who, note=request.note, after=request.replaces
        )
        self._say("artefact.drafted", asked, made)
        if not request.draft:
            made = await artefacts.submit(named.kind, named.name, made.version, tenant=asked.tenant, by=who)
            self._say("artefact.submitted", asked, made)
        return pb.CreateArtefactResponse(version=_version(made), changes=changes)

    async def delete_artefact(self, asked: Asked, request: pb.DeleteArtefactRequest) -> pb.DeleteArtefactResponse:
        """Remove a version that was never in force."""
        named, number = self._named(request.artefact), _numbered(request.version)
        gone = await self._artefacts.delete(named.kind, named.name, number, tenant=asked.tenant)
        self._say("artefact.deleted", asked, gone)
        return pb.DeleteArtefactResponse()

    async def get_artefact(self, asked: Asked, request: pb.GetArtefactRequest) -> pb.GetArtefactResponse:
        """One version, written out; the one in force without a number."""
        named = self._named(request.artefact)
        found = await self._artefacts.show(named.kind, named.name, request.version, tenant=asked.tenant)
        return pb.GetArtefactResponse(
            version=_version(found),
            source=named.of.written(named.name, found.body),
            changes=await self._changes(asked, named, found.body),
        )

    async def list_artefacts(self, asked: Asked, request: pb.ListArtefactsRequest) -> pb.ListArtefactsResponse:
        """The versions of an artefact, the newest first; without one the newest of each, by kind and name."""
        limit = limit_of(request.limit)
        begins = after(request.cursor) if request.cursor else ""
        found: Sequence[Artefact]
        if request.artefact:
            found, cursor = await self._versions(asked, self._named(request.artefact), begins, limit)
        else:
            found = await self._newest(asked, begins, limit)
            cursor = next_cursor(found, limit, _name)
        problems = [one for kind in self._kinds.values() for one in await kind.problems(asked.tenant)]
        return pb.ListArtefactsResponse(
            versions=map(_version, found), next_cursor=cursor, problems=problems[:_MOST_PROBLEMS]
        )

    async def submit_artefact(self, asked: Asked, request: pb.SubmitArtefactRequest) -> pb.SubmitArtefactResponse:
        """Ask for the review of a version."""
        artefacts, named, who = self._artefacts, self._named(request.artefact), asked.principal.id
        await artefacts.require_author(named.kind, who)
        await self._require(asked, named, _numbered(request.version))
        made = await artefacts.submit(named.kind, named.name, request.version, tenant=asked.tenant, by=who)
        self._say("artefact.submitted", asked, made)
        return pb.SubmitArtefactResponse(version=_version(made))

    async def activate_artefact(self, asked: Asked, request: pb.ActivateArtefactRequest) -> pb.ActivateArtefactResponse:
        """Let a version hold from now on, on every host."""
        named, number = self._named(request.artefact), _numbered(request.version)
        await self._require(asked, named, number)
        require_looked_at(request.digest)
        swap = await self._artefacts.activate(
            named.kind, named.name, number, tenant=asked.tenant, who=asked.principal, digest=request.digest
        )
        self._say("artefact.activated", asked, swap.now, before=swap.before)
        return pb.ActivateArtefactResponse(version=_version(swap.now), before=_version_or_none(swap.before))

    async def rollback_artefact(self, asked: Asked, request: pb.RollbackArtefactRequest) -> pb.RollbackArtefactResponse:
        """Let the version hold again that did before this one."""
        artefacts, named = self._artefacts, self._named(request.artefact)
        back = await artefacts.predecessor(named.kind, named.name, tenant=asked.tenant)
        if back is not None:
            named.of.require(asked, named.name, back.body)
        swap = await artefacts.rollback(named.kind, named.name, tenant=asked.tenant, by=asked.principal.id)
        self._say("artefact.rolled_back", asked, swap.now, before=swap.before)
        return pb.RollbackArtefactResponse(version=_version(swap.now), before=_version_or_none(swap.before))

    async def retire_artefact(self, asked: Asked, request: pb.RetireArtefactRequest) -> pb.RetireArtefactResponse:
        """End a version, or refuse one that waits for its review."""
        named, number = self._named(request.artefact), _numbered(request.version)
        who = asked.principal.id
        made = await self._artefacts.retire(named.kind, named.name, number, tenant=asked.tenant, by=who)
        self._say("artefact.retired", asked, made)
        return pb.RetireArtefactResponse(version=_version(made))

    async def get_price(self, asked: Asked, request: pb.GetPriceRequest) -> pb.GetPriceResponse:
        """What a call of a tool costs, and what it is taken to cost before it runs."""
        if not request.tool:
            raise ValidationError("MALFORMED_REQUEST", "The request names no tool", ran="no", path="/tool")
        _ = self._artefacts
        told = pb.GetPriceResponse(tool=request.tool)
        found = self._prices(asked.tenant)
        price = found[1].of(request.tool) if found is not None else None
        if found is not None and price is not None:
            told.version, told.currency, told.estimate = found[0], found[1].currency, price.estimate
            told.rates.update(price.rates)
        if not told.estimate:
            costs = (one.governance.estimated_cost for one in self._seen(asked, request.tool) if one.governance)
            told.estimate = next(filter(None, costs), "")
        return told

    # ---------------------------------------------------------------------------------------------------- private

    def _seen(self, asked: Asked, tool: str) -> list[HostContract]:
        return [contract for contract in self._seen_by(asked.principal) if contract.name == tool]

    def _named(self, artefact: str) -> _Named:
        kind, _, name = artefact.partition("/")
        known = next((one for one in self._kinds if one.value == kind), None)
        if known is None or not name:
            kinds = ", ".join(f"{one.value}/…" for one in self._kinds)
            raise ValidationError(
                "MALFORMED_REQUEST",
                f"{artefact[:80]!r} is no artefact",
                ran="no",
                hint=f"name its kind and its name: {kinds}; policies and contracts have commands of their own",
                path="/artefact",
            )
        return _Named(known, name, self._kinds[known])

    async def _require(self, asked: Asked, named: _Named, version: int) -> None:
        found = await self._artefacts.show(named.kind, named.name, version, tenant=asked.tenant)
        named.of.require(asked, named.name, found.body)

    async def _changes(self, asked: Asked, named: _Named, body: str) -> list[str]:
        try:
            before = (await self._artefacts.show(named.kind, named.name, tenant=asked.tenant)).body
        except ValidationError:  # none is in force
            before = None
        changes = await named.of.changes(asked, named.name, before, body)
        more = len(changes) - _MOST_CHANGES
        return [*changes[:_MOST_CHANGES], *([f"and {more} more"] if more > 0 else [])]

    async def _versions(self, asked: Asked, named: _Named, begins: str, limit: int) -> tuple[tuple[Artefact, ...], str]:
        if begins and not begins.isdigit():
            raise ValidationError("MALFORMED_REQUEST", "The cursor is none of this list", ran="no")
        found = await self._artefacts.listed(
            named.kind, named.name, tenant=asked.tenant, before=int(begins or 0), limit=limit
        )
        return found, next_cursor(found, limit, lambda version: str(version.version))

    async def _newest(self, asked: Asked, begins: str, limit: int) -> list[Artefact]:
        begun, _, name = begins.partition("/")
        found: list[Artefact] = []
        for kind in sorted(self._kinds):
            if kind.value >= begun and len(found) < limit:
                behind, left = name if kind.value == begun else "", limit - len(found)
                found += await self._artefacts.newest(kind, tenant=asked.tenant, after=behind, limit=left)
        return found

    def _say(self, event: str, asked: Asked, made: Artefact, *, before: Artefact | None = None) -> None:
        facts: dict[str, Any] = {
            "artefact": str(made.kind),
            "digest": made.digest,
            "name": made.name,
            "version": made.version,
        }
        if before is not None:
            facts["before"] = before.version
        self._note(event, asked.tenant, asked.principal.id, facts)

    @property
    def _artefacts(self) -> Artefacts:
        if self._kept is None:
            raise AuthorizationError(
                "NOT_ACTIVE",
                "This host keeps no versions",
                ran="no",
                hint='the operator of the host sets `tier = "advanced"` under [aesp] in altar.toml',
            )
        return self._kept


def _numbered(version: int) -> int:
    if not version:
        raise ValidationError("MALFORMED_REQUEST", "The request names no version", ran="no", hint="name one: 1, 2, …")
    return version


def _name(made: Artefact) -> str:
    return f"{made.kind}/{made.name}"


def _version(made: Artefact) -> pb.ArtefactVersion:
    return pb.ArtefactVersion(
        artefact=_name(made),
        version=made.version,
        status=STATUS[made.status],
        digest=made.digest,
        note=made.note,
        authors=made.authors,
        reviewed_by=made.reviewed_by,
        changed_by=made.changed_by,
        against=made.against,
        created_ms=made.created_ms,
        changed_ms=made.changed_ms,
        activated_ms=made.activated_ms,
    )


def _version_or_none(made: Artefact | None) -> pb.ArtefactVersion | None:
    return None if made is None else _version(made)
