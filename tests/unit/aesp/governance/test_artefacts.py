"""Versions from their draft to the end of their use, on both databases; and ways to put one in force alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text, update

from altar.adm.canonical import digest
from altar.adm.errors import AltarError
from altar.aesp.governance.artefacts import (
    MOST_BYTES,
    MOST_OPEN,
    ArtefactKind,
    Artefacts,
    Status,
    read_active,
)
from altar.aesp.principal import Principal, PrincipalKind
from altar.aesp.store import people, tables
from altar.aesp.store.database import Store
from altar.aesp.tenants import Tenants

POLICY = ArtefactKind.POLICY
NAME = "policies"
ANN = Principal("acme/ann", "acme", PrincipalKind.USER, "password")
BEN = Principal("acme/ben", "acme", PrincipalKind.USER, "password")


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A store with the tenants acme and rival, and in acme ann, ben and the service accounts of both."""
    opened = Store.open(store_url)
    try:
        for tenant in ("acme", "rival"):
            asyncio.run(Tenants(opened, clock=lambda: 1.0).create(tenant))
        add(opened, "ann", email="ann@acme.example")
        add(opened, "ben", email="ben@acme.example")
        yield opened
    finally:
        opened.close()


def add(store: Store, name: str, *, tenant: str = "acme", **more: Any) -> None:
    """Make a principal."""
    store.run_now(lambda c: people.create_principal(c, tenant=tenant, name=name, now_ms=1, **more), tenant=tenant)


def kept(store: Store, *, review: bool = True) -> Artefacts:
    return Artefacts(store, clock=lambda: 7.0, review=[POLICY] if review else [])


async def handed_in(artefacts: Artefacts, body: str, *, by: str = ANN.id, tenant: str = "acme") -> int:
    """The number of a version that waits for its review."""
    made = await artefacts.draft(POLICY, NAME, body, tenant=tenant, by=by)
    await artefacts.submit(POLICY, NAME, made.version, tenant=tenant, by=by)
    return made.version


async def in_force(artefacts: Artefacts, body: str) -> int:
    """The number of a version of ann's that ben has put in force."""
    version = await handed_in(artefacts, body)
    await artefacts.activate(POLICY, NAME, version, tenant="acme", who=BEN)
    return version


async def refusal(waiting: Any) -> tuple[str, str]:
    """The code and the words that something is refused with."""
    with pytest.raises(AltarError) as refused:
        await waiting
    return refused.value.code, refused.value.message


def states(store: Store) -> dict[int, str]:
    rows = store.run_now(lambda c: c.execute(tables.artefacts.select()).all(), tenant=None, reads=True)
    return {row.version: row.status for row in sorted(rows, key=lambda row: row.version)}


async def test_a_version_goes_from_its_draft_into_force_and_the_one_before_is_retired(store: Store) -> None:
    artefacts = kept(store)
    first = await in_force(artefacts, "one")

    second = await handed_in(artefacts, "two")
    waiting = states(store)
    swap = await artefacts.activate(POLICY, NAME, second, tenant="acme", who=BEN, digest=digest(b"two"))

    assert {1: "ACTIVE", 2: "PENDING_APPROVAL"} == waiting
    assert {1: "RETIRED", 2: "ACTIVE"} == states(store)
    assert (second, "two", BEN.id, first) == (
        swap.now.version,
        swap.now.body,
        swap.now.reviewed_by,
        swap.before.version if swap.before else 0,
    )


async def test_an_illegal_step_is_refused_in_one_sentence(store: Store) -> None:
    artefacts = kept(store)
    active = await in_force(artefacts, "one")
    draft = (await artefacts.draft(POLICY, NAME, "two", tenant="acme", by=ANN.id)).version

    told = {
        "activate a draft": await refusal(artefacts.activate(POLICY, NAME, draft, tenant="acme", who=BEN)),
        "activate again": await refusal(artefacts.activate(POLICY, NAME, active, tenant="acme", who=BEN)),
        "submit what is in force": await refusal(artefacts.submit(POLICY, NAME, active, tenant="acme", by=ANN.id)),
        "retire what is in force": await refusal(artefacts.retire(POLICY, NAME, active, tenant="acme", by=ANN.id)),
        "delete what was in force": await refusal(artefacts.delete(POLICY, NAME, active, tenant="acme")),
        "roll back to nothing": await refusal(artefacts.rollback(POLICY, NAME, tenant="acme", by=ANN.id)),
        "what is not there": await refusal(artefacts.submit(POLICY, NAME, 99, tenant="acme", by=ANN.id)),
    }

    assert {
        "activate a draft": ("RESOURCE_CONFLICT", "Version 2 is DRAFT, and cannot be activated"),
        "activate again": ("RESOURCE_CONFLICT", "Version 1 is ACTIVE, and cannot be activated"),
        "submit what is in force": ("RESOURCE_CONFLICT", "Version 1 is ACTIVE, and cannot be submitted"),
        "retire what is in force": ("RESOURCE_CONFLICT", "Version 1 is ACTIVE, and one person cannot take it away"),
        "delete what was in force": ("RESOURCE_CONFLICT", "Version 1 has been in force, and is kept"),
        "roll back to nothing": ("RESOURCE_CONFLICT", "There is no version that was ACTIVE before"),
        "what is not there": ("UNKNOWN_RESOURCE", "There is no version '99'"),
    } == told


async def test_of_two_activations_at_once_one_is_refused_and_one_version_is_in_force(store: Store) -> None:
    artefacts = kept(store)
    await in_force(artefacts, "one")
    both = [await handed_in(artefacts, body) for body in ("two", "three")]

    results = await asyncio.gather(
        *(artefacts.activate(POLICY, NAME, each, tenant="acme", who=BEN) for each in both), return_exceptions=True
    )

    refused = [each for each in results if isinstance(each, AltarError)]
    assert ["RESOURCE_CONFLICT"] == [each.code for each in refused]
    assert 1 == list(states(store).values()).count("ACTIVE")


async def test_what_was_compared_with_another_version_is_submitted_again(store: Store) -> None:
    artefacts = kept(store)
    late, first = await handed_in(artefacts, "late"), await handed_in(artefacts, "first")
    await artefacts.activate(POLICY, NAME, first, tenant="acme", who=BEN)

    told = await refusal(artefacts.activate(POLICY, NAME, late, tenant="acme", who=BEN))
    await artefacts.submit(POLICY, NAME, late, tenant="acme", by=ANN.id)
    swap = await artefacts.activate(POLICY, NAME, late, tenant="acme", who=BEN)

    assert ("RESOURCE_CONFLICT", "Version 1 was compared with no version, and version 2 is ACTIVE now") == told
    assert late == swap.now.version


async def test_a_rollback_goes_back_one_version_and_an_older_one_is_reviewed_again(store: Store) -> None:
    artefacts = kept(store)
    for body in ("one", "two", "three"):
        await in_force(artefacts, body)

    back = await artefacts.rollback(POLICY, NAME, tenant="acme", by=ANN.id)
    forth = await artefacts.rollback(POLICY, NAME, tenant="acme", by=ANN.id)
    alone = await refusal(artefacts.activate(POLICY, NAME, 1, tenant="acme", who=ANN))
    await artefacts.submit(POLICY, NAME, 1, tenant="acme", by=ANN.id)
    oldest = await artefacts.activate(POLICY, NAME, 1, tenant="acme", who=BEN)

    assert (2, 3, 1) == (back.now.version, forth.now.version, oldest.now.version)
    assert "PERMISSION_DENIED" == alone[0]


async def test_a_replaced_draft_is_retired_and_its_authors_are_those_of_the_new_one(store: Store) -> None:
    artefacts = kept(store)
    first = await handed_in(artefacts, "one", by=BEN.id)

    second = await artefacts.draft(POLICY, NAME, "two", tenant="acme", by=ANN.id, after=first)
    await artefacts.submit(POLICY, NAME, second.version, tenant="acme", by=ANN.id)
    told = await refusal(artefacts.activate(POLICY, NAME, second.version, tenant="acme", who=BEN))

    assert (Status.RETIRED, (ANN.id, BEN.id)) == (
        (await artefacts.show(POLICY, NAME, first, tenant="acme")).status,
        second.authors,
    )
    assert ("PERMISSION_DENIED", "Version 2 was written by the same person, who cannot approve it too") == told


async def test_where_no_review_is_asked_for_one_person_does_it_all(store: Store) -> None:
    artefacts = kept(store, review=False)
    made = await artefacts.draft(POLICY, NAME, "one", tenant="acme", by=ANN.id)

    await artefacts.activate(POLICY, NAME, made.version, tenant="acme", who=ANN)
    active = states(store)
    await artefacts.retire(POLICY, NAME, made.version, tenant="acme", by=ANN.id)

    assert ({1: "ACTIVE"}, {1: "RETIRED"}) == (active, states(store))


async def test_what_never_counted_can_be_removed(store: Store) -> None:
    artefacts = kept(store)
    version = await handed_in(artefacts, "one")

    newer = await handed_in(artefacts, "two")

    await artefacts.delete(POLICY, NAME, version, tenant="acme")

    assert {newer: "PENDING_APPROVAL"} == states(store)


async def test_the_number_of_a_version_that_was_removed_is_never_given_to_another_text(store: Store) -> None:
    artefacts = kept(store)
    looked_at = await handed_in(artefacts, "what ben has looked at")

    await artefacts.delete(POLICY, NAME, looked_at, tenant="acme")
    other = await handed_in(artefacts, "what ben has never seen")

    code, _ = await refusal(artefacts.activate(POLICY, NAME, looked_at, tenant="acme", who=BEN))

    assert looked_at != other
    assert "RESOURCE_CONFLICT" == code
    assert "" == (await artefacts.show(POLICY, NAME, looked_at, tenant="acme")).body


async def test_a_version_that_gets_another_author_while_it_is_activated_is_not_activated(store: Store) -> None:
    artefacts = kept(store)
    version = await handed_in(artefacts, "one")
    run = store.run

    async def meanwhile(work: Any, *, tenant: str | None, reads: bool = False) -> Any:
        if tenant is not None and not reads:  # the reviewer was found good, and nothing is activated yet
            artefacts._store = store
            await artefacts.submit(POLICY, NAME, version, tenant="acme", by=BEN.id)
        return await run(work, tenant=tenant, reads=reads)

    class Slow:
        """The same store, where somebody is quicker."""

        run = staticmethod(meanwhile)

    artefacts._store = Slow()  # type: ignore[assignment]  # a store as far as it is used

    told = await refusal(artefacts.activate(POLICY, NAME, version, tenant="acme", who=BEN))

    assert ("RESOURCE_CONFLICT", f"Version {version} is not what was looked at") == told


async def test_a_list_has_the_newest_first_without_bodies_in_pages(store: Store) -> None:
    artefacts = kept(store)
    for body in "abcde":
        await artefacts.draft(POLICY, NAME, body, tenant="acme", by=ANN.id)

    page = await artefacts.listed(POLICY, NAME, tenant="acme", limit=2)
    rest = await artefacts.listed(POLICY, NAME, tenant="acme", before=page[-1].version)

    assert [5, 4, 3, 2, 1] == [each.version for each in (*page, *rest)]
    assert {""} == {each.body for each in page}


async def test_the_newest_of_each_name_is_listed_by_name(store: Store) -> None:
    artefacts, kind = kept(store), ArtefactKind.CONTRACT
    for name, body in (("b@1", "one"), ("a@1", "two"), ("b@1", "three"), ("c@1", "four")):
        await artefacts.draft(kind, name, body, tenant="acme", by=ANN.id)
    await artefacts.draft(kind, "z@1", "theirs", tenant="rival", by="rival/eve")

    page = await artefacts.newest(kind, tenant="acme", limit=2)
    rest = await artefacts.newest(kind, tenant="acme", after="b@1")

    assert [("a@1", 1, "two"), ("b@1", 2, "three"), ("c@1", 1, "four")] == [
        (each.name, each.version, each.body) for each in (*page, *rest)
    ]


async def test_what_is_too_large_or_too_much_is_refused(store: Store) -> None:
    artefacts = kept(store)
    large = await refusal(artefacts.draft(POLICY, NAME, "x" * (MOST_BYTES + 1), tenant="acme", by=ANN.id))
    noted = await refusal(artefacts.draft(POLICY, NAME, "x", tenant="acme", by=ANN.id, note="x" * 1025))
    for _ in range(MOST_OPEN):
        await artefacts.draft(POLICY, NAME, "x", tenant="acme", by=ANN.id)
    many = await refusal(artefacts.draft(POLICY, NAME, "x", tenant="acme", by=ANN.id))

    assert ["MALFORMED_REQUEST", "MALFORMED_REQUEST", "RESOURCE_EXHAUSTED"] == [large[0], noted[0], many[0]]


# ---------------------------------------------------------------------------------------------------------- attacks


@pytest.mark.parametrize(
    "who",
    [
        pytest.param(ANN, id="the author"),
        pytest.param(Principal("acme/ann-admin", "acme", PrincipalKind.USER, "oidc:corp"), id="a second account"),
        pytest.param(Principal("rival/ann", "rival", PrincipalKind.USER, "password"), id="an account elsewhere"),
        pytest.param(Principal("acme/svc:ben", "acme", PrincipalKind.SERVICE_ACCOUNT, "api_key"), id="a program"),
        pytest.param(Principal("acme/ben", "acme", PrincipalKind.USER, "api_key"), id="a key of a person"),
        pytest.param(
            Principal("acme/cert:ci", "acme", PrincipalKind.SYSTEM_ACCOUNT, "certificate"), id="a certificate"
        ),
        pytest.param(Principal("acme/gone", "acme", PrincipalKind.USER, "password"), id="somebody who is gone"),
    ],
)
async def test_nobody_approves_what_they_wrote_under_whatever_name(store: Store, who: Principal) -> None:
    add(store, "ann-admin", email="Ann+admin@ACME.example")
    add(store, "ann", tenant="rival", email="ann@acme.example")
    add(store, "svc:ben", kind=PrincipalKind.SERVICE_ACCOUNT)
    add(store, "cert:ci", kind=PrincipalKind.SYSTEM_ACCOUNT)
    artefacts = kept(store)
    version = await handed_in(artefacts, "one", by=ANN.id)

    code, _ = await refusal(artefacts.activate(POLICY, NAME, version, tenant="acme", who=who))

    assert ("PERMISSION_DENIED", {1: "PENDING_APPROVAL"}) == (code, states(store))


_NOBODY = "Nobody can tell which person is behind 'acme/svc:ci', who wrote version 1, so nobody could approve it"


@pytest.mark.parametrize(
    ("attributes", "ends"),
    [
        ({"owner": "acme/ann"}, "written by the same person, who cannot approve it too"),
        ({"key_holders": "acme/ben acme/ann"}, "written by the same person, who cannot approve it too"),
        ({"owner": "ann"}, "written by the same person, who cannot approve it too"),
        ({}, _NOBODY),
        ({"owner": "acme/svc:other"}, _NOBODY),
    ],
)
async def test_nobody_approves_what_their_own_program_wrote(
    store: Store, attributes: dict[str, str], ends: str
) -> None:
    add(store, "svc:other", kind=PrincipalKind.SERVICE_ACCOUNT)
    add(store, "svc:ci", kind=PrincipalKind.SERVICE_ACCOUNT, attributes=attributes)
    artefacts = kept(store)
    version = await handed_in(artefacts, "one", by="acme/svc:ci")

    code, message = await refusal(artefacts.activate(POLICY, NAME, version, tenant="acme", who=ANN))

    assert "PERMISSION_DENIED" == code
    assert message.endswith(ends)


async def test_what_nobody_could_approve_is_not_submitted(store: Store) -> None:
    add(store, "svc:ci", kind=PrincipalKind.SERVICE_ACCOUNT)

    strict = await refusal(kept(store).require_author(POLICY, "acme/svc:ci"))
    await kept(store, review=False).require_author(POLICY, "acme/svc:ci")

    assert "PERMISSION_DENIED" == strict[0]


async def test_a_program_whose_owner_is_known_hands_in_and_another_person_approves(store: Store) -> None:
    add(store, "svc:ci", kind=PrincipalKind.SERVICE_ACCOUNT, attributes={"owner": "acme/ann"})
    artefacts = kept(store)
    version = await handed_in(artefacts, "one", by="acme/svc:ci")

    swap = await artefacts.activate(POLICY, NAME, version, tenant="acme", who=BEN)

    assert BEN.id == swap.now.reviewed_by


async def test_another_version_than_the_one_looked_at_is_not_activated(store: Store) -> None:
    artefacts = kept(store)
    version = await handed_in(artefacts, "one")

    code, message = await refusal(
        artefacts.activate(POLICY, NAME, version, tenant="acme", who=BEN, digest=digest(b"other"))
    )

    assert ("RESOURCE_CONFLICT", "Version 1 is not what was looked at") == (code, message)


async def test_a_body_that_was_changed_behind_the_back_is_neither_activated_nor_read(store: Store) -> None:
    artefacts = kept(store)
    active, waiting = await in_force(artefacts, "one"), await handed_in(artefacts, "two")
    store.run_now(lambda c: c.execute(update(tables.artefacts).values(body="mine")), tenant="acme")

    told = await refusal(artefacts.activate(POLICY, NAME, waiting, tenant="acme", who=BEN))
    with pytest.raises(AltarError) as refused:
        store.run_now(lambda c: read_active(c, POLICY, NAME, tenant="acme"), tenant="acme", reads=True)

    assert ("INTERNAL", "The body of version 2 is not the one that was handed in") == told
    assert f"The body of version {active} is not the one that was handed in" == refused.value.message


async def test_the_database_itself_keeps_two_versions_from_being_in_force(store: Store) -> None:
    artefacts = kept(store)
    await in_force(artefacts, "one")
    await handed_in(artefacts, "two")

    with pytest.raises(AltarError) as refused:
        store.run_now(lambda c: c.execute(text("UPDATE artefacts SET status = 'ACTIVE'")), tenant="acme")

    assert "RESOURCE_CONFLICT" == refused.value.code


async def test_versions_of_another_tenant_are_not_there(store: Store) -> None:
    artefacts = kept(store)
    version = await handed_in(artefacts, "one")

    told = [
        await refusal(artefacts.show(POLICY, NAME, version, tenant="rival")),
        await refusal(artefacts.submit(POLICY, NAME, version, tenant="rival", by="rival/eve")),
        await refusal(artefacts.retire(POLICY, NAME, version, tenant="rival", by="rival/eve")),
        await refusal(artefacts.delete(POLICY, NAME, version, tenant="rival")),
        await refusal(artefacts.draft(POLICY, NAME, "x", tenant="rival", by="rival/eve", after=version)),
    ]

    assert {("UNKNOWN_RESOURCE", "There is no version '1'")} == set(told)
    assert () == await artefacts.listed(POLICY, NAME, tenant="rival")


async def test_whoever_listens_is_told_before_the_activation_is_acknowledged(store: Store) -> None:
    artefacts = kept(store)
    version = await handed_in(artefacts, "one")
    heard: list[str] = []
    store.changed(heard.append)

    await artefacts.activate(POLICY, NAME, version, tenant="acme", who=BEN)

    assert ["acme"] == heard
