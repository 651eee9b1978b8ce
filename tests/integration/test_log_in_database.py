"""A governed host whose log is in PostgreSQL: its commands, its end, and a second one that wants the same log."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from altar.ledger.places import DatabaseLog
from altar.testing.waiting import until
from altar.verify import verify
from tests.integration.foundation_scene import FoundationGrid


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, postgres: Any) -> Iterator[FoundationGrid]:
    url = postgres.create_database()
    with FoundationGrid(tmp_path_factory.mktemp("log") / "grid", database_url=url) as made:
        made.tenant("acme")
        yield made
    postgres.drop_database(url)


@pytest.fixture(scope="module")
def alice(scene: FoundationGrid) -> str:
    token = scene.person("acme", "alice", "developer")
    with scene.session(token) as session:
        assert "sunny in Graz" == session.call("weather", city="Graz").unwrap()
    return token


def audit(scene: FoundationGrid, *words: str) -> str:
    """A command of `altar audit` with the settings of the host."""
    grid = scene.grid
    return grid.altar(
        "audit",
        *words,
        environ={
            "ALTAR_DATABASE_URL": scene.database_url,
            "ALTAR_AESP_TIER": "foundation",
            "ALTAR_HOST_NAME": "host-1",
            "ALTAR_HOST_DATA": str(grid.directory / "data"),
            "ALTAR_HOST_SIGNING_KEY": str(grid.directory / "keys/ledger.pem"),
        },
    )


def test_the_log_is_in_the_database_and_what_ends_is_beside_the_host(scene: FoundationGrid, alice: str) -> None:
    assert isinstance(scene.grid.log, DatabaseLog)
    beside = {path.name for path in (scene.directory / "data").iterdir()}
    assert "ledger.db.subjects" in beside
    assert "ledger.db" not in beside
    assert 32 == (scene.directory / "keys/ledger.database-key").stat().st_size


def test_every_command_that_reads_the_log_finds_it(scene: FoundationGrid, alice: str, tmp_path: Path) -> None:
    out = tmp_path / "acme.jsonl"

    listed = json.loads(audit(scene, "list", "--tenant", "acme", "--kind", "call", "--json"))
    asked = json.loads(audit(scene, "query", "--tenant", "acme", "--event", "call.ended", "--names", "--json"))
    audit(scene, "index", "--rebuild")
    audit(scene, "export", "-o", str(out), "--tenant", "acme")
    proved = audit(scene, "verify", str(out), "--vkey", scene.grid.vkey)

    assert ["weather"] == [row["tool"] for row in listed]
    assert ["acme/alice"] == [record["principal"] for record in asked["records"]]
    assert b"alice" not in out.read_bytes()
    assert proved.startswith("ok: export of altar.local/host-1/acme")
    assert audit(scene, "checkpoint").startswith("altar.local/host-1\n")


def test_a_second_host_of_that_name_is_refused_and_the_first_goes_on(
    scene: FoundationGrid, alice: str, tmp_path: Path
) -> None:
    grid = scene.grid
    shutil.copytree(grid.directory / "keys", tmp_path / "keys")
    environ = grid._settings | {"host.data": tmp_path / "data"}

    with pytest.raises(RuntimeError, match="is in use by another host"):
        grid._start(
            ["host"],
            {
                "host.listen": "127.0.0.1:0",
                "host.name": "host-1",
                "host.manifest": grid.signed_manifest,
                "host.manifest_keys": grid.directory / "keys/manifest.vkey",
                "host.signing_key": tmp_path / "keys/ledger.pem",
                "host.tls.certificate": grid._host_files.certificate,
                "host.tls.key": grid._host_files.key,
                "host.tls.authority": grid._host_files.authority,
                **environ,
            },
            log="second.log",
        ).ready()
    with scene.session(alice) as session:
        assert "sunny in Linz" == session.call("weather", city="Linz").unwrap()


def test_a_host_that_is_killed_goes_on_with_its_log_and_knows_whom_it_is_about(
    scene: FoundationGrid, alice: str
) -> None:
    assert scene.grid.host is not None
    before = len(scene.grid.entries())

    scene.grid.restart_host(signal.SIGKILL)
    until(lambda: scene.grid.host is not None and scene.grid.host.alive, what="the host")
    with scene.session(alice) as session:
        until(lambda: session.call("weather", city="Wels").error is None, what="a runtime is there again")

    entries = scene.grid.entries()
    assert len(entries) > before
    assert 2 == sum(entry["kind"] == "start" for entry in entries)
    scene.recorded("acme", "call.ended", "acme/alice", "SUCCESS")
    assert verify(scene.grid.export(), vkey=scene.grid.vkey).ok
