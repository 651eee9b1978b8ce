"""Somebody is removed while a call of theirs runs that makes another, and while a permit is in their hands."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from altar.later.local_dispatch import ExecutionMode
from altar.later.registry import REGISTRY
from altar.testing.waiting import until
from tests.integration import leaving_tools
from tests.integration.foundation_scene import FoundationGrid

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FoundationGrid]:
    folder = tmp_path_factory.mktemp("leaving")
    settings = {"host.local_dispatch": "*"}
    modules = ("tests/integration/leaving_tools.py",)
    with FoundationGrid(folder / "grid", modules=modules, settings=settings) as made:
        made.tenant("acme")
        yield made


def removed_while_it_runs(scene: FoundationGrid, name: str, session: Any, tool: str, folder: Path) -> None:
    """Make a call, remove whoever made it while it runs, and let it go on; its answer is theirs no more."""
    calling = threading.Thread(target=lambda: _quietly(session, tool, folder), daemon=True)
    calling.start()
    until((folder / "began").exists, what=f"{tool} to begin")
    scene.ask("EnterpriseIdentityService/DeletePrincipal", {"tenant_id": "acme", "principal_id": name})
    until(lambda: scene.events("acme", event_type="session.closed"), what="the end of the session")
    (folder / "go").touch()
    calling.join(30)
    assert not calling.is_alive()


def _quietly(session: Any, tool: str, folder: Path) -> None:
    session.call(tool, folder=str(folder))


def test_a_call_of_somebody_who_is_removed_makes_no_other_call_any_more(scene: FoundationGrid, tmp_path: Path) -> None:
    token = scene.person("acme", "leaver", "developer")

    with scene.session(token) as session:
        removed_while_it_runs(scene, "leaver", session, "pay_later", tmp_path)
    until((tmp_path / "said").exists, what="the tool to say what became of its payment")

    assert "paid" != (tmp_path / "said").read_text()
    assert [] == [
        one for one in scene.events("acme") if one["resource"] == "tools/pay_now" and one["outcome"] == "SUCCESS"
    ]
    (ended,) = (one for one in scene.events("acme", event_type="call.ended") if one["resource"] == "tools/pay_later")
    assert "INVALID_CREDENTIALS" == ended["code"]


def test_what_somebody_who_is_removed_ran_under_a_permit_is_recorded_as_reported_after_that(
    scene: FoundationGrid, tmp_path: Path
) -> None:
    token = scene.person("acme", "signer", "developer")
    REGISTRY.register(leaving_tools.sign_here)
    options = {
        **scene.grid.options,
        "credential": token,
        "execution_mode": ExecutionMode.GOVERNED_LOCAL,
        "journal": tmp_path / "journal",
    }

    with scene.grid.session((), options=options) as session:
        removed_while_it_runs(scene, "signer", session, "sign_here", tmp_path)

    until(lambda: scene.events("acme", event_type="permit.withdrawn"), what="the permit to be withdrawn")
    marks = ("report.after_revocation", "report.rejected")
    until(lambda: [one for mark in marks for one in scene.events("acme", event_type=mark)], what="a mark on the report")
