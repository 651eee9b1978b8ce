"""Policies of a tenant over its administration: handed in, reviewed, in force on every host, and back again."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import update

from altar.adm.declaration import FunctionDeclaration
from altar.adm.errors import AltarError
from altar.adm.schema import Schema
from altar.aesp.governance.active_bundles import ActiveBundles
from altar.aesp.policy.policy import read_bundle
from altar.aesp.store import people, tables
from altar.aesp.store.database import Store
from altar.grid.manifests.manifest import Manifest
from tests.unit.aesp.service.plane import Plane, plane
from tests.unit.grid.contracts import MANIFEST

SERVICE = "EnterprisePolicyService"
LARGE = """
name = "sums"

[[policies]]
name = "large"
tools = ["add"]
condition = "args.n > 100"
effect = "DENY"
message = "Not more than 100."

[[tests]]
name = "a hundred is fine"
tool = "add"
args = { n = 100 }
expect = "ALLOW"

[[tests]]
name = "more is not"
tool = "add"
args = { n = 101 }
expect = "DENY"
policy = "large"
"""
LARGER = LARGE.replace("100", "200").replace("101", "201").replace("a hundred", "two hundred")
EMPTY = 'name = "nothing"\n'


@pytest_asyncio.fixture
async def made(tmp_path: Path) -> AsyncIterator[Plane]:
    """A host of the tier ADVANCED with ann and ben, who may keep policies in acme, and eve in rival."""
    async with plane(tmp_path, tier="advanced") as ready:
        for tenant in ("acme", "rival"):
            await ready.made.tenants.create(tenant)
        await ready.person("acme", "ann", "admin")
        await ready.person("acme", "ben", "admin")
        await ready.person("rival", "eve", "admin")
        yield ready


async def ask(made: Plane, who: str, method: str, **request: Any) -> Any:
    tenant, _, name = who.partition("/")
    return await made.ask(f"{SERVICE}/{method}", request, token=await made.token(tenant, name))


async def refusal(made: Plane, who: str, method: str, **request: Any) -> tuple[str, str]:
    with pytest.raises(AltarError) as refused:
        await ask(made, who, method, **request)
    return refused.value.code, refused.value.message


async def in_force(made: Plane, source: str) -> int:
    answer = await ask(made, "acme/ann", "CreatePolicy", source=source)
    await ask(made, "acme/ben", "ActivatePolicy", version=answer.policy.version, digest=answer.policy.digest)
    return int(answer.policy.version)


def names_in_force(bundles: ActiveBundles, tenant: str = "acme") -> list[str]:
    compiled = bundles.of(tenant)
    return [] if compiled is None else [policy.condition for policy in compiled.bundle.policies]


def _tell(loop: asyncio.AbstractEventLoop, heard: asyncio.Event) -> None:
    loop.call_soon_threadsafe(heard.set)


def bundles_of(made: Plane) -> ActiveBundles:
    assert made.made.policies is not None
    return made.made.policies.bundles


def events(made: Plane, begins: str) -> list[tuple[str, str, Mapping[str, Any]]]:
    return [
        (entry["event"], entry["principal"], json.loads(entry["data"]))
        for entry in made.entries("acme")
        if entry["kind"] == "event" and entry["event"].startswith(begins)
    ]


async def test_a_bundle_is_handed_in_reviewed_put_in_force_and_rolled_back_and_each_step_is_recorded(
    made: Plane,
) -> None:
    first = await in_force(made, LARGE)
    second = await in_force(made, LARGER)
    newer = names_in_force(bundles_of(made))
    back = await ask(made, "acme/ann", "RollbackPolicy")

    assert (["args.n > 200"], ["args.n > 100"]) == (newer, names_in_force(bundles_of(made)))
    assert (first, second) == (back.policy.version, back.before.version)
    digest = read_bundle(LARGE).digest
    assert [
        ("artefact.drafted", "acme/ann", 1),
        ("artefact.submitted", "acme/ann", 1),
        ("artefact.activated", "acme/ben", 1),
        ("artefact.drafted", "acme/ann", 2),
        ("artefact.submitted", "acme/ann", 2),
        ("artefact.activated", "acme/ben", 2),
        ("artefact.rolled_back", "acme/ann", 1),
    ] == [(event, who, data["version"]) for event, who, data in events(made, "artefact.")]
    assert {"artefact": "policy", "before": 2, "digest": digest, "version": 1} == events(made, "artefact.rolled")[0][2]


async def test_the_version_in_force_is_written_out_and_says_the_same(made: Plane) -> None:
    await in_force(made, LARGE)

    told = await ask(made, "acme/ann", "GetPolicy")

    assert read_bundle(LARGE).policies[0].digest == read_bundle(told.source).policies[0].digest
    assert [dict(each) for each in read_bundle(LARGE).tests] == [dict(each) for each in read_bundle(told.source).tests]


UNFIT = {
    "There is no argument 'amount'": LARGE.replace("args.n", "args.amount"),
    "'>' does not take": LARGE.replace("args.n > 100", "args.n > 'x'"),
    "test 'a hundred is fine' fails": LARGE.replace('expect = "ALLOW"', 'expect = "DENY"'),
    "`expect` must be one of": LARGE.replace('expect = "ALLOW"', 'expect = "MAYBE"'),
    "there is no tool 'sub'": LARGE.replace('tool = "add"', 'tool = "sub"'),
    "'name' must be a text": "name = 1",
}


async def test_what_does_not_fit_the_contracts_or_fails_its_tests_is_not_handed_in(made: Plane) -> None:
    told = {words: await refusal(made, "acme/ann", "CreatePolicy", source=source) for words, source in UNFIT.items()}

    assert {"INVALID_POLICY"} == {code for code, _ in told.values()}
    assert [] == [(words, message) for words, (_, message) in told.items() if words not in message]
    assert [] == list((await ask(made, "acme/ann", "ListPolicies")).policies)


async def test_the_author_cannot_put_it_in_force_under_any_name(made: Plane) -> None:
    def work(connection: Any) -> None:
        for name in ("ann", "ann-2"):
            if name == "ann-2":
                people.create_principal(connection, tenant="acme", name=name, now_ms=1)
            people.update_principal(connection, tenant="acme", name=name, now_ms=1, email="ann@acme.example")

    await made.made.store.run(work, tenant="acme")
    await made.made.roles.bind("admin", tenant="acme", principal="ann-2")
    handed_in = (await ask(made, "acme/ann", "CreatePolicy", source=LARGE)).policy
    looked_at = {"version": handed_in.version, "digest": handed_in.digest}

    told = [await refusal(made, who, "ActivatePolicy", **looked_at) for who in ("acme/ann", "acme/ann-2")]

    assert {("PERMISSION_DENIED", "Version 1 was written by the same person, who cannot approve it too")} == set(told)
    assert None is bundles_of(made).of("acme")


async def test_a_version_that_nobody_says_they_looked_at_is_not_put_in_force(made: Plane) -> None:
    version = (await ask(made, "acme/ann", "CreatePolicy", source=LARGE)).policy.version

    told = await refusal(made, "acme/ben", "ActivatePolicy", version=version)

    assert ("MALFORMED_REQUEST", "The request does not say what was looked at") == told
    assert None is bundles_of(made).of("acme")


async def test_another_tenant_neither_sees_nor_changes_a_version(made: Plane) -> None:
    version = await in_force(made, LARGE)

    absent = ("UNKNOWN_RESOURCE", f"There is no version '{version}'")
    assert absent == await refusal(made, "rival/eve", "GetPolicy", version=version)
    assert absent == await refusal(made, "rival/eve", "RetirePolicy", version=version)
    assert absent == await refusal(made, "rival/eve", "ActivatePolicy", version=version, digest="x")
    assert ("UNKNOWN_RESOURCE", "There is no tenant 'acme'") == await refusal(
        made, "rival/eve", "ActivatePolicy", tenant_id="acme", version=version
    )
    assert None is bundles_of(made).of("rival")


async def test_a_diff_shows_which_decisions_differ(made: Plane) -> None:
    await in_force(made, LARGE)
    version = (await ask(made, "acme/ann", "CreatePolicy", source=LARGER)).policy.version

    report = (await ask(made, "acme/ann", "DiffPolicy", to_version=version)).report

    assert ["large"] == list(report.changed)
    assert [("more is not", "DENY", "ALLOW")] == [
        (one.case_name, one.was, one.becomes) for one in report.changes if one.case_name == "more is not"
    ]


async def test_a_text_is_judged_without_being_kept(made: Plane) -> None:
    report = (await ask(made, "acme/ann", "ValidatePolicy", source=LARGE.replace('"DENY"\nmes', '"AUDIT"\nmes'))).report

    assert not report.accepted
    assert [("more is not", "AUDIT")] == [(case.name, case.decided) for case in report.cases if not case.passed]
    assert {"unrecorded"} == {finding.rule for finding in report.findings}
    assert [] == list((await ask(made, "acme/ann", "ListPolicies")).policies)


async def test_another_host_on_the_same_store_has_it_within_moments(made: Plane) -> None:
    other = await asyncio.to_thread(Store.open, str(made.made.store.engine.url))
    try:
        elsewhere = await asyncio.to_thread(lambda: ActiveBundles(other, tenants=["acme"], contracts=lambda: MANIFEST))
        heard = asyncio.Event()
        loop = asyncio.get_running_loop()
        other.changed(lambda _tenant: _tell(loop, heard))

        await in_force(made, LARGE)
        while not names_in_force(elsewhere):
            await asyncio.wait_for(heard.wait(), 10)
            heard.clear()

        assert ["args.n > 100"] == names_in_force(elsewhere)
    finally:
        await asyncio.to_thread(other.close)


async def test_a_body_that_was_changed_in_the_database_refuses_every_call_and_the_list_says_so(made: Plane) -> None:
    await in_force(made, LARGE)

    await made.made.store.run(
        lambda c: c.execute(update(tables.artefacts).values(body=read_bundle(EMPTY).body.decode())), tenant="acme"
    )

    with pytest.raises(AltarError) as refused:
        bundles_of(made).of("acme")
    assert "POLICY_ERROR" == refused.value.code
    problems = (await ask(made, "acme/ann", "ListPolicies")).problems
    assert ["The body of version 1 is not the one that was handed in"] == list(problems)


async def test_a_bundle_in_force_that_cannot_be_read_can_be_replaced(made: Plane) -> None:
    await in_force(made, LARGE)
    await made.made.store.run(lambda c: c.execute(update(tables.artefacts).values(body="{}")), tenant="acme")

    await in_force(made, LARGER)

    assert ["args.n > 200"] == names_in_force(bundles_of(made))


async def test_other_contracts_of_the_host_are_compiled_for_and_what_does_not_fit_is_said(made: Plane) -> None:
    await in_force(made, LARGE)
    without = FunctionDeclaration(
        name="add",
        description="Another function.",
        parameters=Schema.from_json_schema({"type": "object", "properties": {}, "additionalProperties": False}),
        version="2.0.0",
    )
    made.host.activate(Manifest([without]))
    assert made.made.policies is not None
    bundles, loop, loop_thread = bundles_of(made), asyncio.get_running_loop(), threading.get_ident()
    threads, done, compiled = set[int](), asyncio.Event(), bundles.contracts_changed

    def noted() -> None:
        threads.add(threading.get_ident())
        compiled()
        loop.call_soon_threadsafe(done.set)

    bundles.contracts_changed = noted  # type: ignore[method-assign]  # to see where it runs
    made.made.policies.follow()
    async with asyncio.timeout(30):
        await done.wait()

    assert loop_thread not in threads  # calls go on meanwhile
    problems = bundles_of(made).problems("acme")

    assert 1 == len(problems)
    assert "There is no argument 'n'" in problems[0]


async def test_where_no_review_is_asked_for_one_person_puts_it_in_force_and_takes_it_away(tmp_path: Path) -> None:
    async with plane(tmp_path, tier="advanced", require_review=False) as made:
        await made.made.tenants.create("acme")
        await made.person("acme", "ann", "admin")
        draft = (await ask(made, "acme/ann", "CreatePolicy", source=LARGE, draft=True)).policy
        version = draft.version

        await ask(made, "acme/ann", "ActivatePolicy", version=version, digest=draft.digest)
        active = names_in_force(bundles_of(made))
        await ask(made, "acme/ann", "RetirePolicy", version=version)

        assert (["args.n > 100"], None) == (active, bundles_of(made).of("acme"))


async def test_what_is_in_force_is_in_force_again_after_a_restart(made: Plane) -> None:
    await in_force(made, LARGE)

    again = await asyncio.to_thread(
        lambda: ActiveBundles(made.made.store, tenants=["acme"], contracts=lambda: MANIFEST)
    )

    assert ["args.n > 100"] == names_in_force(again)


async def test_a_host_of_a_lower_tier_says_that_it_has_no_policies(tmp_path: Path) -> None:
    async with plane(tmp_path) as made:
        await made.made.tenants.create("acme")
        await made.person("acme", "ann", "admin")

        code, message = await refusal(made, "acme/ann", "ListPolicies")

        assert ("NOT_ACTIVE", "This host does not decide by policies") == (code, message)
