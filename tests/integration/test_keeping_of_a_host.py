"""A host that is running: its log's key is changed, people are forgotten and its log held, while calls go on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from altar.adm.errors import AltarError
from altar.ledger.reader import LogReader, Row
from altar.ledger.rotation import make_next, next_key
from altar.ledger.subjects import read_names
from altar.verify import verify
from tests.integration.foundation_scene import FoundationGrid

AUDIT = "EnterpriseAuditService"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FoundationGrid]:
    with FoundationGrid(tmp_path_factory.mktemp("keeping") / "grid") as made:
        made.tenant("acme")
        yield made


def log_of(scene: FoundationGrid) -> Path:
    return scene.directory / "data/ledger.db"


def refused(scene: FoundationGrid, method: str, request: dict[str, str], token: str | None = None) -> str:
    with pytest.raises(AltarError) as said:
        scene.ask(f"{AUDIT}/{method}", request, credential=token)
    return said.value.code


def test_a_person_is_forgotten_by_the_running_host_at_once_and_named_nowhere(scene: FoundationGrid) -> None:
    token = scene.person("acme", "annegret", "developer")
    with scene.session(token) as session:
        session.call("weather", city="Graz").unwrap()
    before = next(p for p, (_, name) in read_names(log_of(scene)).items() if name == "acme/annegret")
    asked = {"tenant_id": "acme", "principal_id": "annegret"}

    assert "PERMISSION_DENIED" == refused(scene, "ForgetPrincipal", asked, token)
    scene.ask(f"{AUDIT}/HoldLog", {"tenant_id": "acme", "name": "case-7", "reason": "court order"})
    assert "RESOURCE_CONFLICT" == refused(scene, "ForgetPrincipal", asked)
    assert ["case-7"] == [each["name"] for each in scene.ask(f"{AUDIT}/ListHolds", {"tenant_id": "acme"})["holds"]]
    scene.ask(f"{AUDIT}/ReleaseLog", {"tenant_id": "acme", "name": "case-7"})
    scene.ask("EnterpriseIdentityService/DeletePrincipal", asked)
    scene.ask(f"{AUDIT}/ForgetPrincipal", asked)

    assert "acme/annegret" not in {name for _, name in read_names(log_of(scene)).values()}
    assert "UNKNOWN_RESOURCE" == refused(scene, "ForgetPrincipal", asked)
    told = scene.ask(f"{AUDIT}/QueryEvents", {"tenant_id": "acme", "event_type": "admin.*", "limit": 100})["events"]
    forgotten = [each for each in told if each["event_type"] == "admin.audit_forget" and each["outcome"] == "SUCCESS"]
    assert ["audit"] == [each["resource"] for each in forgotten]
    assert before in {each["resource"].partition("/")[2] for each in told} | {
        orjson.loads(row.body)["subject"] for row in _marked(scene, b"admin.subject_forgotten")
    }
    files = [f"ledger.db{ending}" for ending in ("", "-wal", ".subjects", ".subjects-wal")]
    assert b"annegret" not in b"".join(log_of(scene).with_name(name).read_bytes() for name in files)


def _marked(scene: FoundationGrid, mark: bytes) -> list[Row]:
    with LogReader.open(log_of(scene)) as reader:
        return list(reader.marked([mark]))


def test_the_key_is_changed_at_a_signal_and_the_first_key_still_proves_the_log(scene: FoundationGrid) -> None:
    path, first = scene.directory / "keys/ledger.pem", scene.grid.vkey
    following = make_next(path, name="altar.local/host-1")
    (writer,) = (int(log_of(scene).with_name("ledger.db.lock").read_text()),)

    os.kill(writer, signal.SIGHUP)
    until = time.monotonic() + 30
    while next_key(path).exists() and time.monotonic() < until:
        scene.ask(f"{AUDIT}/ListHolds", {"tenant_id": "acme"})

    assert not next_key(path).exists()
    scene.ask(f"{AUDIT}/ListHolds", {"tenant_id": "acme"})
    for vkey in (first, following.vkey):
        report = verify(log_of(scene), vkey=vkey)
        assert () == report.findings
        assert "changed once" in report.statement
    assert following.vkey == path.with_suffix(".vkey").read_text().strip()
