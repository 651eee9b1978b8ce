"""EnterpriseContractService: which contracts of the host's manifest a tenant has approved, or ended, for itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from altar._proto.altar.aesp.v1 import contract_pb2 as pb
from altar.adm.canonical import digest as digest_of
from altar.adm.errors import AuthorizationError, ValidationError
from altar.aesp.governance.artefacts import Artefact, ArtefactKind, Artefacts, Status
from altar.aesp.service.looked_at import require_looked_at
from altar.aesp.service.paging import after, limit_of, next_cursor
from altar.aesp.service.policies import STATUS, Note
from altar.aesp.store.people import unknown

if TYPE_CHECKING:
    from google.protobuf.descriptor import ServiceDescriptor

    from altar.aesp.service.administration import Asked
    from altar.grid.manifests.manifest import HostContract

__all__ = ["Contracts"]

_KIND = ArtefactKind.CONTRACT


class Contracts:
    """What a tenant says of contracts. The body of such a version is the digest of the contract that was looked at."""

    descriptor: ServiceDescriptor = pb.DESCRIPTOR.services_by_name["EnterpriseContractService"]

    def __init__(
        self, artefacts: Artefacts | None, *, contracts: Callable[[], Iterable[HostContract]], note: Note
    ) -> None:
        """Take what keeps versions, None on a host of a lower tier; ``contracts`` are those of the host now."""
        self._kept = artefacts
        self._contracts = contracts
        self._note = note

    async def submit_contract(self, asked: Asked, request: pb.SubmitContractRequest) -> pb.SubmitContractResponse:
        """Ask for the approval of a contract as the host has it now."""
        artefacts, who = self._artefacts, asked.principal.id
        await artefacts.require_author(_KIND, who)
        digest = next((one.digest for one in self._contracts() if _name(one) == request.contract), "")
        if not digest:
            raise unknown("contract", request.contract)
        made = await artefacts.draft(_KIND, request.contract, digest, tenant=asked.tenant, by=who, note=request.note)
        made = await artefacts.submit(_KIND, request.contract, made.version, tenant=asked.tenant, by=who)
        self._say("artefact.submitted", asked, made)
        return pb.SubmitContractResponse(standing=_standing(made))

    async def activate_contract(self, asked: Asked, request: pb.ActivateContractRequest) -> pb.ActivateContractResponse:
        """Approve what was submitted last, if it is what was looked at."""
        require_looked_at(request.digest)
        newest = await self._newest(asked, request.contract, (Status.DRAFT, Status.PENDING_APPROVAL))
        swap = await self._artefacts.activate(
            _KIND,
            request.contract,
            newest.version,
            tenant=asked.tenant,
            who=asked.principal,
            digest=digest_of(request.digest.encode()),  # the body of the version is the digest of the contract
        )
        self._say("artefact.activated", asked, swap.now)
        return pb.ActivateContractResponse(standing=_standing(swap.now))

    async def retire_contract(self, asked: Asked, request: pb.RetireContractRequest) -> pb.RetireContractResponse:
        """Let nobody of the tenant call it any more, or say no to what was submitted."""
        waiting = (Status.DRAFT, Status.PENDING_APPROVAL, Status.ACTIVE)
        newest = await self._newest(asked, request.contract, waiting)
        made = await self._artefacts.retire(
            _KIND, request.contract, newest.version, tenant=asked.tenant, by=asked.principal.id
        )
        self._say("artefact.retired", asked, made)
        return pb.RetireContractResponse(standing=_standing(made))

    async def list_contracts(self, asked: Asked, request: pb.ListContractsRequest) -> pb.ListContractsResponse:
        """What the tenant said last of each contract, by name, a page of them."""
        limit = limit_of(request.limit)
        found = await self._artefacts.newest(_KIND, tenant=asked.tenant, after=after(request.cursor), limit=limit)
        cursor = next_cursor(found, limit, lambda one: one.name)
        return pb.ListContractsResponse(contracts=map(_standing, found), next_cursor=cursor)

    async def _newest(self, asked: Asked, name: str, among: tuple[Status, ...]) -> Artefact:
        found = await self._artefacts.listed(_KIND, name, tenant=asked.tenant)
        newest = next((one for one in found if one.status in among), None)
        if newest is not None:
            return newest
        if not found:
            raise unknown("contract", name)
        raise ValidationError(
            "RESOURCE_CONFLICT", f"The contract {name!r} is {found[0].status}", ran="no", hint="submit it again"
        )

    def _say(self, event: str, asked: Asked, made: Artefact) -> None:
        facts: Mapping[str, Any] = {
            "artefact": str(made.kind),
            "digest": made.digest,
            "name": made.name,
            "version": made.version,
        }
        self._note(event, asked.tenant, asked.principal.id, facts)

    @property
    def _artefacts(self) -> Artefacts:
        if self._kept is None:
            raise AuthorizationError(
                "NOT_ACTIVE",
                "On this host contracts are approved in the manifest alone",
                ran="no",
                hint='the operator of the host sets `tier = "advanced"` under [aesp] in altar.toml',
            )
        return self._kept


def _name(contract: HostContract) -> str:
    return f"{contract.name}@{contract.version}"


def _standing(made: Artefact) -> pb.ContractStanding:
    return pb.ContractStanding(
        contract=made.name,
        status=STATUS[made.status],
        digest=made.body,
        authors=made.authors,
        reviewed_by=made.reviewed_by,
        changed_ms=made.changed_ms,
    )
