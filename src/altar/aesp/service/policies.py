"""EnterprisePolicyService: policies of a tenant as versions, from the first draft to the end of their use."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from altar._proto.altar.aesp.v1 import policy_pb2 as pb
from altar.adm.canonical import canonical
from altar.adm.errors import AuthorizationError, ValidationError
from altar.aesp.governance.active_bundles import POLICIES
from altar.aesp.governance.artefacts import Artefact, ArtefactKind, Artefacts, Status
from altar.aesp.policy.examining import Examination
from altar.aesp.policy.policy import Bundle, bundle_of, read_bundle
from altar.aesp.policy.writing import written
from altar.aesp.service.examining import Examiner
from altar.aesp.service.looked_at import require_looked_at
from altar.aesp.service.paging import after, limit_of, next_cursor

if TYPE_CHECKING:
    from google.protobuf.descriptor import ServiceDescriptor

    from altar.aesp.governance.active_bundles import ActiveBundles
    from altar.aesp.service.administration import Asked
    from altar.grid.manifests.manifest import HostContract

__all__ = ["STATUS", "Explains", "Note", "Policies", "note_data"]

_KIND = ArtefactKind.POLICY
STATUS = {
    Status.DRAFT: pb.ARTEFACT_STATUS_DRAFT,
    Status.PENDING_APPROVAL: pb.ARTEFACT_STATUS_PENDING_APPROVAL,
    Status.ACTIVE: pb.ARTEFACT_STATUS_ACTIVE,
    Status.RETIRED: pb.ARTEFACT_STATUS_RETIRED,
}

Note = Callable[[str, str, str, Mapping[str, Any]], None]
"""Records an event: its name, the tenant, who did it, and facts."""


class Explains(Protocol):
    """Answers why a call is decided on so."""

    async def explain(self, asked: Asked, request: pb.ExplainRequest) -> pb.ExplainResponse:
        """Why a call was or would be decided on so."""

    async def evaluate(self, asked: Asked, request: pb.EvaluatePolicyRequest) -> pb.EvaluatePolicyResponse:
        """What would be decided on a call."""

    async def replay(self, asked: Asked, request: pb.ReplayPolicyRequest) -> list[pb.ReplayPolicyResponse]:
        """What another bundle would have decided."""


class Policies:
    """The policies of a tenant. Nothing of it is there on a host that does not decide by policies."""

    descriptor: ServiceDescriptor = pb.DESCRIPTOR.services_by_name["EnterprisePolicyService"]

    def __init__(
        self,
        artefacts: Artefacts | None,
        bundles: ActiveBundles | None,
        *,
        contracts: Callable[[], Iterable[HostContract]],
        holders: Callable[[str, str], int],
        note: Note,
        explains: Explains | None = None,
    ) -> None:
        """Take what keeps versions and what is in force, both None on a host of a lower tier.

        ``contracts`` are those of the host now; ``holders`` counts who holds a role in a tenant; ``note`` records.
        """
        self._kept = artefacts
        self._bundles = bundles
        self._examiner = Examiner(contracts=contracts, holders=holders)
        self._note = note
        self._explains = explains

    # -------------------------------------------------------------------------------------------------- versions

    async def create_policy(self, asked: Asked, request: pb.CreatePolicyRequest) -> pb.CreatePolicyResponse:
        """A new version, that is refused unless it fits the contracts of the host and passes its own tests."""
        made, report = await self._hand_in(asked, request.source, note=request.note, draft=request.draft)
        return pb.CreatePolicyResponse(policy=_version(made), report=report)

    async def update_policy(self, asked: Asked, request: pb.UpdatePolicyRequest) -> pb.UpdatePolicyResponse:
        """A new version in the place of one that is not in force yet, which is retired."""
        await self._artefacts.show(_KIND, POLICIES, _numbered(request.version), tenant=asked.tenant)
        made, report = await self._hand_in(
            asked, request.source, note=request.note, draft=request.draft, replaced=request.version
        )
        return pb.UpdatePolicyResponse(policy=_version(made), report=report)

    async def delete_policy(self, asked: Asked, request: pb.DeletePolicyRequest) -> pb.DeletePolicyResponse:
        """Remove a version that was never in force."""
        gone = await self._artefacts.delete(_KIND, POLICIES, _numbered(request.version), tenant=asked.tenant)
        self._say("artefact.deleted", asked, gone)
        return pb.DeletePolicyResponse()

    async def get_policy(self, asked: Asked, request: pb.GetPolicyRequest) -> pb.GetPolicyResponse:
        """One version, written out; the one in force without a number."""
        found = await self._artefacts.show(_KIND, POLICIES, request.version, tenant=asked.tenant)
        return pb.GetPolicyResponse(policy=_version(found), source=written(bundle_of(found.body.encode())))

    async def list_policies(self, asked: Asked, request: pb.ListPoliciesRequest) -> pb.ListPoliciesResponse:
        """The versions of a tenant, the newest first, a page of them."""
        limit = limit_of(request.limit)
        begins = after(request.cursor) if request.cursor else ""
        if begins and not begins.isdigit():
            raise ValidationError("MALFORMED_REQUEST", "The cursor is none of this list", ran="no")
        found = await self._artefacts.listed(_KIND, POLICIES, tenant=asked.tenant, before=int(begins or 0), limit=limit)
        return pb.ListPoliciesResponse(
            policies=map(_version, found),
            next_cursor=next_cursor(found, limit, lambda version: str(version.version)),
            problems=self._active.problems(asked.tenant)[:_MOST_PROBLEMS],
        )

    # ------------------------------------------------------------------------------------------------- questions

    async def validate_policy(self, asked: Asked, request: pb.ValidatePolicyRequest) -> pb.ValidatePolicyResponse:
        """What is found in a text, how its tests end and what it would change; nothing is kept."""
        return pb.ValidatePolicyResponse(report=_report(await self._looked_at(asked, read_bundle(request.source))))

    async def test_policy(self, asked: Asked, request: pb.TestPolicyRequest) -> pb.TestPolicyResponse:
        """How the tests of a version end on this host now, or those of a text."""
        if request.source:
            bundle = read_bundle(request.source)
        else:
            bundle = await self._bundle(asked, request.version)
        return pb.TestPolicyResponse(report=_report(await self._looked_at(asked, bundle)))

    async def diff_policy(self, asked: Asked, request: pb.DiffPolicyRequest) -> pb.DiffPolicyResponse:
        """What a version would decide otherwise than another one, in the tests of both."""
        number = request.from_version
        before = await self._bundle(asked, number) if number else await self._in_force(asked)
        bundle = await self._bundle(asked, _numbered(request.to_version))
        return pb.DiffPolicyResponse(report=_report(await self._looked_at(asked, bundle, against=before)))

    # ------------------------------------------------------------------------------------------------- lifecycle

    async def submit_policy(self, asked: Asked, request: pb.SubmitPolicyRequest) -> pb.SubmitPolicyResponse:
        """Ask for the review of a version."""
        await self._artefacts.require_author(_KIND, asked.principal.id)
        await self._require_accepted(asked, await self._bundle(asked, _numbered(request.version)))
        made = await self._submitted(asked, request.version)
        return pb.SubmitPolicyResponse(policy=_version(made))

    async def activate_policy(self, asked: Asked, request: pb.ActivatePolicyRequest) -> pb.ActivatePolicyResponse:
        """Let a version decide from now on, on every host."""
        require_looked_at(request.digest)
        await self._require_accepted(asked, await self._bundle(asked, _numbered(request.version)))
        swap = await self._artefacts.activate(
            _KIND, POLICIES, request.version, tenant=asked.tenant, who=asked.principal, digest=request.digest
        )
        self._say("artefact.activated", asked, swap.now, before=swap.before)
        return pb.ActivatePolicyResponse(policy=_version(swap.now), before=_version_or_none(swap.before))

    async def rollback_policy(self, asked: Asked, _request: pb.RollbackPolicyRequest) -> pb.RollbackPolicyResponse:
        """Let the version decide again that did before this one."""
        back = await self._artefacts.predecessor(_KIND, POLICIES, tenant=asked.tenant)
        if back is not None:
            await self._require_accepted(asked, bundle_of(back.body.encode()))
        swap = await self._artefacts.rollback(_KIND, POLICIES, tenant=asked.tenant, by=asked.principal.id)
        self._say("artefact.rolled_back", asked, swap.now, before=swap.before)
        return pb.RollbackPolicyResponse(policy=_version(swap.now), before=_version_or_none(swap.before))

    async def retire_policy(self, asked: Asked, request: pb.RetirePolicyRequest) -> pb.RetirePolicyResponse:
        """End a version, or refuse one that waits for its review."""
        number = _numbered(request.version)
        made = await self._artefacts.retire(_KIND, POLICIES, number, tenant=asked.tenant, by=asked.principal.id)
        self._say("artefact.retired", asked, made)
        return pb.RetirePolicyResponse(policy=_version(made))

    # ------------------------------------------------------------------------------------------------- explaining

    async def evaluate_policy(self, asked: Asked, request: pb.EvaluatePolicyRequest) -> pb.EvaluatePolicyResponse:
        """What would be decided on a call."""
        return await self._explaining.evaluate(asked, request)

    async def explain(self, asked: Asked, request: pb.ExplainRequest) -> pb.ExplainResponse:
        """Why a call was or would be decided on so."""
        return await self._explaining.explain(asked, request)

    async def replay_policy(self, asked: Asked, request: pb.ReplayPolicyRequest) -> list[pb.ReplayPolicyResponse]:
        """What another bundle would have decided on the calls in the record."""
        return await self._explaining.replay(asked, request)

    # ---------------------------------------------------------------------------------------------------- private

    async def _hand_in(
        self, asked: Asked, source: str, *, note: str, draft: bool, replaced: int = 0
    ) -> tuple[Artefact, pb.PolicyReport]:
        artefacts = self._artefacts
        if not draft:
            await artefacts.require_author(_KIND, asked.principal.id)
        bundle = read_bundle(source)
        report = await self._examined(asked, bundle)
        _require(report)
        made = await artefacts.draft(
            _KIND,
            POLICIES,
            bundle.body.decode(),
            tenant=asked.tenant,
            by=asked.principal.id,
            note=note,
            after=replaced,
        )
        self._say("artefact.drafted", asked, made)
        if not draft:
            made = await self._submitted(asked, made.version)
        return made, _report(report)

    async def _submitted(self, asked: Asked, version: int) -> Artefact:
        made = await self._artefacts.submit(_KIND, POLICIES, version, tenant=asked.tenant, by=asked.principal.id)
        self._say("artefact.submitted", asked, made)
        return made

    async def _require_accepted(self, asked: Asked, bundle: Bundle) -> None:
        """Raise INVALID_POLICY unless a bundle fits this host as it is now, and passes its tests."""
        _require(await self._examined(asked, bundle))

    async def _looked_at(self, asked: Asked, bundle: Bundle, *, against: Bundle | None = None) -> Examination:
        """Look at a bundle for somebody who asks: against the one in force unless another is named."""
        _ = self._artefacts
        before = against if against is not None else await self._in_force(asked)
        return await self._examiner.ask(asked.tenant, bundle, against=before)

    async def _examined(self, asked: Asked, bundle: Bundle) -> Examination:
        """Look at a bundle that is to be handed in or to decide, against the one in force."""
        _ = self._artefacts
        return await self._examiner.change(asked.tenant, bundle, against=await self._in_force(asked))

    async def _bundle(self, asked: Asked, version: int) -> Bundle:
        found = await self._artefacts.show(_KIND, POLICIES, version, tenant=asked.tenant)
        return bundle_of(found.body.encode())

    async def _in_force(self, asked: Asked) -> Bundle | None:
        try:
            return await self._bundle(asked, 0)
        except ValidationError as refused:
            if refused.code in {"UNKNOWN_RESOURCE", "INVALID_POLICY"}:  # none, or one that nothing can be compared with
                return None
            raise

    def _say(self, event: str, asked: Asked, made: Artefact, *, before: Artefact | None = None) -> None:
        facts: dict[str, Any] = {"artefact": str(made.kind), "digest": made.digest, "version": made.version}
        if before is not None:
            facts["before"] = before.version
        self._note(event, asked.tenant, asked.principal.id, facts)

    @property
    def _artefacts(self) -> Artefacts:
        if self._kept is None:
            raise _no_policies()
        return self._kept

    @property
    def _active(self) -> ActiveBundles:
        if self._bundles is None:
            raise _no_policies()
        return self._bundles

    @property
    def _explaining(self) -> Explains:
        if self._explains is None:
            raise _no_policies()
        return self._explains


_MOST_PROBLEMS = 50


def _no_policies() -> AuthorizationError:
    return AuthorizationError(
        "NOT_ACTIVE",
        "This host does not decide by policies",
        ran="no",
        hint='the operator of the host sets `tier = "advanced"` under [aesp] in altar.toml',
    )


def _numbered(version: int) -> int:
    if not version:
        raise ValidationError("MALFORMED_REQUEST", "The request names no version", ran="no", hint="name one: 1, 2, …")
    return version


def _require(report: Examination) -> None:
    """Raise INVALID_POLICY with the first thing that is wrong, and how much more there is."""
    wrong = report.wrong
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise ValidationError(
            "INVALID_POLICY",
            f"{wrong[0]}{more}",
            ran="no",
            hint="`altar policy validate FILE` shows all of it",
        )


def _version(made: Artefact) -> pb.PolicyVersion:
    return pb.PolicyVersion(
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


def _version_or_none(made: Artefact | None) -> pb.PolicyVersion | None:
    return None if made is None else _version(made)


def _report(report: Examination) -> pb.PolicyReport:
    return pb.PolicyReport(
        accepted=not report.wrong,
        findings=[
            pb.PolicyFinding(
                severity=one.severity, rule=one.rule, policy=one.policy, line=one.line, message=one.message
            )
            for one in report.findings
        ],
        cases=[
            pb.PolicyCase(
                name=one.name,
                passed=one.passed,
                expected=one.expected,
                decided=one.decided,
                policy=one.policy,
                message=one.message,
            )
            for one in report.cases
        ],
        changes=[
            pb.PolicyChange(case_name=one.case, tool=one.tool, was=one.was, becomes=one.becomes, policy=one.policy)
            for one in report.changes
        ],
        added=report.added,
        removed=report.removed,
        changed=report.changed,
        policies=report.policies,
    )


def note_data(facts: Mapping[str, Any]) -> str:
    """Give facts as an entry of the log holds them."""
    return canonical(json.loads(json.dumps(facts))).decode()
