"""Logs of tenants and the subjects beside them, attacked: cut, stripped of signatures, asked for the impossible."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from altar.adm.errors import AltarError, ConfigurationError, ValidationError
from altar.ledger import Event, FileSigner, write_export
from altar.ledger.reader import LogReader
from altar.ledger.signer import log_vkey
from altar.ledger.sqlite import Connection
from altar.ledger.subjects import Subjects, _Asked, subjects_path
from altar.verify import verify
from tests.unit.ledger.samples import ORIGIN, commit, crash, intent, open_ledger, outcome, signer_in


@pytest.fixture
def signer(tmp_path: Path) -> FileSigner:
    return signer_in(tmp_path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def subjects(path: Path) -> Iterator[Subjects]:
    made = Subjects(subjects_path(path), on_failure=lambda _error: None)
    yield made
    made.close()


def test_the_log_of_a_tenant_is_signed_from_its_first_entry_on(path: Path, signer: FileSigner) -> None:
    ledger = open_ledger(path, signer, per_tenant=True)  # the next signature in time is an hour away
    commit(ledger, intent(1, tenant="acme"))
    crash(ledger)

    report = verify(path, vkey=signer.vkey)

    assert ((), [1, 2]) == (report.findings, [log.verified_size for log in report.logs])
    with LogReader.open(path) as reader:
        assert [ORIGIN, f"{ORIGIN}/acme"] == [log.origin for log in reader.logs()]
        assert reader.checkpoint("acme").startswith(f"{ORIGIN}/acme\n2\n".encode())
    exported = path.with_name("acme.export")
    with exported.open("wb") as out:
        write_export(path, out, vkey=signer.vkey, tenant="acme")
    assert verify(exported, vkey=log_vkey(signer.vkey, "acme")).ok


def test_new_tenants_put_off_no_signature_of_the_others(path: Path, signer: FileSigner) -> None:
    ledger = open_ledger(path, signer, per_tenant=True)
    commit(ledger, intent(1, tenant="acme"))
    before = ledger._signed_at

    commit(ledger, intent(2, tenant="globex"))

    assert before == ledger._signed_at
    ledger.close()


def test_a_thief_who_takes_all_signatures_of_a_tenant_cannot_write_its_history_anew(
    path: Path, signer: FileSigner
) -> None:
    ledger = open_ledger(path, signer, per_tenant=True)
    commit(ledger, intent(1, tenant="acme"), outcome(1, -1))
    crash(ledger)  # after a stop in order anything behind it is refused anyway
    with closing(sqlite3.connect(path)) as stolen:
        stolen.execute("DELETE FROM checkpoints WHERE place >= 1 << 40")
        stolen.commit()

    with pytest.raises(ConfigurationError, match="the log of 'acme' has entries but no checkpoint"):
        open_ledger(path, signer, per_tenant=True)


def test_of_many_logs_the_report_names_a_few_and_counts_the_others(path: Path, signer: FileSigner) -> None:
    ledger = open_ledger(path, signer, per_tenant=True)
    commit(ledger, *(intent(number, tenant=f"t{number}") for number in range(40)))
    commit(ledger, *(intent(100 + number, tenant=f"t{number}") for number in range(30)))
    crash(ledger)

    report = verify(path, vkey=signer.vkey)

    assert (True, 70) == (report.ok, report.unsigned_tail)
    assert "All entries of 10 more logs are proved so" in report.statement
    assert "23 more logs are not proved up to their ends" in report.statement
    assert len(report.statement) < 4_000


def test_what_a_tenant_is_called_never_ends_the_log_of_all(path: Path, signer: FileSigner) -> None:
    failures: list[AltarError] = []
    ledger = open_ledger(path, signer, per_tenant=True, failures=failures)

    for tenant in ("\ud800", "x" * 3_000, "é" * 400, "ü" * 136):
        with pytest.raises(ValidationError, match=r"tenant|UTF-8"):
            commit(ledger, Event(event="session.opened", subject="s", tenant=tenant))
        with pytest.raises(ValidationError):
            commit(ledger, intent(1, tenant=tenant))
    longest = ["ü" * 135, "/" * 200, "%2F", "/", "a%2Fb", "a/b", "..", " ", "\u0000", "A", "a"]
    answers = [commit(ledger, Event(event="session.opened", subject="s", tenant=tenant))[1] for tenant in longest]
    ledger.close()

    assert ([], [None] * len(longest)) == (failures, answers)
    report = verify(path, vkey=signer.vkey)
    assert report.ok
    assert len(longest) + 1 == len({log.origin for log in report.logs})


def test_a_subject_that_is_forgotten_while_it_is_asked_for_is_given_to_who_asked(subjects: Subjects) -> None:
    held, goes_on, given = threading.Event(), threading.Event(), list[str]()

    def hold(_connection: Connection) -> None:
        held.set()
        goes_on.wait(30)

    subjects.put(_Asked(read=hold))
    assert held.wait(30)
    asking = threading.Thread(target=lambda: given.append(subjects.of("acme", "acme/alice").pseudonym))
    asking.start()
    while subjects._waiting.qsize() < 1:
        pass
    forgetting = threading.Thread(target=subjects.destroy, args=("acme", "acme/alice"))
    forgetting.start()
    while subjects._waiting.qsize() < 2:
        pass
    goes_on.set()
    asking.join(30)
    forgetting.join(30)

    assert 1 == len(given)
    assert None is subjects.name_of(given[0])


def test_who_is_forgotten_while_another_program_reads_is_not_said_to_be_gone(
    path: Path, subjects: Subjects, tmp_path: Path
) -> None:
    key = subjects.of("acme", "acme/alice").key
    subjects._connection.execute("PRAGMA busy_timeout = 50")
    file = subjects_path(path)
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, isolation_level=None)) as reading:
        reading.execute("BEGIN")
        reading.execute("SELECT count(*) FROM subjects").fetchall()

        with pytest.raises(AltarError, match="its traces") as refused:
            subjects.destroy("acme", "acme/alice")

        assert "LOG_UNAVAILABLE" == refused.value.code
        assert key in traces(file, tmp_path)
    subjects.destroy("acme", "acme/alice")

    assert key not in traces(file, tmp_path)


def traces(file: Path, folder: Path) -> bytes:
    """All bytes that a thief would find in the file and its write-ahead log."""
    found = b""
    for ending in ("", "-wal"):
        stolen = folder / f"stolen{ending}"
        if Path(f"{file}{ending}").exists():
            shutil.copy(f"{file}{ending}", stolen)
            found += stolen.read_bytes()
    return found
