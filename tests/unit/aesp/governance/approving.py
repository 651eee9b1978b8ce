"""Approvals over a real ledger and a real file of calls, with a clock and a directory of a test's own."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from altar.adm.errors import AltarError
from altar.aesp.built_in_roles import make_role
from altar.aesp.governance.approvals import Approvals
from altar.aesp.governance.break_glass import BreakGlass
from altar.aesp.governance.kept import KeptCalls, calls_path
from altar.aesp.governance.quorum import Quorum
from altar.aesp.governance.requests import ApprovalLimits, Request, Vote
from altar.aesp.governance.restoring import requests_in, told_in
from altar.aesp.permissions import parse_scope
from altar.aesp.policy.check import PolicyVerdict
from altar.aesp.policy.policy import Bundle, Effect, Policy
from altar.aesp.principal import PrincipalKind
from altar.aesp.snapshot import Binding, Grant, Grants, Person
from altar.grid.manifests.manifest import HostContract
from altar.later.invocation import Invocation
from altar.ledger.entry import Event
from altar.ledger.ledger import Ledger
from altar.ledger.subjects import Subjects
from tests.unit.grid.contracts import MANIFEST
from tests.unit.ledger.samples import open_ledger, signer_in

NAME = MANIFEST.names[0]
POLICY = Policy(name="large", condition="true", effect=Effect.REQUIRE_APPROVAL, approvers=("boss",), quorum=1)


def person(name: str, *roles: str, email: str = "", kind: PrincipalKind = PrincipalKind.USER) -> Person:
    """Somebody of acme who holds roles for all tools."""
    held = tuple(
        Grant(
            role,
            make_role(role, ("tools:read",)).permissions,
            Binding(f"b-{role}", role, name, None, parse_scope("*")),
            (),
            (role,),
        )
        for role in roles
    )
    return Person(
        f"acme/{name}",
        "acme",
        name,
        kind,
        "",
        email,
        True,
        (),
        roles,
        "",
        "",
        "",
        0.0,
        Grants(held),
        created_ms=1,
    )


class People:
    """A directory that a test changes as it likes."""

    def __init__(self, *there: Person) -> None:
        self.there = {one.id: one for one in there}

    def principal(self, principal_id: str) -> Person | None:
        """Somebody who is there."""
        return self.there.get(principal_id)

    def change(self, name: str, **members: object) -> None:
        """Change somebody."""
        self.there[f"acme/{name}"] = dataclasses.replace(self.there[f"acme/{name}"], **members)  # type: ignore[arg-type]  # by name


class Alarm:
    """Takes alarms, or does not."""

    def __init__(self) -> None:
        self.heard: list[Mapping[str, str | int]] = []
        self.failure: AltarError | None = None

    async def sound(self, facts: Mapping[str, str | int]) -> None:
        """Take one."""
        if self.failure is not None:
            raise self.failure
        self.heard.append(facts)


class Desk:
    """Everything that a test needs, for as long as the context of `desk` lasts."""

    def __init__(self, ledger: Ledger, subjects: Subjects, kept: KeptCalls, limits: ApprovalLimits) -> None:
        self.time = 1_700_000_000.0
        self.ledger, self.subjects, self.kept, self.limits = ledger, subjects, kept, limits
        self.people = People(
            person("ann"),
            person("tom", "boss"),
            person("tina", "boss"),
            person("worker", kind=PrincipalKind.SERVICE_ACCOUNT),
        )
        self.owners: dict[str, set[str]] = {}
        self.bundle: Bundle | None = Bundle(name="b", policies=(POLICY,))
        self.contract: HostContract = MANIFEST.find(NAME)
        self.known: set[tuple[str, str, str]] = set()
        self.alarm = Alarm()
        self.glass = BreakGlass(self.alarm, now=lambda: self.time)
        self.approvals = self.made()

    def made(self) -> Approvals:
        """Approvals that know nothing yet."""
        quorum = Quorum(self.people, lambda account: self.owners.get(account, set()))
        made = Approvals(
            quorum=quorum,
            kept=self.kept,
            subjects=self.subjects,
            bundle_of=lambda _tenant: self.bundle,
            now=lambda: self.time,
            limits=self.limits,
        )
        made.join(
            commit=self.commit,
            knows=self.known.__contains__,
            size=lambda: self.ledger.size,
            contract_of=lambda _name, _version: self.contract,
        )
        self.glass.join(commit=self.commit)
        return made

    def commit(self, entries: object, then: object) -> None:
        """Record as the gate of a host does: by pseudonym."""
        private = [
            dataclasses.replace(each, principal=self.subjects.of(each.tenant, each.principal).pseudonym)
            if isinstance(each, Event) and each.principal
            else each
            for each in entries  # type: ignore[attr-defined]  # a sequence
        ]
        self.ledger.commit(private, then)  # type: ignore[arg-type]  # as it is given

    def call(self, who: str = "ann", arguments: bytes = b"{}", *, under: str = "") -> Invocation:
        """A call that policies want approved, with a handle where one is given."""
        made = Invocation(NAME, arguments, under or "c-1", "1.0.0", principal=f"acme/{who}", tenant="acme")
        made.once = bool(under)
        made.contract = self.contract
        bundle = self.bundle
        if bundle is not None:
            made.verdict = PolicyVerdict(bundle=bundle.digest, wants=bundle.policies)
        return made

    async def asked(self, call: Invocation | None = None) -> Request:
        """Make a request, and wait until it is recorded."""
        error = self.approvals.ask(call or self.call())
        await self.approvals.recorded(error.handle)
        found = self.approvals.any(error.handle)
        assert found is not None
        return found

    async def vote(self, request: Request, who: str, *, approve: bool = True, over: str = "") -> None:
        """Somebody decides, over the connection of a certificate where one is given."""
        account = self.approvals.quorum.account(f"acme/{who}")
        vote = Vote(f"acme/{who}", approve, "", int(self.time * 1000), account)
        await self.approvals.decide(request, vote, over=f"acme/{over}" if over else "")

    def use(self, request: Request, **more: object) -> str:
        """Make the call under its handle; gives the code it is refused with, or nothing."""
        try:
            self.approvals.use(self.call(under=request.id, **more))  # type: ignore[arg-type]  # by name
        except AltarError as refused:
            return refused.code
        return ""

    async def again(self) -> Approvals:
        """What a host that is started again takes up from log and file."""
        done = asyncio.get_running_loop().create_future()
        self.kept.fetch("", lambda _body, _error: done.set_result(None))
        await done
        floor, rows = self.kept.load()
        made = self.made()
        made.take_up(
            requests_in(
                told_in(self.ledger.path, floor=floor),
                self.ledger.claims(floor=floor),
                dict(rows),
                subjects=self.subjects,
                now_ms=int(self.time * 1000),
                longest_ms=600_000,
                account_of=made.quorum.account,
            )
        )
        return made


@asynccontextmanager
async def desk(path: Path, *, limits: ApprovalLimits | None = None) -> AsyncIterator[Desk]:
    """A desk whose files are in a directory."""
    loop = asyncio.get_running_loop()

    def deliver(function: Callable[[], None]) -> None:
        loop.call_soon_threadsafe(function)

    ledger = open_ledger(path / "ledger.db", signer_in(path), per_tenant=True, pseudonyms=True, deliver=deliver)
    subjects = ledger.subjects
    assert subjects is not None
    kept = KeptCalls(calls_path(ledger.path), on_failure=lambda _error: None, deliver=deliver)
    try:
        yield Desk(ledger, subjects, kept, limits or ApprovalLimits())
    finally:
        await asyncio.to_thread(kept.close)
        await asyncio.to_thread(ledger.close)
