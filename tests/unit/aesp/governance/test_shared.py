"""One approved call and several hosts on one store: each with a log of its own, and only one of them uses it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from altar.adm.errors import AltarError
from altar.aesp.governance.requests import Request, State
from altar.aesp.governance.shared import SharedCalls, host_id
from altar.aesp.store import people, tables
from altar.aesp.store.database import Store
from altar.grid.host.session_gate import intent_of
from altar.later.invocation import Invocation, Outcome
from altar.ledger import entry
from altar.ledger.claims import RecordedClaim
from altar.testing.postgres import LocalPostgres
from tests.unit.aesp.governance.approving import Desk, desk

KEYS = {"k1": b"1" * 32, "k2": b"2" * 32}


Claims = Callable[[int], Iterable[RecordedClaim]]


class Hosts:
    """Two hosts on one store, east and west, whose people and policies are the same; so are their names."""

    def __init__(self, store: Store, east: Desk, west: Desk) -> None:
        self.store = store
        self.desks = {"east": east, "west": west}
        self.newest = "k1"
        west.people, west.contract = east.people, east.contract
        for name, one in self.desks.items():
            self.join(name, one)

    def join(self, name: str, one: Desk) -> SharedCalls:
        """Let a host share, as after its start."""
        one.approvals.quorum._people = self.desks["east"].people
        one.approvals.shared = self.shared(one)
        one.approvals.text_of = self.text_of
        return one.approvals.shared

    def shared(self, one: Desk) -> SharedCalls:
        return SharedCalls(
            self.store,
            host=host_id("host-1", one.ledger.vkey),
            keys=self.key,
            now=lambda: one.time,
            size=lambda: one.ledger.size,
            find=one.approvals.any,
            was_used_here=one.approvals.is_again,
        )

    def key(self, kid: str) -> tuple[str, bytes] | None:
        kid = kid or self.newest
        return (kid, KEYS[kid]) if kid in KEYS and kid <= self.newest else None

    async def text_of(self, _request: Request) -> bytes:
        return b'{"n":"needle"}'

    async def approved(self) -> Request:
        """A call that east has asked for, and that is approved there."""
        east = self.desks["east"]
        request = await east.asked(east.call(arguments=b'{"n":"needle"}'))
        await east.vote(request, "tom")
        return request

    async def taken_up(self, request: Request, who: str = "ann") -> Request | None:
        return await self.desks["west"].approvals.adopt(request.id, tenant="acme", principal=f"acme/{who}")

    def call(self, name: str, request: Request, number: int = 1) -> Invocation:
        """The approved call as it stands at the gate of a host; raises what that refuses it with."""
        one = self.desks[name]
        made = one.call(arguments=b'{"n":"needle"}', under=request.id)
        made.invocation_id = f"{name}-{number}"
        one.approvals.use(made)
        return made

    async def ask(self, name: str, call: Invocation, go_on: Callable[[Invocation], None] | None = None) -> str:
        """Let a host claim; "ran" when the call goes on, else the code of why not."""
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        goes_on = go_on or claims(self, name)

        def ran(made: Invocation) -> None:
            goes_on(made)
            done.set_result("ran")

        def refused(_made: Invocation, outcome: Outcome) -> None:
            assert outcome.error is not None
            done.set_result(outcome.error.code)

        shared = self.desks[name].approvals.shared
        assert shared is not None
        assert shared.hold(call, ran, refused)
        return await done

    def starts(self, name: str, *, log: Claims | None = None, size: int | None = None) -> SharedCalls:
        """A host is started again: it knows its log and the store; its log can be another one, of that size."""
        one = self.desks[name]
        one.known.clear()
        one.approvals = one.made()
        made = self.join(name, one)
        if size is not None:
            made._size = lambda: size
        made.let_go(["acme"], log or (lambda place: one.ledger.claims(floor=place)))
        return made


@pytest_asyncio.fixture
async def hosts(postgres: LocalPostgres, prepared_postgres: str, tmp_path: Path) -> AsyncIterator[Hosts]:
    postgres.empty(prepared_postgres)
    store = await asyncio.to_thread(Store.open, prepared_postgres)

    def begin(connection: object) -> None:
        connection.execute(  # type: ignore[attr-defined]  # a connection
            tables.tenants.insert().values(
                tenant="acme", display="", status="ACTIVE", quotas="{}", created_ms=1, changed_ms=1
            )
        )
        people.create_principal(connection, tenant="acme", name="ann", now_ms=1)  # type: ignore[arg-type]  # a connection

    await store.run(begin, tenant=None)
    async with AsyncExitStack() as stack:
        places = [tmp_path / name for name in ("east", "west")]
        for each in places:
            each.mkdir()
        east, west = [await stack.enter_async_context(desk(each)) for each in places]
        yield Hosts(store, east, west)
    await asyncio.to_thread(store.close)


async def test_what_one_host_granted_another_one_uses_and_neither_of_them_again(hosts: Hosts) -> None:
    request = await hosts.approved()
    taken = await hosts.taken_up(request)
    assert taken is not None

    used = await hosts.ask("west", hosts.call("west", request))
    late = await hosts.ask("east", hosts.call("east", request))
    with pytest.raises(AltarError) as again:
        hosts.call("east", request)

    assert (request.digest, request.needs) == (taken.digest, taken.needs)
    assert b'{"n":"needle"}' == hosts.desks["west"].approvals.elsewhere[request.id]
    assert ("ran", "APPROVAL_VOID", "APPROVAL_VOID") == (used, late, again.value.code)
    assert "is used" in again.value.message


async def test_of_both_hosts_at_the_same_instant_one_uses_it(hosts: Hosts) -> None:
    request = await hosts.approved()
    assert await hosts.taken_up(request) is not None
    calls = [(name, hosts.call(name, request)) for name in ("east", "west", "east", "west")]

    results = await asyncio.gather(*(hosts.ask(name, call, go_on=claims(hosts, name)) for name, call in calls))

    winner = {name for (name, _), result in zip(calls, results, strict=True) if result == "ran"}
    assert 1 == len(winner)  # whose second call is for its key to answer
    assert {"ran", "APPROVAL_VOID"} >= set(results)


def claims(hosts: Hosts, name: str) -> Callable[[Invocation], None]:
    """What the keys of a host do when a call goes on."""
    one = hosts.desks[name]

    def go_on(call: Invocation) -> None:
        one.known.add((call.tenant, call.principal, call.call_id))
        one.approvals.claimed(call)

    return go_on


async def test_a_host_that_is_killed_between_claim_and_intent_lets_go_of_it_when_it_starts(hosts: Hosts) -> None:
    request = await hosts.approved()
    await hosts.taken_up(request)
    claimed = await hosts.ask("west", hosts.call("west", request))

    hosts.starts("west")  # which has no intent in its log
    used = await hosts.ask("east", hosts.call("east", request))

    assert ("ran", "ran") == (claimed, used)


@pytest.mark.parametrize(("ran", "after"), [("yes", "APPROVAL_VOID"), ("unknown", "APPROVAL_VOID"), ("no", "ran")])
async def test_a_host_that_is_killed_behind_the_intent_keeps_it_unless_it_did_not_run(
    hosts: Hosts, ran: str, after: str
) -> None:
    request = await hosts.approved()
    await hosts.taken_up(request)
    west = hosts.desks["west"]
    call = hosts.call("west", request)
    await hosts.ask("west", call)
    made = intent_of(call, west.subjects)
    await recorded(west, made)
    code = {"yes": "", "unknown": "OUTCOME_UNKNOWN", "no": "TIMEOUT"}[ran]
    await recorded(west, outcome(made, west.ledger.size - 1, code=code, ran=ran))

    hosts.starts("west")

    assert after == await hosts.ask("east", hosts.call("east", request))


async def test_what_is_removed_from_the_log_of_who_used_it_does_not_make_it_good_again(hosts: Hosts) -> None:
    request = await hosts.approved()
    await hosts.taken_up(request)
    west = hosts.desks["west"]
    call = hosts.call("west", request)
    await hosts.ask("west", call)
    made = intent_of(call, west.subjects)
    await recorded(west, made)
    await recorded(west, outcome(made, west.ledger.size - 1, code="", ran="yes"))

    hosts.starts("west")
    hosts.starts("west", log=lambda _place: [])  # as after the time that entries are kept

    assert "APPROVAL_VOID" == await hosts.ask("east", hosts.call("east", request))


async def test_what_has_ended_is_used_for_good_before_its_host_starts_again(hosts: Hosts) -> None:
    request = await hosts.approved()
    await hosts.taken_up(request)
    west = hosts.desks["west"]
    call = hosts.call("west", request)
    await hosts.ask("west", call)
    west.approvals.ended(call, ran=True)
    assert west.approvals.shared is not None
    await asyncio.gather(*west.approvals.shared._tasks)

    hosts.starts("west", log=lambda _place: [])

    assert "APPROVAL_VOID" == await hosts.ask("east", hosts.call("east", request))


async def test_an_older_log_frees_nothing_because_it_cannot_tell(hosts: Hosts) -> None:
    request = await hosts.approved()
    await hosts.taken_up(request)
    await recorded(hosts.desks["west"], entry.Event(event="app.any", subject="any"))
    await hosts.ask("west", hosts.call("west", request))

    hosts.starts("west", log=lambda _place: [], size=0)
    hosts.starts("west", log=lambda _place: [], size=1_000)  # it has grown since

    assert "APPROVAL_VOID" == await hosts.ask("east", hosts.call("east", request))


async def test_a_host_that_starts_leaves_alone_what_another_one_of_its_name_claimed(hosts: Hosts) -> None:
    request = await hosts.approved()
    await hosts.taken_up(request)
    used = await hosts.ask("east", hosts.call("east", request))
    late = hosts.call("west", request)
    while hosts.desks["west"].ledger.size < hosts.desks["east"].ledger.size:
        await recorded(hosts.desks["west"], entry.Event(event="app.any", subject="any"))

    hosts.desks["west"].approvals.shared.let_go(["acme"], lambda _place: [])  # type: ignore[union-attr]  # it is there

    assert ("ran", "APPROVAL_VOID") == (used, await hosts.ask("west", late))


async def test_a_call_that_is_refused_behind_its_claim_and_before_its_key_uses_nothing_up(hosts: Hosts) -> None:
    request = await hosts.approved()
    await hosts.taken_up(request)

    await hosts.ask("west", hosts.call("west", request), go_on=lambda _call: None)  # as when no more keys are kept
    shared = hosts.desks["west"].approvals.shared
    assert shared is not None
    await asyncio.gather(*shared._tasks)

    assert "ran" == await hosts.ask("east", hosts.call("east", request))


@pytest.mark.parametrize("how", ["withdrawn", "refused"])
async def test_what_is_taken_back_while_it_is_being_shared_is_good_nowhere(hosts: Hosts, how: str) -> None:
    east, holds, goes = hosts.desks["east"], asyncio.Event(), asyncio.Event()

    async def slowly(_request: Request) -> bytes:
        holds.set()
        await goes.wait()
        return b'{"n":"needle"}'

    east.approvals.text_of = slowly
    request = await east.asked(east.call(arguments=b'{"n":"needle"}'))
    sharing = asyncio.create_task(east.vote(request, "tom"))
    await holds.wait()

    async def take_back() -> None:
        if how == "withdrawn":
            await east.approvals.withdraw(request, principal="acme/ann")
        else:
            await east.vote(request, "tina", approve=False)

    taking = asyncio.create_task(take_back())
    for _ in range(100):  # whatever does not wait for the other one would be done by then
        await asyncio.to_thread(lambda: None)
    goes.set()
    await asyncio.gather(sharing, taking)

    assert {State.WITHDRAWN, State.REFUSED} >= {east.approvals.state_of(request)}
    assert await hosts.taken_up(request) is None


async def recorded(one: Desk, made: entry.Entry) -> None:
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    one.ledger.commit([made], lambda _place, _error: done.set_result(None))
    await done


def outcome(made: entry.Intent, place: int, *, code: str, ran: str) -> entry.Outcome:
    return entry.Outcome(
        intent=place,
        invocation=made.invocation,
        status="ERROR" if code else "SUCCESS",
        code=code,
        ran=ran,  # type: ignore[arg-type]  # one of the three
        result="" if code else "hmac-sha256:" + "0" * 64,
        runtime="",
        attempts=1,
    )


async def test_a_call_that_did_not_run_frees_it_for_both(hosts: Hosts) -> None:
    request = await hosts.approved()
    await hosts.taken_up(request)
    call = hosts.call("west", request)
    await hosts.ask("west", call, go_on=claims(hosts, "west"))
    west = hosts.desks["west"]
    west.known.clear()
    west.approvals.ended(call, ran=False)

    again = await hosts.ask("west", hosts.call("west", request, 2))  # also before the store has been told
    shared = west.approvals.shared
    assert shared is not None
    await asyncio.gather(*shared._tasks)
    late = await hosts.ask("east", hosts.call("east", request))

    assert ("ran", "APPROVAL_VOID") == (again, late)


async def test_a_host_whose_key_is_forgotten_takes_up_nothing_that_was_used_there(hosts: Hosts) -> None:
    request = await hosts.approved()
    await hosts.taken_up(request)
    await hosts.ask("west", hosts.call("west", request), go_on=claims(hosts, "west"))
    west = hosts.desks["west"]
    west.approvals = west.made()  # all is forgotten; the claim stands in the store
    west.known.clear()
    hosts.join("west", west)

    assert await hosts.taken_up(request) is None


async def test_what_is_refused_or_taken_back_is_good_nowhere_not_even_where_it_was_taken_up(hosts: Hosts) -> None:
    refused, withdrawn = await hosts.approved(), None
    await hosts.taken_up(refused)
    call = hosts.call("west", refused)
    east = hosts.desks["east"]
    await east.vote(refused, "tina", approve=False)
    withdrawn = await hosts.approved()
    await hosts.taken_up(withdrawn)
    late = hosts.call("west", withdrawn)
    await east.approvals.withdraw(withdrawn, principal="acme/ann")

    codes = [await hosts.ask("west", call), await hosts.ask("west", late)]
    assert ["APPROVAL_VOID"] * 2 == codes
    assert State.REFUSED is east.approvals.state_of(refused)


async def test_what_another_host_uses_can_be_refused_and_taken_back_no_more(hosts: Hosts) -> None:
    request, other = await hosts.approved(), None
    await hosts.taken_up(request)
    await hosts.ask("west", hosts.call("west", request))
    east = hosts.desks["east"]

    with pytest.raises(AltarError) as refused:
        await east.vote(request, "tina", approve=False)
    other = await hosts.approved()
    await east.approvals.refresh(other)

    assert "APPROVAL_VOID" == refused.value.code
    assert State.CONSUMED is east.approvals.state_of(request)
    assert State.APPROVED is east.approvals.state_of(other)


async def test_a_host_judges_by_its_own_directory_and_policies_what_another_one_granted(hosts: Hosts) -> None:
    request = await hosts.approved()
    await hosts.taken_up(request)
    west = hosts.desks["west"]
    codes = []
    for change, back in (({"active": False}, {"active": True}), ({"created_ms": 2}, {"created_ms": 1})):
        west.people.change("tom", **change)
        codes.append(code_at(hosts, request))
        west.people.change("tom", **back)
    west.bundle = None
    codes.append(code_at(hosts, request))
    west.bundle = hosts.desks["east"].bundle
    assert west.bundle is not None
    other = dataclasses.replace(west.bundle.policies[0], quorum=2)
    west.bundle = dataclasses.replace(west.bundle, policies=(other,))
    codes.append(code_at(hosts, request))

    assert ["APPROVAL_PENDING", "APPROVAL_PENDING", "APPROVAL_VOID", "APPROVAL_VOID"] == codes


def code_at(hosts: Hosts, request: Request) -> str:
    try:
        hosts.call("west", request)
    except AltarError as refused:
        return refused.code
    return ""


async def test_nobody_but_its_requester_is_given_it_and_what_is_pending_is_not_there(hosts: Hosts) -> None:
    east = hosts.desks["east"]
    pending = await east.asked(east.call())
    approved = await hosts.approved()

    assert await hosts.taken_up(pending) is None
    assert await hosts.taken_up(approved, "tom") is None
    assert await hosts.taken_up(approved) is not None
    assert [] == list(hosts.desks["west"].approvals)  # approvers decide where it was asked for
    assert hosts.desks["west"].approvals.of(approved.id, tenant="acme") is None


async def test_the_store_has_nothing_that_can_be_read_or_used_without_the_keys_of_the_hosts(hosts: Hosts) -> None:
    request = await hosts.approved()
    table = tables.approvals
    (row,) = hosts.store.run_now(lambda connection: connection.execute(table.select()).all(), tenant="acme")
    stored = repr(row._mapping)
    swapped = dataclasses.replace(request, id="approval-" + "0" * 24)
    hosts.newest = "k0"

    gone = await hosts.taken_up(request)

    assert "needle" not in stored
    assert request.id not in stored
    assert request.arguments not in stored
    assert gone is None
    hosts.newest = "k2"  # a rotation: what was sealed before can be opened as long as the key is there
    assert await hosts.taken_up(request) is not None
    assert await hosts.taken_up(swapped) is None


async def test_while_the_store_is_out_of_reach_nobody_uses_any(hosts: Hosts, tmp_path: Path) -> None:
    request = await hosts.approved()
    call = hosts.call("east", request)
    shared = hosts.desks["east"].approvals.shared
    assert shared is not None
    elsewhere = await asyncio.to_thread(Store.open, f"sqlite:///{tmp_path}/closed.db")
    await asyncio.to_thread(elsewhere.engine.dispose)
    (tmp_path / "closed.db").unlink()
    (tmp_path / "closed.db").mkdir()
    shared._store = elsewhere

    assert "DEPENDENCY_UNAVAILABLE" == await hosts.ask("east", call)
    hosts.join("east", hosts.desks["east"])
    assert "ran" == await hosts.ask("east", hosts.call("east", request))
    (tmp_path / "closed.db").rmdir()
    await asyncio.to_thread(elsewhere.close)
