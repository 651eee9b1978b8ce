"""Whatever a file holds, the auditor's program answers with a report."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path

import pytest

from altar.verify import locate, verify
from tests.unit.verify.building import Signer, sample, write_database, write_export


@pytest.mark.parametrize("seed", range(4))
def test_whatever_the_file_holds_the_answer_is_a_report(seed: int, tmp_path: Path) -> None:
    log = sample(40)
    rng = random.Random(seed)
    originals = [
        write_database(log, tmp_path / "a.db").read_bytes(),
        write_export(log, tmp_path / "a.jsonl").read_bytes(),
    ]
    target = tmp_path / "broken"
    for _ in range(60):
        data = bytearray(rng.choice(originals))
        for _ in range(rng.randint(1, 5)):
            _damage(data, rng)
        target.write_bytes(data)

        report = verify(target, vkey=log.signer.vkey)

        assert not report.ok or bytes(data) in originals or report.kind == "database"
        json.dumps(dataclasses.asdict(report))
        if data:
            assert locate(target, rng.randrange(len(data))).text


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"{", b"SQLite format 3\x00", bytes(4096), b"\xff" * 9000, b"x" * 200_000]
)
def test_what_is_no_log_at_all_is_reported_as_damaged(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)

    report = verify(path, vkey=Signer().vkey)

    assert not report.ok
    assert 0 == report.verified_size


def _damage(data: bytearray, rng: random.Random) -> None:
    """Cut, overwrite, swap or blow up a part of the bytes."""
    if len(data) < 5000:
        return
    kind, at = rng.randrange(5), rng.randrange(len(data) - 4096)
    if kind == 0:
        del data[at:]
    elif kind == 1:
        data[at : at + 64] = rng.randbytes(64)
    elif kind == 2:
        page, other = rng.randrange(len(data) // 4096) * 4096, rng.randrange(len(data) // 4096) * 4096
        data[page : page + 4096], data[other : other + 4096] = (
            data[other : other + 4096],
            data[page : page + 4096],
        )
    elif kind == 3:
        start = at // 4096 * 4096 + rng.randrange(12)
        data[start : start + 4] = b"\xff" * rng.choice([4, 4, 3]) + b"\x00" * 1
    else:
        data[at : at + 9] = b"\xff" * 9
