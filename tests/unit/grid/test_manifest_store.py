"""Which manifest a host takes, refuses, remembers and lets expire."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from altar.adm.canonical import canonical
from altar.adm.declaration import ToolContract, ToolManifest
from altar.adm.errors import AltarError, ConfigurationError
from altar.grid.manifests.envelope import Envelope
from altar.grid.manifests.manifest_statement import (
    PAYLOAD_TYPE,
    Statement,
    is_current,
    next_statement,
    rollback_statement,
    sign_file,
    statement_in,
    write_signed,
)
from altar.grid.manifests.manifest_store import ActiveManifest, ManifestStore, ManifestWatch, open_signed
from altar.ledger.signer import FileSigner
from tests.unit.grid.contracts import declaration

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def document(*names: str) -> dict[str, Any]:
    return ToolManifest("1.1.0", (ToolContract("shop", "Shop.", tuple(map(declaration, names))),), {}).to_adm()


class Desk:
    """Somebody who signs, and a host that reads."""

    def __init__(self, at: Path) -> None:
        self.file = at / "manifest.signed.json"
        self.memory = at / "manifest.active"
        self.signer = FileSigner.create(at / "key.pem", name="test/manifest")
        self.now = NOW

    def store(self, *, development: bool = False) -> ManifestStore:
        return ManifestStore(self.file, keys=[self.signer.vkey], memory=self.memory, development=development)

    def sign(self, version: int, *names: str, lifetime: timedelta = 90 * DAY, by: FileSigner | None = None) -> Envelope:
        statement = Statement(version, self.now, self.now + lifetime, "", document(*(names or ("add",))))
        sealed = statement.seal(by or self.signer)
        write_signed(self.file, sealed)
        return sealed

    def activate(self) -> ActiveManifest:
        store = self.store()
        active = store.load(now=self.now)
        store.remember(active)
        return active

    def refusal(self) -> ConfigurationError:
        with pytest.raises(ConfigurationError) as refused:
            self.store().load(now=self.now)
        assert str(self.file) in refused.value.message
        assert refused.value.hint
        return refused.value


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


# --------------------------------------------------------------------------------------------------- statements


def test_a_statement_is_canonical_and_read_as_it_was_written() -> None:
    made = next_statement(document("add"), replaces=None, now=NOW, lifetime=DAY)

    assert made == Statement.read(made.payload())
    assert made.payload() == canonical(json.loads(made.payload()))
    assert (1, "2026-03-01T12:00:00Z") == (made.version, json.loads(made.payload())["created"])


def test_each_statement_names_the_payload_it_replaces(desk: Desk) -> None:
    first = desk.sign(3)

    made = next_statement(document("add", "send"), replaces=first, now=NOW, lifetime=DAY)

    assert (4, 71) == (made.version, len(made.previous))
    with pytest.raises(ConfigurationError, match="Version 3 does not follow version 3"):
        next_statement(document("add"), replaces=first, now=NOW, lifetime=DAY, version=3)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 0},
        {"version": True},
        {"version": 2**53},
        {"version": None},
        {"created": "2026-03-01"},
        {"expires": 5},
        {"expires": "2026-02-01T00:00:00Z"},
        {"previous": "sha256:"},
        {"manifest": []},
        {"rollback_to": 2},
        {"rollback_to": 1},
        {"more": 1},
    ],
)
def test_a_statement_of_another_shape_is_refused(changes: dict[str, Any]) -> None:
    members = json.loads(next_statement(document("add"), replaces=None, now=NOW, lifetime=DAY).payload())

    with pytest.raises(ConfigurationError) as refused:
        Statement.read(json.dumps(members | changes).encode())

    assert "INVALID_CONFIG" == refused.value.code


def test_a_file_is_signed_again_only_when_it_has_changed(desk: Desk, tmp_path: Path) -> None:
    plain = tmp_path / "plain.json"
    plain.write_text(json.dumps(document("add")))
    first = sign_file(plain, desk.file, desk.signer, lifetime=DAY, now=NOW)
    same = sign_file(plain, desk.file, desk.signer, lifetime=DAY, now=NOW)
    plain.write_text(json.dumps(document("send")))
    second = sign_file(plain, desk.file, desk.signer, lifetime=DAY, now=NOW)
    late = sign_file(plain, desk.file, desk.signer, lifetime=DAY, now=NOW + DAY)
    above = sign_file(plain, desk.file, desk.signer, lifetime=DAY, now=NOW + 3 * DAY, above=9)

    assert [1, 1, 2, 3, 10] == [one.version for one in (first, same, second, late, above)]
    assert not is_current(desk.file, b"{}", key=desk.signer.vkey, until=NOW)


# ------------------------------------------------------------------------------------------------ what is taken


def test_a_signed_manifest_is_taken(desk: Desk) -> None:
    sealed = desk.sign(1, "add", "send")

    active = desk.activate()

    assert (["add", "send"], 1) == (active.contracts.names, active.version)
    assert (desk.signer.vkey, NOW + 90 * DAY) == (active.key, active.expires)
    assert active.digest == desk.activate().digest
    assert 1 == desk.store().highest()
    assert sealed == open_signed(desk.file, [desk.signer.vkey])[0]


def test_an_unsigned_manifest_is_refused_and_the_way_to_sign_it_said(desk: Desk) -> None:
    desk.file.write_text(json.dumps(document("add")))

    refusal = desk.refusal()

    assert "CERTIFICATE_ERROR" == refusal.code
    assert "is refused: it is not in a signed envelope" in refusal.message
    assert "altar manifest sign" in str(refusal.hint)


def test_an_altered_manifest_is_refused(desk: Desk) -> None:
    sealed = desk.sign(1)
    other = Statement(1, NOW, NOW + DAY, "", document("send")).payload()
    write_signed(desk.file, Envelope(PAYLOAD_TYPE, other, sealed.signatures))

    assert "it is not what was signed" in desk.refusal().message


def test_a_manifest_of_an_unknown_key_is_refused(desk: Desk, tmp_path: Path) -> None:
    desk.sign(1, by=FileSigner.create(tmp_path / "stranger.pem", name="test/manifest"))

    refusal = desk.refusal()

    assert "signed by a key that is not trusted here" in refusal.message
    assert "host.manifest_keys" in str(refusal.hint)


def test_a_genuine_envelope_of_something_else_is_refused(desk: Desk) -> None:
    write_signed(desk.file, Envelope.seal(b"{}", payload_type="text/plain", signer=desk.signer))

    assert "holds 'text/plain'" in desk.refusal().message


def test_a_genuine_statement_without_a_manifest_is_refused(desk: Desk) -> None:
    write_signed(desk.file, Statement(1, NOW, NOW + DAY, "", {"contracts": []}).seal(desk.signer))

    with pytest.raises(ConfigurationError, match="is not valid"):
        desk.store().load(now=NOW)


def test_an_expired_manifest_is_refused(desk: Desk) -> None:
    desk.sign(1, lifetime=DAY)
    desk.now = NOW + DAY

    assert "version 1 expired at 2026-03-02 12:00:00 UTC" in desk.refusal().message


def test_a_manifest_that_is_not_there_is_said_so(desk: Desk) -> None:
    assert "MISSING_MANIFEST" == desk.refusal().code


def test_an_older_version_is_refused(desk: Desk) -> None:
    desk.sign(5)
    desk.activate()
    desk.sign(4)

    refusal = desk.refusal()

    assert "INVALID_CONFIG" == refusal.code
    assert "version 4 is not above version 5, which was active here" in refusal.message
    assert "altar manifest rollback" in str(refusal.hint)


def test_another_content_under_the_same_version_is_refused(desk: Desk) -> None:
    desk.sign(5)
    desk.activate()
    desk.sign(5, "send")

    assert "version 5 was active here with another content" in desk.refusal().message


# ---------------------------------------------------------------------------------------------------- the way back


def test_a_signed_rollback_is_taken_once_and_only_from_the_manifest_it_names(desk: Desk) -> None:
    older, newer = desk.sign(1), desk.sign(2, "send")
    desk.activate()
    back = rollback_statement(older, replaces=newer, now=NOW, lifetime=DAY)
    write_signed(desk.file, back.seal(desk.signer))

    active = desk.activate()
    again = desk.activate()

    assert (1, ["add"], 2) == (active.version, active.contracts.names, desk.store().highest())
    assert active.digest == again.digest
    desk.sign(3, "send")
    desk.activate()
    write_signed(desk.file, back.seal(desk.signer))
    assert "the rollback to version 1 is not from the manifest that is active here" in desk.refusal().message


def test_after_a_rollback_what_was_rolled_back_stays_out(desk: Desk) -> None:
    older, newer = desk.sign(1), desk.sign(2, "send")
    desk.activate()
    write_signed(desk.file, rollback_statement(older, replaces=newer, now=NOW, lifetime=DAY).seal(desk.signer))
    desk.activate()
    write_signed(desk.file, newer)

    assert "version 2 is not above version 2, which was active here" in desk.refusal().message


def test_a_rollback_forwards_is_not_signed(desk: Desk) -> None:
    older, newer = desk.sign(1), desk.sign(2, "send")

    with pytest.raises(ConfigurationError, match="Version 2 is not older than version 1"):
        rollback_statement(newer, replaces=older, now=NOW, lifetime=DAY)


# -------------------------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": "x", "digest": "", "highest": 1}'])
def test_a_memory_that_cannot_be_read_is_not_taken_for_none(desk: Desk, text: str) -> None:
    desk.sign(1)
    desk.memory.write_text(text)

    with pytest.raises(ConfigurationError, match="cannot be read") as refused:
        desk.store().load(now=NOW)

    assert "ENVIRONMENT_ERROR" == refused.value.code


def test_a_memory_that_cannot_be_written_is_an_error(desk: Desk, tmp_path: Path) -> None:
    desk.sign(1)
    store = ManifestStore(desk.file, keys=[desk.signer.vkey], memory=tmp_path / "absent" / "memory")

    with pytest.raises(ConfigurationError, match="Cannot write"):
        store.remember(store.load(now=NOW))


def test_a_file_that_may_be_read_now_is_looked_at_again(desk: Desk) -> None:
    desk.sign(1)
    store = desk.store()
    store.load(now=NOW)

    desk.file.chmod(0o640)

    assert store.changed()


def test_a_file_that_cannot_be_put_in_its_place_leaves_nothing_beside_it(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    before = sorted(tmp_path.iterdir())

    with pytest.raises(OSError, match="taken"):
        write_signed(tmp_path / "taken", desk.sign(1))

    assert sorted(set(tmp_path.iterdir()) - {desk.file}) == before


# --------------------------------------------------------------------------------------------------- development


def test_in_development_a_plain_manifest_and_none_at_all_are_taken(desk: Desk) -> None:
    nothing = desk.store(development=True).load(now=NOW)
    desk.file.write_text(json.dumps(document("add")))
    plain = desk.store(development=True).load(now=NOW)
    desk.store(development=True).remember(plain)

    assert ([], 0) == (nothing.contracts.names, nothing.version)
    assert (["add"], 0, None, "") == (plain.contracts.names, plain.version, plain.expires, plain.key)
    assert not desk.memory.exists()


def test_in_development_too_what_is_signed_must_be_genuine(desk: Desk, tmp_path: Path) -> None:
    desk.sign(1, by=FileSigner.create(tmp_path / "stranger.pem", name="test/manifest"))

    with pytest.raises(ConfigurationError, match="not trusted"):
        desk.store(development=True).load(now=NOW)


# -------------------------------------------------------------------------------------------------------- watching


class Watched:
    """A watch with a clock of its own, and what it did."""

    def __init__(self, desk: Desk) -> None:
        self.seconds = 0.0
        self.activated: list[ActiveManifest] = []
        self.said: list[Callable[[], AltarError] | None] = []
        store = desk.store()
        active = store.load(now=desk.now)
        store.remember(active)
        self.watch = ManifestWatch(
            store,
            active,
            activate=self.activated.append,
            refuse=self.refuse,
            now=lambda: desk.now,
            clock=lambda: self.seconds,
        )

    def refuse(self, why: Callable[[], AltarError] | None) -> None:
        self.said.append(why)

    def second(self) -> None:
        self.seconds += 1.0
        self.watch.step()


def test_a_newer_file_is_taken_up_within_a_second_and_once(desk: Desk) -> None:
    desk.sign(1)
    watched = Watched(desk)
    watched.second()
    desk.sign(2, "send")

    watched.watch.step()
    before = list(watched.activated)
    for _ in range(3):
        watched.second()

    assert ([], [2]) == (before, [one.version for one in watched.activated])
    assert (2, "strict", False) == tuple(watched.watch.status()[key] for key in ("version", "mode", "expired"))


def test_a_newer_file_that_is_refused_is_said_once_and_the_active_one_stays(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.sign(2)
    watched = Watched(desk)
    desk.sign(1)

    for _ in range(3):
        watched.second()

    assert [] == watched.activated
    assert 2 == watched.watch.active.version
    assert ["manifest refused"] == [record.message for record in caplog.records]


def test_the_end_is_warned_of_then_refused_and_over_with_a_new_one(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    desk.sign(1, lifetime=30 * DAY)
    watched = Watched(desk)
    watched.second()
    quiet = len(caplog.records)
    desk.now = NOW + 24 * DAY
    for _ in range(3):
        watched.second()
    warned = [record.message for record in caplog.records]
    fine = list(watched.said)
    desk.now = NOW + 30 * DAY
    watched.second()

    assert (0, ["manifest expires soon"], []) == (quiet, warned, fine)
    (refusing,) = watched.said
    assert refusing is not None
    error = refusing()
    assert ("NOT_ACTIVE", "no") == (error.code, error.ran)
    assert "altar manifest sign" in str(error.hint)
    assert watched.watch.status()["expired"]
    desk.sign(2)
    watched.second()
    assert [None] == watched.said[-1:]
    assert not watched.watch.status()["expired"]


def test_what_may_not_be_remembered_is_not_activated(desk: Desk) -> None:
    desk.sign(1)
    watched = Watched(desk)
    desk.sign(2)
    desk.memory.unlink()
    desk.memory.mkdir()

    watched.second()

    assert [] == watched.activated


def test_the_statement_in_an_envelope_is_told_by_its_type(desk: Desk) -> None:
    assert 1 == statement_in(desk.sign(1)).version
