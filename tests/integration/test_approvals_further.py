"""Approvals that a contract asks for, of streams, of calls that run where they are made, and by certificates."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from altar.adm.call import ToolResult
from altar.adm.errors import AltarError
from altar.later.session import Session
from altar.testing.waiting import until
from tests.integration import approval_further_tools
from tests.integration.approval_scene import ApprovalGrid

ASKS = {"requires_approval": {"approvers": ["treasurer"], "expires": "1h"}}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApprovalGrid]:
    made = ApprovalGrid(
        tmp_path_factory.mktemp("further") / "grid",
        modules=(approval_further_tools.__file__,),
        settings={"host.local_dispatch": "*"},
        governance={"pay_in_parts": ASKS, "pay_here": {"requires_approval": {"approvers": ["treasurer"], "quorum": 2}}},
    )
    with made:
        made.people()  # and no policy at all
        yield made


def local(scene: ApprovalGrid, place: Path, who: str = "alice") -> Session:
    """A session whose tools run in this process, or nowhere."""
    more = {"credential": scene.tokens[who], "execution_mode": "governed_local", "journal": place / "journal"}
    return scene.grid.session((), options={**scene.grid.options, **more})


def code_of(result: ToolResult) -> str:
    return "" if result.error is None else str(result.error.type)


def handle_of(refused: AltarError) -> str:
    assert "APPROVAL_PENDING" == refused.code
    return refused.handle


def began(note: Path) -> int:
    return len(note.read_text().splitlines()) if note.exists() else 0


def test_an_approved_stream_is_read_once_and_no_second_reader_runs_it_again(
    scene: ApprovalGrid, tmp_path: Path
) -> None:
    note = tmp_path / "note"
    given = {"parts": 3, "note": str(note)}
    with scene.session(scene.tokens["alice"]) as session:
        with pytest.raises(AltarError) as refused:
            list(session.stream("pay_in_parts", given))
        handle = handle_of(refused.value)
        keyed = session.options(idempotency_key=handle)
        with pytest.raises(AltarError) as early:
            list(keyed.stream("pay_in_parts", given))
        scene.approve("tom", handle)

        values = list(keyed.stream("pay_in_parts", given))
        with pytest.raises(AltarError) as again:
            list(keyed.stream("pay_in_parts", given))
        plainly = session.resume(handle)

    assert "its contract asks" in str(refused.value)
    assert "APPROVAL_PENDING" == early.value.code
    assert [0, 1, 2] == values
    assert ("IDEMPOTENCY_CONFLICT", "OUTCOME_UNKNOWN") == (again.value.code, code_of(plainly))
    assert 1 == began(note) == len(scene.started(handle))
    assert "approved" == scene.started(handle)[0]["verdict"]


def test_a_reader_who_waits_is_given_the_values_when_somebody_approves(scene: ApprovalGrid, tmp_path: Path) -> None:
    note = tmp_path / "note"

    def approve() -> None:
        def waiting() -> list[str]:
            found = scene.as_("tom", "ListPendingApprovals")["approvals"]
            return [
                str(one["approval_id"])
                for one in found
                if str(note) in scene.shown("tom", one["approval_id"])["arguments"]
            ]

        until(lambda: bool(waiting()), what="a request")
        scene.approve("tom", waiting()[0])

    person = threading.Thread(target=approve)
    person.start()
    with scene.session(scene.tokens["alice"]) as session:
        values = list(session.options(approval="wait", timeout=60).stream("pay_in_parts", parts=2, note=str(note)))
    person.join()

    assert ([0, 1], 1) == (values, began(note))


async def test_two_readers_at_the_same_instant_are_given_the_values_once(scene: ApprovalGrid, tmp_path: Path) -> None:
    note = tmp_path / "note"
    given = {"parts": 2, "note": str(note)}

    async def read(handle: str) -> list[int] | str:
        async with scene.session(scene.tokens["alice"]) as session:
            try:
                return [one async for one in session.options(idempotency_key=handle).stream("pay_in_parts", given)]
            except AltarError as refused:
                return refused.handle if refused.code == "APPROVAL_PENDING" else refused.code

    async with scene.session(scene.tokens["alice"]) as session:
        pending = await session.call("pay_in_parts", given)
    assert pending.error is not None
    await asyncio.to_thread(scene.approve, "tom", pending.error.handle)

    results = await asyncio.gather(*(read(pending.error.handle) for _ in range(4)))

    assert 1 == results.count([0, 1]) == began(note)
    assert 3 == results.count("IDEMPOTENCY_CONFLICT")


def test_a_call_that_runs_where_it_is_made_runs_there_once_and_the_approval_is_used(
    scene: ApprovalGrid, tmp_path: Path
) -> None:
    note = tmp_path / "note"
    given = {"amount": 5, "note": str(note)}
    with local(scene, tmp_path) as session:
        pending = session.call("pay_here", given)
        assert pending.error is not None
        handle = pending.error.handle
        scene.approve("tom", handle)
        half = session.resume(handle)
        scene.approve("tina", handle)

        first, again = session.resume(handle), session.resume(handle)
        with scene.session(scene.tokens["alice"]) as elsewhere:
            on_grid = elsewhere.resume(handle)

    assert ["APPROVAL_PENDING"] * 2 == [code_of(pending), code_of(half)]
    assert 5 == first.unwrap()
    assert "" != code_of(again)
    assert "" != code_of(on_grid)
    (intent,) = scene.started(handle)
    assert (1, "caller", "approved", handle) == (began(note), intent["where"], intent["verdict"], intent["approval"])


def test_a_permit_of_an_approved_call_is_not_given_again_by_a_host_that_was_killed(
    scene: ApprovalGrid, tmp_path: Path
) -> None:
    note = tmp_path / "note"
    given = {"amount": -1, "note": str(note)}
    with local(scene, tmp_path) as session:
        pending = session.call("pay_here", given)
        assert pending.error is not None
        handle = pending.error.handle
        for who in ("tom", "tina"):
            scene.approve(who, handle)
        failed = session.resume(handle)

    scene.grid.restart_host(signal.SIGKILL)
    scene.grid.mend()
    with local(scene, tmp_path) as session:
        again = session.resume(handle)

    assert "TOOL_EXECUTION_FAILED" == code_of(failed)
    assert "" != code_of(again)
    assert 1 == began(note) == len(scene.started(handle))


def test_whoever_made_the_account_of_a_certificate_does_not_approve_for_it_nor_does_a_word_over_it_count(
    scene: ApprovalGrid, tmp_path: Path
) -> None:
    scene.account("gina", "gina@acme.example", "treasurer", "admin")
    name = "robot"
    files = scene.grid.authority.issue("client", name, tmp_path, tenant="acme")
    scene.ask(
        "EnterpriseIdentityService/CreatePrincipal",
        {"name": f"cert:{name}", "type": "PRINCIPAL_TYPE_SYSTEM_ACCOUNT"},
        credential=scene.tokens["gina"],
    )
    scene.give("acme", f"cert:{name}", "developer")
    options = {"certificate": files.certificate, "key": files.key, "authority": files.authority}
    with scene.grid.session((), options=options) as session:
        pending = session.call("pay_in_parts", parts=1, note=str(tmp_path / "note"))
        assert pending.error is not None
        handle = pending.error.handle
        digest = scene.shown("tom", handle)["digest"]
        codes = []
        for who, client in (("gina", scene.grid.client), ("tom", files)):
            ours, scene.grid.client = scene.grid.client, client
            try:
                scene.approve(who, handle, digest=digest)
                codes.append("")
            except AltarError as refused:
                codes.append(refused.code)
            finally:
                scene.grid.client = ours
        scene.approve("tina", handle)

        assert [0] == session.resume(handle).unwrap()

    assert ["PERMISSION_DENIED"] * 2 == codes


def test_who_is_given_the_id_of_somebody_who_left_has_neither_their_requests_nor_their_votes(
    scene: ApprovalGrid, tmp_path: Path
) -> None:
    scene.account("ivan", "ivan@acme.example", "developer")
    scene.account("vera", "vera@acme.example", "treasurer")
    given = {"parts": 1, "note": str(tmp_path / "note")}
    with scene.session(scene.tokens["ivan"]) as session:
        pending = session.call("pay_in_parts", given)
    assert pending.error is not None
    handle = pending.error.handle
    approved = scene.approve("vera", handle)["state"]
    scene.ask("EnterpriseIdentityService/DeletePrincipal", {"tenant_id": "acme", "principal_id": "vera"})
    scene.account("vera", "another.vera@acme.example", "treasurer")
    without = scene.shown("tom", handle)["state"]
    scene.approve("vera", handle)
    scene.ask("EnterpriseIdentityService/DeletePrincipal", {"tenant_id": "acme", "principal_id": "ivan"})
    scene.account("ivan", "another.ivan@acme.example", "developer")

    with scene.session(scene.tokens["ivan"]) as session:
        with pytest.raises(AltarError) as resumed:
            session.resume(handle)
        keyed = session.options(idempotency_key=handle).call("pay_in_parts", given)

    assert ("APPROVAL_STATE_APPROVED", "APPROVAL_STATE_PENDING") == (approved, without)
    assert ("APPROVAL_VOID", "APPROVAL_VOID") == (resumed.value.code, code_of(keyed))
    assert [] == scene.started(handle)
