"""Two hosts on one PostgreSQL, as processes of their own: what one granted the other one uses, once, also if killed."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from altar.adm.call import ToolResult
from altar.adm.errors import AltarError
from altar.ledger.signer import FileSigner
from altar.testing import LocalGrid
from altar.testing.postgres import LocalPostgres
from altar.testing.waiting import until
from tests.integration import approval_further_tools
from tests.integration.approval_scene import ApprovalGrid

MODULE = approval_further_tools.__file__
ASKS = {"requires_approval": {"approvers": ["treasurer"], "expires": "1h"}}

pytestmark = pytest.mark.timeout(180)


class OtherHost(LocalGrid):
    """A second host beside that of a scene: the same store, authority and keys of tokens, and a log of its own."""

    def __init__(self, scene: ApprovalGrid, directory: Path) -> None:
        self._scene = scene
        settings = {
            **scene.grid._settings,
            "host.name": "host-2",
            "host.signing_key": directory / "keys/ledger-2.pem",
        }
        super().__init__([MODULE], runtimes=1, directory=directory, settings=settings)

    def prepare(self) -> None:
        """Take the authority of the first host, and its contracts."""
        super().prepare()
        self.authority = self._scene.grid.authority
        self._host_files = self.certificate("host", "host-2")
        self.client = self.certificate("client", "client-2")
        FileSigner.create(self.directory / "keys/ledger-2.pem", name="altar.local/host-2")
        shutil.copy(self._scene.grid.manifest, self.manifest)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, postgres: LocalPostgres) -> Iterator[ApprovalGrid]:
    url = postgres.create_database()
    place = tmp_path_factory.mktemp("hosts") / "east"
    with ApprovalGrid(place, database_url=url, modules=(MODULE,), governance={"pay_in_parts": ASKS}) as made:
        made.people()
        yield made


@pytest.fixture(scope="module")
def west(scene: ApprovalGrid, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalGrid]:
    directory = tmp_path_factory.mktemp("west")
    with OtherHost(scene, directory) as running:
        yield running


def at(grid: LocalGrid, scene: ApprovalGrid, handle: str) -> ToolResult | str:
    """Make the approved call at a host; a text is the code with which it is refused before it is a call."""
    with grid.session((), options={**grid.options, "credential": scene.tokens["alice"]}) as session:
        try:
            return session.resume(handle)
        except AltarError as refused:
            return refused.code


def asked(scene: ApprovalGrid, note: Path) -> str:
    with scene.session(scene.tokens["alice"]) as session:
        pending = session.call("pay_in_parts", parts=2, note=str(note))
    assert pending.error is not None
    assert "APPROVAL_PENDING" == pending.error.type
    return pending.error.handle


def code_of(result: ToolResult | str) -> str:
    if isinstance(result, str):
        return result
    return "" if result.error is None else str(result.error.type)


def runs(note: Path) -> int:
    return len(note.read_text().splitlines()) if note.exists() else 0


def test_what_one_host_granted_another_one_uses_once_and_both_know(
    scene: ApprovalGrid, west: LocalGrid, tmp_path: Path
) -> None:
    note = tmp_path / "note"
    handle = asked(scene, note)
    early = at(west, scene, handle)
    scene.approve("tom", handle)

    used, again, late = at(west, scene, handle), at(west, scene, handle), at(scene.grid, scene, handle)

    assert "APPROVAL_VOID" == code_of(early)
    assert not isinstance(used, str)
    assert not isinstance(again, str)
    assert ([0, 1], {"replayed": True}) == (used.unwrap(), again.metadata)
    assert "APPROVAL_VOID" == code_of(late)
    assert 1 == runs(note)
    assert "APPROVAL_STATE_CONSUMED" == scene.shown("tom", handle)["state"]


def test_both_hosts_at_the_same_instant_run_it_once(scene: ApprovalGrid, west: LocalGrid, tmp_path: Path) -> None:
    note = tmp_path / "note"
    handle = asked(scene, note)
    scene.approve("tom", handle)

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda n: at((scene.grid, west)[n % 2], scene, handle), range(6)))

    assert 1 == runs(note)
    assert {"", "APPROVAL_VOID"} == {code_of(each) for each in results}
    assert 3 == sum(code_of(each) == "" for each in results)  # the others of that host are told what came of it


def test_a_host_that_is_killed_after_it_was_used_gives_what_is_kept_and_runs_nothing_again(
    scene: ApprovalGrid, west: LocalGrid, tmp_path: Path
) -> None:
    note = tmp_path / "note"
    handle = asked(scene, note)
    scene.approve("tom", handle)
    used = at(west, scene, handle)

    west.restart_host(signal.SIGKILL)
    west.mend()

    results = [at(west, scene, handle), at(scene.grid, scene, handle)]
    assert "" == code_of(used)
    assert ["", "APPROVAL_VOID"] == [code_of(each) for each in results]
    assert 1 == runs(note)


def test_an_approval_that_was_not_used_outlives_the_host_that_granted_it(
    scene: ApprovalGrid, west: LocalGrid, tmp_path: Path
) -> None:
    note = tmp_path / "note"
    handle = asked(scene, note)
    scene.approve("tom", handle)
    assert scene.grid.host is not None
    scene.grid.host.end(signal.SIGKILL)

    used = at(west, scene, handle)
    scene.grid.mend()
    until(lambda: code_of(at(scene.grid, scene, handle)) == "APPROVAL_VOID", what="the host that granted it")

    assert "" == code_of(used)
    assert 1 == runs(note)
