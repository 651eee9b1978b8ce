"""Exports of logs, verified by code that is not ours: Go's own package for transparency logs, and pymerkle."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from altar.adm.errors import AltarError
from altar.ledger import Event, Ledger, write_export
from altar.ledger.log import EMPTY_ROOT, Checkpoint, NoteSignature, checkpoint_text, parse_note, signed_note
from altar.ledger.reader import LogReader
from tests.providers.oracles import TLOGCHECK, judged
from tests.providers.presence import need
from tests.unit.ledger.samples import ORIGIN, open_ledger, signer_in

SIZES = [1, 2, 3, 255, 256, 257, 1000]


def export_of(folder: Path, size: int) -> tuple[Path, str]:
    """An export of a log of this many entries, and the key that verifies it."""
    signer = signer_in(folder)
    path, out = folder / "ledger.db", folder / "log.jsonl"
    ledger = open_ledger(path, signer)
    if size == 1:  # a host that has just been started: its log holds the start, and no stop
        write(path, out, signer.vkey)
        ledger.close()
        return out, signer.vkey
    fill(ledger, size - 2)
    ledger.close()
    write(path, out, signer.vkey)
    return out, signer.vkey


def fill(ledger: Ledger, count: int) -> None:
    """Commit events, many at once, and wait for the last."""
    for first in range(0, count, 2000):
        events: Sequence[Event] = [
            Event(event="session.opened", subject=f"s-{number}") for number in range(first, min(first + 2000, count))
        ]
        done = threading.Event()
        failed: list[AltarError | None] = []

        def then(
            _seq: int, error: AltarError | None, failed: list[AltarError | None] = failed, done: threading.Event = done
        ) -> None:
            failed.append(error)
            done.set()

        ledger.commit(events, then)
        assert done.wait(60)
        assert [None] == failed


def write(path: Path, out: Path, vkey: str) -> None:
    with out.open("wb") as file:
        write_export(path, file, vkey=vkey)


def checked(export: Path, vkey: str, *proofs: Path) -> subprocess.CompletedProcess[str]:
    need("tlogcheck", TLOGCHECK)
    return subprocess.run([TLOGCHECK, export, vkey, *proofs], capture_output=True, text=True, check=False)


def proofs_of(log: Path, size: int) -> Path:
    """Proofs that our own reader gives, of inclusion in trees of several sizes and of consistency between them."""

    def told(nodes: Sequence[bytes]) -> list[str]:
        return [base64.b64encode(node).decode() for node in nodes]

    sizes = sorted({1, 2, 3, size // 3, size // 2, size - 1, size} & set(range(1, size + 1)))
    out = log.with_name("proofs")
    with LogReader.open(log) as reader, out.open("w") as file:
        for total in sizes:
            for at in {0, total // 3, total // 2, total - 1}:
                row = {"index": at, "size": total, "inclusion": told(reader.inclusion("", at, total))}
                file.write(json.dumps(row) + "\n")
            for old in [each for each in sizes if each <= total]:
                row = {"old": old, "size": total, "consistency": told(reader.consistency("", old, total))}
                file.write(json.dumps(row) + "\n")
    return out


@pytest.mark.parametrize("size", SIZES)
def test_go_finds_every_root_inclusion_and_consistency_right(tmp_path: Path, size: int) -> None:
    export, vkey = export_of(tmp_path, size)

    done = checked(export, vkey, proofs_of(tmp_path / "ledger.db", size))

    assert "" == done.stderr
    found = json.loads(done.stdout)
    assert (size, size) == (found["entries"], found["verified"])
    assert found["checkpoints"] >= 1
    assert found["inclusions"] >= min(size, 50)
    assert found["given"] >= min(size, 20)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_go_finds_a_log_of_a_million_entries_right(tmp_path: Path) -> None:
    export, vkey = export_of(tmp_path, 1_000_000)

    done = checked(export, vkey, proofs_of(tmp_path / "ledger.db", 1_000_000))

    assert "" == done.stderr
    assert 1_000_000 == json.loads(done.stdout)["verified"]


def test_go_agrees_about_a_log_without_entries(tmp_path: Path) -> None:
    signer = signer_in(tmp_path)
    text = checkpoint_text(Checkpoint(ORIGIN, 0, EMPTY_ROOT))
    note = signed_note(text, NoteSignature(signer.name, *signer.sign(text)))
    export = tmp_path / "log.jsonl"
    export.write_text(json.dumps({"checkpoint": note.decode(), "size": 0}) + "\n")

    done = checked(export, signer.vkey)

    assert ("", 1) == (done.stderr, json.loads(done.stdout)["checkpoints"])


def test_go_refuses_a_log_whose_entry_was_changed(tmp_path: Path) -> None:
    export, vkey = export_of(tmp_path, 257)
    export.write_bytes(export.read_bytes().replace(b"s-100", b"s-101", 1))

    done = checked(export, vkey)

    assert (1, True) == (done.returncode, "another leaf hash" in done.stderr)


def test_go_refuses_a_log_of_another_key(tmp_path: Path) -> None:
    export, _ = export_of(tmp_path, 3)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    assert "note has no verifiable signatures" in checked(export, signer_in(elsewhere).vkey).stderr


def test_go_refuses_a_proof_of_ours_that_does_not_hold(tmp_path: Path) -> None:
    export, vkey = export_of(tmp_path, 257)
    proofs = proofs_of(tmp_path / "ledger.db", 257)
    *others, _ = proofs.read_text().splitlines()
    forged = json.loads(others[-2])
    forged["old"] += 1
    proofs.write_text(json.dumps(forged) + "\n")

    assert 1 == checked(export, vkey, proofs).returncode


@pytest.mark.parametrize("size", SIZES)
def test_pymerkle_computes_the_same_roots(tmp_path: Path, size: int) -> None:
    export, _ = export_of(tmp_path, size)
    lines = [json.loads(line) for line in export.read_text().splitlines()]
    entries = [line["entry"] for line in lines if "entry" in line]
    notes = {line["size"]: parse_note(line["checkpoint"].encode())[1] for line in lines if "checkpoint" in line}

    found = judged(_PYMERKLE, stdin=json.dumps({"entries": entries, "sizes": list(notes)}))

    assert [note.root.hex() for note in notes.values()] == found


_PYMERKLE = """
import json, sys
from pymerkle import InmemoryTree
asked = json.load(sys.stdin)
tree = InmemoryTree(algorithm="sha256")
for entry in asked["entries"]:
    tree.append_entry(entry.encode())
print(json.dumps([tree.get_state(size).hex() for size in asked["sizes"]]))
"""
