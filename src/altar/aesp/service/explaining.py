"""The methods of EnterprisePolicyService that explain: why a call was or would be decided on so, and what would change.

One's own calls are explained to everybody, as far as they could find out by making them.
Everything else needs ``policies:explain``; trying a bundle on the record needs ``policies:replay``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sqlalchemy import select

from altar._proto.altar.aesp.v1 import policy_pb2 as pb
from altar.adm.canonical import canonical, digest, parse
from altar.adm.errors import AltarError, ValidationError
from altar.aesp.audit.opening import open_records
from altar.aesp.policy.explain import Explainer, Question
from altar.aesp.policy.explanation import Explanation
from altar.aesp.policy.past import explain_past, find_call, read_at
from altar.aesp.policy.policy import Bundle, bundle_of, read_bundle
from altar.aesp.policy.recorded_calls import DAY_MS, calls_in
from altar.aesp.policy.replay import Replay, tool_of
from altar.aesp.policy.replay_text import replay_json, replay_text
from altar.aesp.principal import Principal
from altar.aesp.store import tables
from altar.ledger.reader import LogReader

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from altar.aesp.directory import Directory
    from altar.aesp.governance.price_lists import PriceList
    from altar.aesp.policy.recorded_calls import RecordedCall
    from altar.aesp.rbac import Rbac
    from altar.aesp.service.administration import Asked
    from altar.grid.manifests.manifest import Manifest
    from altar.ledger.places import Place

__all__ = ["MAX_REPLAYED", "Explaining"]

MAX_REPLAYED = 200_000
"""How many entries a host replays while it serves; longer logs are replayed by a process of their own."""
_MAX_ENVIRONMENT = 100
_AT_ONCE = 2
"""How many questions are worked on at once: one about a large bundle takes seconds, and calls come first."""
_MAX_ARGUMENTS = 1024 * 1024
T = TypeVar("T")


class Names(Protocol):
    """Who a pseudonym of the log stands for."""

    def pseudonym(self, tenant: str, principal: str) -> str:
        """The word for a principal in the log; empty for one that is not in it."""
        ...

    def name_of(self, pseudonym: str) -> tuple[str, str] | None:
        """Tenant and principal of a pseudonym; None when nobody knows any more."""
        ...


class Source(Protocol):
    """What is needed of the store; `altar.aesp.store.database.Store` is one."""

    def run_now(self, work: Callable[[Connection], T], *, tenant: str | None, reads: bool = False) -> T:
        """Run work in one transaction, blocking."""


class Standing(Protocol):
    """How requests for approval stand now; `altar.aesp.governance.standing.Standing` is one."""

    def of(self, who: Principal, request_id: str, *, full: bool) -> tuple[str, ...]:
        """Say it of one request, to who asks; nothing where that is not for them, or where there is none."""
        ...

    def of_call(self, who: Principal, call: tuple[str, ...], *, full: bool) -> tuple[str, ...]:
        """Say it of the open request of a call: tenant, principal, tool, version, digests of contract and arguments."""
        ...


class Explaining:
    """Explains calls to those who may ask.

    ``manifest`` gives the contracts of the host now, ``log`` is its log; ``standing`` tells of requests for approval.
    ``prices`` gives the price list of a tenant, for what calls cost where the record does not say it.
    """

    def __init__(
        self,
        explainer: Explainer,
        *,
        directory: Directory,
        rbac: Rbac,
        store: Source,
        log: Place,
        names: Names,
        manifest: Callable[[], Manifest],
        operator_tenant: str,
        standing: Standing | None = None,
        prices: Callable[[str], tuple[int, PriceList] | None] = lambda _tenant: None,
    ) -> None:
        self._explainer = explainer
        self._standing = standing
        self._directory = directory
        self._rbac = rbac
        self._store = store
        self._log = log
        self._names = names
        self._manifest = manifest
        self._operator = operator_tenant
        self._replaying = asyncio.Lock()
        self._prices = prices
        self._working = asyncio.Semaphore(_AT_ONCE)

    async def explain(self, asked: Asked, request: pb.ExplainRequest) -> pb.ExplainResponse:
        """Why a call would be decided on so, or was, when the request names one in the record."""
        if request.invocation_id or request.call_id or request.HasField("position"):
            told = await self._past(asked, request)
        else:
            told = await self._thought(asked, request)
        return pb.ExplainResponse(
            allowed=told.allowed, verdict=str(told.verdict), text=told.to_text(), json=told.to_json()
        )

    async def evaluate(self, asked: Asked, request: pb.EvaluatePolicyRequest) -> pb.EvaluatePolicyResponse:
        """What would be decided on a call; whoever may ask this may explain."""
        told = await self._thought(asked, request)
        return pb.EvaluatePolicyResponse(
            decision=str(told.verdict),
            policy=next((each.name for each in told.deciding), ""),
            code=told.code,
            text=told.to_text(),
            json=told.to_json(),
        )

    async def replay(self, asked: Asked, request: pb.ReplayPolicyRequest) -> list[pb.ReplayPolicyResponse]:
        """What a bundle would have decided on the calls of a tenant; RESOURCE_EXHAUSTED for a log that is too long."""
        bundle = read_bundle(request.bundle)
        manifest = self._manifest()
        async with self._replaying:  # one at a time: calls come first
            return await asyncio.to_thread(self._replayed, asked.tenant, bundle, manifest, request)

    # ----------------------------------------------------------------------------------------------- what is asked

    async def _thought(self, asked: Asked, request: pb.ExplainRequest | pb.EvaluatePolicyRequest) -> Explanation:
        who, own = self._about(asked, request.principal_id)
        full = self._may_explain(asked) if own else self._require(asked)
        if (request.environment or request.time_ms) and not full:
            self._require(asked)
        if not request.tool:
            raise ValidationError("MALFORMED_REQUEST", "The request names no tool", ran="no", path="/tool")
        question = Question(
            tool=request.tool,
            version=request.version,
            arguments=_arguments(request.arguments),
            time=_moment(request.time_ms),
            environment=_environment(request.environment),
        )
        async with self._working:
            finish = self._explainer.begin(who, question, full=full, assumed=not own)
            told = await asyncio.to_thread(finish)
        return told if told.code != "APPROVAL_PENDING" else self._with_request(told, asked, question, full=full)

    def _with_request(self, told: Explanation, asked: Asked, question: Question, *, full: bool) -> Explanation:
        """Say in the last step how the request stands that the same call has made already."""
        contract = self._manifest().get(told.tool, told.version)
        if self._standing is None or contract is None:
            return told
        arguments = digest(canonical(dict(question.arguments)))
        call = (told.tenant, told.principal, told.tool, told.version, contract.digest, "", arguments)  # of no session
        last = told.steps[-1]
        now = self._standing.of_call(asked.principal, call, full=full)
        return replace(told, steps=(*told.steps[:-1], replace(last, reasons=(*last.reasons, *now))))

    async def _past(self, asked: Asked, request: pb.ExplainRequest) -> Explanation:
        full = self._may_explain(asked)
        if asked.tenant != asked.principal.tenant:
            self._require(asked)
        own = await asyncio.to_thread(self._names.pseudonym, asked.tenant, asked.principal.id)
        call = await asyncio.to_thread(self._found, asked.tenant, request, tell_why=full)
        # of a tool that its caller does not see the record must not tell that it is there
        is_hidden = call is not None and not full and (call.principal != own or call.code == "UNSUPPORTED_TOOL")
        if call is None or is_hidden:
            raise ValidationError(
                "UNKNOWN_RESOURCE",
                "There is no such call of yours in the log",
                ran="no",
                hint="explaining the calls of others needs the permission policies:explain",
            )
        manifest = self._manifest()
        now: tuple[str, ...] = ()
        if self._standing is not None and call.was == "pending":
            now = self._standing.of(asked.principal, call.approval, full=full)

        def tell() -> Explanation:
            known = self._names.name_of(call.principal)
            return explain_past(
                call,
                tenant=asked.tenant,
                principal=known[1] if known is not None else call.principal,
                bundle_of=lambda digest: self._bundle(asked.tenant, digest),
                contract_of=manifest.get,
                full=full,
                now=now,
            )

        async with self._working:
            return await asyncio.to_thread(tell)

    # ------------------------------------------------------------------------------------------------ who may know

    def _about(self, asked: Asked, principal_id: str) -> tuple[Principal, bool]:
        """Who the call is by, and whether that is who asks."""
        who = asked.principal
        name = asked.name_of(principal_id)
        if asked.tenant == who.tenant and (not name or f"{asked.tenant}/{name}" == who.id):
            return who, True
        person = self._directory.principal(f"{asked.tenant}/{name}")
        self._require(asked)
        if person is None:
            raise ValidationError("UNKNOWN_RESOURCE", f"There is no principal {name[:80]!r}", ran="no")
        return Principal(person.id, person.tenant, person.kind, authenticated_by="question"), False

    def _may_explain(self, asked: Asked) -> bool:
        inside = asked.principal.tenant in {asked.tenant, self._operator}
        return inside and self._rbac.decide(asked.principal, resource="policies", action="explain").allowed

    def _require(self, asked: Asked) -> bool:
        """Raise PERMISSION_DENIED unless the asker may explain calls of the tenant; True when it may."""
        self._rbac.require(asked.principal, resource="policies", action="explain")
        if not self._may_explain(asked) or self._directory.tenant(asked.tenant) is None:
            raise ValidationError(
                "UNKNOWN_RESOURCE",
                f"There is no tenant {asked.tenant[:80]!r}",
                ran="no",
                hint="leave it out for your own",
            )
        return True

    # ------------------------------------------------------------------------------------------- in another thread

    def _found(self, tenant: str, request: pb.ExplainRequest, *, tell_why: bool) -> RecordedCall | None:
        try:
            with LogReader.open(self._log) as reader:
                if request.HasField("position"):
                    return read_at(reader, tenant, request.position)
                return find_call(reader, tenant, request.invocation_id or request.call_id)
        except AltarError as error:
            if error.code == "UNKNOWN_RESOURCE" and not tell_why:
                return None
            raise

    def _bundle(self, tenant: str, digest: str) -> tuple[Bundle, int] | None:
        """The bundle of a digest, from the versions that are kept."""
        kept = tables.artefacts

        def read(connection: Connection) -> Any:
            return connection.execute(
                select(kept.c.body, kept.c.version)
                .where(kept.c.tenant == tenant, kept.c.kind == "policy", kept.c.digest == digest)
                .order_by(kept.c.version.desc())
            ).first()

        row = self._store.run_now(read, tenant=tenant, reads=True)
        if row is None:
            return None
        bundle = bundle_of(row.body.encode())
        return (bundle, row.version) if bundle.digest == digest else None

    def _replayed(
        self, tenant: str, bundle: Bundle, manifest: Manifest, request: pb.ReplayPolicyRequest
    ) -> list[pb.ReplayPolicyResponse]:
        with closing(open_records(self._log).reader) as reader:
            size = next((log.size for log in reader.logs() if log.tenant == tenant), 0)
            if size > MAX_REPLAYED:
                raise ValidationError(
                    "MALFORMED_REQUEST",
                    f"The log has {size} entries, and a host replays {MAX_REPLAYED} while it serves",
                    ran="no",
                    hint="replay it where the host is: `altar policy replay --data DIRECTORY`",
                )
            priced = self._prices(tenant)
            costs = None if priced is None else priced[1].estimate
            trial = Replay(bundle, tool_of=tool_of(bundle, manifest.get, costs=costs), since_ms=request.start_ms)
            if size:
                day = request.start_ms // DAY_MS * DAY_MS
                for call in calls_in(reader.entries(tenant), since_ms=day, until_ms=request.end_ms or None):
                    trial.take(call)
        found = trial.result()
        return [
            pb.ReplayPolicyResponse(
                done=size, total=size, text=replay_text(found), json=canonical(replay_json(found, tenant=tenant))
            )
        ]


def _arguments(given: bytes) -> Mapping[str, Any]:
    value = parse(given, max_bytes=_MAX_ARGUMENTS) if given else {}
    if not isinstance(value, dict):
        raise ValidationError("MALFORMED_REQUEST", "Arguments are a JSON object", ran="no", path="/arguments")
    return value


def _moment(time_ms: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC) if time_ms else None
    except (ValueError, OverflowError, OSError) as error:
        raise ValidationError("MALFORMED_REQUEST", f"{time_ms} is no time", ran="no", path="/time_ms") from error


def _environment(given: Mapping[str, str]) -> Mapping[str, str] | None:
    if len(given) > _MAX_ENVIRONMENT:
        raise ValidationError(
            "MALFORMED_REQUEST",
            f"The environment has more than {_MAX_ENVIRONMENT} names",
            ran="no",
            path="/environment",
        )
    return dict(given) or None
