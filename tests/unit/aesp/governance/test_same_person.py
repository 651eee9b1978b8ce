"""Attacks by one person who is several: with certificates, keys of others, and accounts that were given on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from altar.adm.errors import AltarError
from altar.aesp.governance.quorum import human_of, mark_of
from altar.aesp.governance.requests import Request, State
from altar.aesp.principal import PrincipalKind
from tests.unit.aesp.governance.approving import Desk, desk, person

SYSTEM = PrincipalKind.SYSTEM_ACCOUNT


@pytest_asyncio.fixture
async def made(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(tmp_path) as ready:
        yield ready


def add(made: Desk, name: str, *roles: str, email: str = "", kind: PrincipalKind = PrincipalKind.USER) -> None:
    made.people.there[f"acme/{name}"] = person(name, *roles, email=email, kind=kind)


async def refused(made: Desk, request: Request, who: str, *, over: str = "") -> str:
    """The code with which a word is refused, or nothing."""
    try:
        await made.vote(request, who, over=over)
    except AltarError as said:
        return said.code
    return ""


async def test_whoever_has_the_name_or_the_address_of_a_certificate_does_not_approve_what_it_asked_for(
    made: Desk,
) -> None:
    add(made, "cert:tom", kind=SYSTEM)
    add(made, "Tom@corp.example", "boss")
    add(made, "thomas", "boss", email="tom@acme.example")
    by_name, by_address = await made.asked(made.call("cert:tom")), None
    add(made, "cert:laptop", kind=SYSTEM, email="Tom+laptop@acme.example")
    by_address = await made.asked(made.call("cert:laptop"))

    codes = [await refused(made, by_name, who) for who in ("tom", "Tom@corp.example")]
    codes.append(await refused(made, by_address, "thomas"))

    assert ["PERMISSION_DENIED"] * 3 == codes
    assert ("", "") == (await refused(made, by_name, "tina"), await refused(made, by_address, "tom"))


async def test_whoever_made_the_account_of_a_certificate_does_not_approve_what_it_asked_for(made: Desk) -> None:
    add(made, "cert:gateway", kind=SYSTEM)
    made.owners["acme/cert:gateway"] = {"acme/tom"}
    request = await made.asked(made.call("cert:gateway"))

    assert "PERMISSION_DENIED" == await refused(made, request, "tom")
    assert "" == await refused(made, request, "tina")


async def test_a_word_that_comes_over_the_certificate_that_asked_or_another_one_of_its_holder_does_not_count(
    made: Desk,
) -> None:
    add(made, "cert:laptop", kind=SYSTEM, email="eve@acme.example")
    add(made, "cert:phone", kind=SYSTEM, email="eve+phone@acme.example")
    add(made, "cert:other", kind=SYSTEM)
    request = await made.asked(made.call("cert:laptop"))

    own, second = (
        await refused(made, request, "tom", over="cert:laptop"),
        await refused(made, request, "tom", over="cert:phone"),
    )

    assert ["PERMISSION_DENIED"] * 2 == [own, second]
    assert "" == await refused(made, request, "tom", over="cert:other")
    assert State.APPROVED is made.approvals.state_of(request)


async def test_a_certificate_approves_nothing_whatever_kind_of_account_it_has(made: Desk) -> None:
    add(made, "cert:boss", "boss")
    request = await made.asked()

    assert "PERMISSION_DENIED" == await refused(made, request, "cert:boss")


async def test_whoever_saw_a_key_of_somebodys_account_does_not_approve_what_that_account_asked_for(made: Desk) -> None:
    made.owners["acme/ann"] = {"acme/tom"}
    through = await made.asked(made.call("worker"))
    made.owners["acme/worker"] = {"acme/ann"}
    request = await made.asked()

    assert "PERMISSION_DENIED" == await refused(made, request, "tom")
    assert "PERMISSION_DENIED" == await refused(made, through, "tom")  # who can be ann, who can be the program
    assert "" == await refused(made, request, "tina")


async def test_a_holder_of_a_key_who_was_given_another_account_is_known_again(made: Desk) -> None:
    add(made, "tom", "boss", email="tom@acme.example")
    made.owners["acme/worker"] = {"acme/tom", mark_of(human_of(made.people.there["acme/tom"]))}
    del made.people.there["acme/tom"]
    add(made, "thomas", "boss", email="Tom@acme.example")
    request = await made.asked(made.call("worker"))

    assert "PERMISSION_DENIED" == await refused(made, request, "thomas")
    assert "" == await refused(made, request, "tina")


async def test_who_is_given_the_id_of_a_voter_has_not_voted_not_even_after_a_restart(made: Desk) -> None:
    request = await made.asked()
    await made.vote(request, "tom")
    before = made.use(request)
    made.people.change("tom", created_ms=2)

    later = made.use(request)
    restored = {one.id: one for one in await made.again()}[request.id]
    again = made.approvals.state_of(restored)
    made.people.change("tom", created_ms=1)

    assert ("", "APPROVAL_PENDING") == (before, later)
    assert State.PENDING is again
    assert "" == made.use(request)
    made.people.change("tom", created_ms=2)
    assert "" == await refused(made, request, "tom")  # the new one may speak for himself
    assert "" == made.use(request)


async def test_who_is_given_the_id_of_a_requester_has_no_request_not_even_after_a_restart(made: Desk) -> None:
    request = await made.asked()
    await made.vote(request, "tom")
    made.people.change("ann", created_ms=2)
    made.known.add(("acme", "acme/ann", request.id))  # nor the result that is kept under its key

    used, stands = made.use(request), made.approvals.stands(made.call(under=request.id))
    other = await made.asked()
    restored = {one.id: one for one in await made.again()}[request.id]

    assert ("APPROVAL_VOID", False) == (used, stands)
    assert request.id != other.id
    assert not made.approvals.quorum.is_asker("acme/ann", restored)
    assert made.approvals.quorum.is_asker("acme/ann", other)


async def test_nobody_approves_what_was_asked_by_somebody_who_is_gone(made: Desk) -> None:
    request = await made.asked()
    del made.people.there["acme/ann"]

    assert "APPROVAL_VOID" == await refused(made, request, "tom")


@pytest.mark.parametrize("name", ["tom", "Tom", "tom@else.example"])
async def test_a_name_tells_nothing_where_no_certificate_asked(made: Desk, name: str) -> None:
    add(made, "tom@corp.example")
    add(made, name, "boss")
    request = await made.asked(made.call("tom@corp.example"))

    assert "" == await refused(made, request, name)
