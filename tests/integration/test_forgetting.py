"""Who is to be forgotten must not stand in the log by name, whatever they did and whatever was done to them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from altar.adm.errors import AltarError
from altar.aesp.audit.forgetting import forget_offline
from altar.ledger.subjects import read_names
from altar.verify import verify
from tests.integration.foundation_scene import FoundationGrid

IDENTITY = "EnterpriseIdentityService"
AUTHORIZATION = "EnterpriseAuthorizationService"
AUDIT = "EnterpriseAuditService"
NAMES = (b"annegret", b"harvester", b"mistaken")


def test_the_log_holds_no_name_of_anybody_and_tells_nobody_who_was_forgotten(tmp_path: Path) -> None:
    with FoundationGrid(tmp_path / "grid") as scene:
        scene.tenant("acme")
        token = scene.person("acme", "annegret", "developer")
        with scene.session(token) as session:
            assert "sunny in Graz" == session.call("weather", city="Graz").unwrap()
            session.call("transfer", amount=1).unwrap()
        _administer(scene, token)
        shown = {entry["resource"] for entry in scene.events("acme") if entry["event_type"].startswith("admin.")}
        closed = scene.recorded("acme", "session.closed", "", "")
    log = tmp_path / "grid/data/ledger.db"

    assert {"principals/annegret", "bindings/annegret", "service-accounts/svc:harvester", "keys/annegret"} <= shown
    assert not {each for each in shown if "mistaken" in each}
    assert b"destroyed" in _written(log)
    assert closed
    assert [] == [name for name in NAMES if name in _written(log)]
    pseudonym = next(p for p, (_, name) in read_names(log).items() if name == "acme/annegret")
    key = tmp_path / "grid/keys/ledger.pem"
    assert forget_offline(log, "acme/annegret", signing_key=key, host="host-1", wall_ms=lambda: 1)
    assert pseudonym not in read_names(log)
    assert [] == [name for name in NAMES if name in _written(log)]
    assert b"annegret" not in _all_beside(log)
    assert verify(log, vkey=scene.grid.vkey).ok


def _administer(scene: FoundationGrid, token: str) -> None:
    """Everything that names a principal, by who may and by who may not; also a name that nobody has."""
    wanted = {"tenant_id": "acme", "name": "harvester", "roles": ["viewer"]}
    scene.ask(f"{IDENTITY}/CreateServiceAccount", wanted)
    for principal in ("annegret", "acme/annegret", "mistaken"):
        named = {"tenant_id": "acme", "principal_id": principal}
        for method, more in (
            (f"{IDENTITY}/GetPrincipalDetails", {}),
            (f"{IDENTITY}/GetPrincipalAuditTrail", {}),
            (f"{IDENTITY}/ListApiKeys", {}),
            (f"{IDENTITY}/CreateApiKey", {}),
            (f"{IDENTITY}/UpdatePrincipalRoles", {"add": ["viewer"]}),
            (f"{AUTHORIZATION}/GetEffectivePermissions", {}),
            (f"{AUTHORIZATION}/AuthorizeAction", {"resource": "tools", "action": "execute"}),
            (f"{AUTHORIZATION}/AssignRole", {"role": "viewer"}),
        ):
            _tried(lambda m=method, r=named | more: scene.ask(m, r))  # type: ignore[misc]  # bound here
            _tried(lambda m=method, r=named | more: scene.ask(m, r, credential=token))  # type: ignore[misc]  # bound here
    for _ in range(125):  # more than are recorded one by one
        _tried(lambda: scene.ask(f"{IDENTITY}/DeletePrincipal", {"principal_id": "annegret"}, credential=token))
    scene.ask(f"{IDENTITY}/RevokeServiceAccount", {"tenant_id": "acme", "principal_id": "svc:harvester"})
    scene.ask(f"{IDENTITY}/DeletePrincipal", {"tenant_id": "acme", "principal_id": "annegret"})


def _tried(work: Callable[[], object]) -> None:
    with suppress(AltarError):
        work()


def _written(log: Path) -> bytes:
    """Every byte of the log, and of what SQLite has not yet moved into it."""
    assert log.stat().st_size > 10_000
    return b"".join(path.read_bytes() for path in (log, log.with_name("ledger.db-wal")) if path.exists())


def _all_beside(log: Path) -> bytes:
    """Every byte of what lies beside the log under its name, once it is all in the files themselves."""
    for path in log.parent.glob("ledger.db*"):
        if path.is_file() and not path.name.endswith(("-wal", "-shm")):
            with closing(sqlite3.connect(path)) as opened, suppress(sqlite3.DatabaseError):
                opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return b"".join(path.read_bytes() for path in log.parent.glob("ledger.db*") if path.is_file())
