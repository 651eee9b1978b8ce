"""A checkpoint that a witness has cosigned (C2SP tlog-cosignature) proves that the log was not taken back."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from altar.verify import verify
from altar.verify.__main__ import main
from tests.unit.verify.building import Log, Signer, many, write_export, write_logs

VKEY = Signer().vkey
TIME = 1_790_000_000


class Witness:
    """An Ed25519 key that cosigns, made from the words of the specification alone."""

    def __init__(self, seed: bytes = b"w" * 32, name: str = "witness.example/w1") -> None:
        self.name = name
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        raw = b"\x04" + self._private.public_key().public_bytes_raw()
        self.key_id = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
        self.vkey = f"{name}+{self.key_id.hex()}+{base64.b64encode(raw).decode()}"

    def cosigned(self, note: bytes, *, time: int = TIME, said: int = TIME) -> str:
        text = note.rpartition(b"\n\n")[0] + b"\n"
        signature = self._private.sign(f"cosignature/v1\ntime {time}\n".encode() + text)
        blob = base64.b64encode(self.key_id + said.to_bytes(8, "big") + signature).decode()
        return note.decode() + f"\u2014 {self.name} {blob}\n"


@pytest.fixture
def log() -> Log:
    return many(20)[1]


def newest(log: Log) -> bytes:
    return log.signed[max(log.signed)]


def test_a_cosigned_checkpoint_proves_that_the_log_goes_on_from_it(log: Log, tmp_path: Path) -> None:
    path = write_export(log, tmp_path / "log")
    witness = Witness()

    report = verify(path, vkey=VKEY, since=witness.cosigned(newest(log)), witnesses=[witness.vkey])

    assert report.ok
    assert "cosigned by the witness 'witness.example/w1' at 2026-09-21T14:13:20+00:00" in report.statement


def test_a_log_that_was_taken_back_is_found_by_what_a_witness_saw(tmp_path: Path) -> None:
    witness = Witness()
    seen = witness.cosigned(newest(many(40)[1]))
    path = write_logs(many(40, stop=False), tmp_path / "ledger.db")

    report = verify(path, vkey=VKEY, since=seen, witnesses=[witness.vkey])

    assert not report.ok
    assert "rollback" in {finding.what.split(":")[0] for finding in report.findings}


@pytest.mark.parametrize("attack", ["other witness", "other time", "none", "changed"])
def test_a_cosignature_that_the_witness_did_not_make_proves_nothing(attack: str, log: Log, tmp_path: Path) -> None:
    path = write_export(log, tmp_path / "log")
    witness = Witness()
    since = {
        "other witness": Witness(seed=b"x" * 32).cosigned(newest(log)),
        "other time": witness.cosigned(newest(log), said=TIME + 1),
        "none": newest(log).decode(),
        "changed": witness.cosigned(log.signed[min(log.signed)]).replace(
            log.signed[min(log.signed)].decode(), newest(log).decode()
        ),
    }[attack]

    with pytest.raises(ValueError, match="cosign"):
        verify(path, vkey=VKEY, since=since, witnesses=[witness.vkey])


def test_a_witness_without_a_checkpoint_or_with_a_key_of_another_kind_is_wrong_use(log: Log, tmp_path: Path) -> None:
    path = write_export(log, tmp_path / "log")

    with pytest.raises(ValueError, match="only with the checkpoint"):
        verify(path, vkey=VKEY, witnesses=[Witness().vkey])
    with pytest.raises(ValueError, match="not a verifier key"):
        verify(path, vkey=VKEY, since=newest(log).decode(), witnesses=[VKEY])


def test_the_command_takes_witnesses(log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_export(log, tmp_path / "log")
    witness = Witness()
    (tmp_path / "note").write_text(witness.cosigned(newest(log)))
    words = [str(path), "--vkey", VKEY, "--since", str(tmp_path / "note"), "--witness"]

    assert 0 == main([*words, witness.vkey])
    assert "cosigned by the witness" in capsys.readouterr().out
    assert 2 == main([*words, Witness(seed=b"x" * 32).vkey])
