"""Contracts that runtimes bring, or serve for one session, are governed as those of the manifest are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest_asyncio

from altar.adm.canonical import canonical
from altar.adm.enterprise import ANNOTATION, Governance
from altar.adm.errors import DeclarationError
from altar.grid.host.host import Host
from altar.grid.host.runtimes import AttachedRuntime
from altar.grid.host.sessions import HostSession
from altar.grid.manifests.manifest import HostContract, Manifest
from tests.unit.grid.contracts import Link, declaration
from tests.unit.ledger.samples import open_ledger, signer_in

SENT = declaration("send")
ASKED = Governance(required_roles=("payer",))


@pytest_asyncio.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    """A host in development, whose manifest asks for a role."""
    loop = asyncio.get_running_loop()

    def deliver(answer: Callable[[], None]) -> None:
        loop.call_soon_threadsafe(answer)

    ledger = open_ledger(tmp_path / "ledger.db", signer_in(tmp_path), deliver=deliver)
    yield Host(name="host-1", manifest=manifest(ASKED), ledger=ledger, development=True)
    await asyncio.to_thread(ledger.close)


def manifest(governance: Governance) -> Manifest:
    return Manifest([SENT], governance={("send", "1.0.0"): governance})


def attached(host: Host) -> AttachedRuntime:
    return host.runtimes.attach("one", Link())


def opened(host: Host) -> HostSession:
    return host.sessions.create("ann", (), ttl=0, manifest=host.manifest)


def served(session: HostSession) -> HostContract:
    (contract,) = session.registered
    return contract


def said_by_the_author(governance: Any) -> bytes:
    document = declaration("brought").to_adm()
    document["metadata"] = {ANNOTATION: governance}
    return canonical(document)


async def test_what_the_author_of_a_registered_tool_asks_for_holds(host: Host) -> None:
    text = said_by_the_author({"required_roles": ["payer"], "contains_pii": True, "estimated_cost": "2.50"})

    (answer,) = host.registrations.register(attached(host), [text], "")

    assert answer.contract is not None
    wanted = Governance(required_roles=("payer",), contains_pii=True, estimated_cost="2.50")
    assert wanted == answer.contract.governance == host.manifest.find("brought").governance


async def test_a_governance_that_is_none_is_refused_with_its_tool(host: Host) -> None:
    texts = [said_by_the_author(governance) for governance in ({"required_roles": "payer"}, ["payer"])]

    answers = host.registrations.register(attached(host), texts, "")

    assert [DeclarationError, DeclarationError] == [type(answer.error) for answer in answers]
    assert ["send"] == host.manifest.names


async def test_a_contract_of_the_manifest_asks_for_the_same_where_it_is_served_for_one_session(host: Host) -> None:
    session = opened(host)

    host.registrations.fulfil(attached(host), host.manifest.find("send"), session.session_id)

    assert ASKED == served(session).governance


async def test_a_registration_for_a_session_cannot_take_away_what_the_manifest_asks_for(host: Host) -> None:
    session = opened(host)

    host.registrations.register(attached(host), [canonical(SENT.to_adm())], session.session_id)

    assert ASKED == served(session).governance


async def test_what_a_newer_manifest_asks_for_holds_where_a_contract_is_served_for_one_session(host: Host) -> None:
    session, more = opened(host), Governance(required_roles=("payer", "boss"))
    host.registrations.fulfil(attached(host), host.manifest.find("send"), session.session_id)

    host.activate(manifest(more))

    assert more == served(session).governance
