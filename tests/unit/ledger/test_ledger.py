from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from altar.adm.errors import AltarError, ConfigurationError
from altar.ledger import EntriesRefusedError, Event, FileSigner
from altar.ledger.log import Frontier, leaf_hash, parse_note, tree_root
from altar.ledger.places import Place
from altar.ledger.signer import is_signed_by
from altar.ledger.sqlite import Connection, connect_sqlite
from tests.unit.ledger.samples import (
    DIGEST,
    ORIGIN,
    TIME_MS,
    commit,
    crash,
    entries_in,
    intent,
    open_ledger,
    outcome,
    rows,
    signer_in,
)


@pytest.fixture
def signer(tmp_path: Path) -> FileSigner:
    return signer_in(tmp_path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def test_a_new_ledger_begins_with_its_start_and_ends_with_its_stop(path: Path, signer: FileSigner) -> None:
    ledger = open_ledger(path, signer)
    ledger.close()

    start, stop = entries_in(path)
    assert {
        "epoch": 1,
        "host": "host-1",
        "kind": "start",
        "log": ORIGIN,
        "software": "altar 0.1.0",
        "sqlite": sqlite3.sqlite_version_info[0] * 1_000_000
        + sqlite3.sqlite_version_info[1] * 1_000
        + sqlite3.sqlite_version_info[2],
        "time": TIME_MS,
        "v": 2,
    } == start
    assert {"epoch": 1, "kind": "stop", "time": TIME_MS, "v": 2} == stop
    assert (1, ORIGIN, signer.vkey) == (ledger.epoch, ledger.origin, ledger.vkey)


def test_a_call_is_recorded_from_intent_to_outcome(place: Place, signer: FileSigner) -> None:
    ledger = open_ledger(place, signer)

    first, no_error = commit(ledger, Event(event="session.opened", subject="s-1"), intent(1))
    second, neither = commit(ledger, outcome(1, first + 1))
    ledger.close()

    assert (None, None) == (no_error, neither)
    entries = entries_in(place)
    assert ["start", "event", "intent", "outcome", "stop"] == [entry["kind"] for entry in entries]
    assert (first + 1, "inv-1", "SUCCESS", DIGEST) == tuple(
        entries[second][name] for name in ("intent", "invocation", "status", "result")
    )
    assert [(first + 1, second)] == rows(place, "SELECT intent, seq FROM outcomes")


def test_intent_and_outcome_may_be_committed_together(place: Place, signer: FileSigner) -> None:
    ledger = open_ledger(place, signer)

    first, error = commit(ledger, intent(1), outcome(1, -1), intent(2), intent(3), outcome(2, -2))
    ledger.close()

    assert error is None
    entries = entries_in(place)
    assert [first, first + 2] == [entries[first + 1]["intent"], entries[first + 4]["intent"]]


def test_commits_that_wait_together_share_one_transaction(place: Place, signer: FileSigner) -> None:
    writing, go_on = threading.Event(), threading.Event()
    batches: list[int] = []

    def deliver(answers: Callable[[], None]) -> None:
        batches.append(1)
        answers()

    def hold(_first: int, _error: AltarError | None) -> None:
        writing.set()
        assert go_on.wait(30)

    ledger = open_ledger(place, signer, deliver=deliver)
    before = ledger.commits
    firsts: list[int] = []
    ledger.commit([intent(0)], hold)
    assert writing.wait(30)

    for number in range(1, 11):
        ledger.commit([intent(number), outcome(number, -1)], lambda first, _error: firsts.append(first))
    go_on.set()
    commit(ledger, outcome(0, 1))

    assert list(range(2, 22, 2)) == firsts
    assert 2 <= ledger.commits - before <= 3
    assert len(batches) == ledger.commits - before
    assert (23, 23) == (ledger.size, ledger.entries_written)
    ledger.close()


def test_a_second_outcome_is_refused_alone_and_the_rest_of_its_commit_is_recorded(
    place: Place, signer: FileSigner
) -> None:
    ledger = open_ledger(place, signer)
    first, _ = commit(ledger, intent(1), intent(2))

    seq, error = commit(ledger, outcome(1, first), outcome(1, first), outcome(2, first + 1))
    again, second_error = commit(ledger, outcome(2, first + 1))
    ledger.close()

    assert isinstance(error, EntriesRefusedError)
    assert ("INTERNAL", (seq, -1, seq + 1)) == (error.code, error.seqs)
    assert isinstance(second_error, EntriesRefusedError)
    assert (-1, (-1,)) == (again, second_error.seqs)
    assert [(first, seq), (first + 1, seq + 1)] == rows(place, "SELECT intent, seq FROM outcomes ORDER BY seq")
    assert 2 == sum(entry["kind"] == "outcome" for entry in entries_in(place))


@pytest.mark.parametrize("seq", [0, 99, -2, -1])
def test_an_outcome_of_what_is_no_waiting_intent_is_refused(place: Place, signer: FileSigner, seq: int) -> None:
    ledger = open_ledger(place, signer)

    first, error = commit(ledger, outcome(1, seq))
    ledger.close()

    assert isinstance(error, EntriesRefusedError)
    assert -1 == first


def test_an_outcome_of_a_refused_entry_is_refused_too(place: Place, signer: FileSigner) -> None:
    ledger = open_ledger(place, signer)

    first, error = commit(ledger, outcome(1, 99), outcome(1, -1), intent(1), outcome(1, -1))
    ledger.close()

    assert isinstance(error, EntriesRefusedError)
    assert (-1, -1, first, first + 1) == error.seqs


def test_an_outcome_under_another_invocation_is_refused(place: Place, signer: FileSigner) -> None:
    ledger = open_ledger(place, signer)
    first, _ = commit(ledger, intent(1))

    _, error = commit(ledger, outcome(2, first))
    ledger.close()

    assert isinstance(error, EntriesRefusedError)
    assert ["OUTCOME_UNKNOWN"] == [e["code"] for e in entries_in(place) if e["kind"] == "outcome"]


def test_intents_nobody_answered_are_closed_as_unknown_before_the_stop(place: Place, signer: FileSigner) -> None:
    ledger = open_ledger(place, signer)
    first, _ = commit(ledger, intent(1), intent(2))
    commit(ledger, outcome(1, first))

    ledger.close()

    *_, unknown, stop = entries_in(place)
    assert ("inv-2", first + 1, "OUTCOME_UNKNOWN", "unknown", "ERROR") == tuple(
        unknown[name] for name in ("invocation", "intent", "code", "ran", "status")
    )
    assert "stop" == stop["kind"]


def test_each_start_is_a_new_epoch(place: Place, signer: FileSigner) -> None:
    for expected in (1, 2, 3):
        ledger = open_ledger(place, signer)
        assert expected == ledger.epoch
        ledger.close()


def test_checkpoints_are_signed_and_state_the_tree(place: Place, signer: FileSigner) -> None:
    ledger = open_ledger(place, signer)
    commit(ledger, *(intent(number) for number in range(300)))
    ledger.close()

    leaves = [leaf for (leaf,) in rows(place, "SELECT substr(hashes, 1, 32) FROM entries ORDER BY seq")]
    bodies = [body for (body,) in rows(place, "SELECT body FROM entries ORDER BY seq")]
    stored = rows(place, "SELECT place, note FROM checkpoints ORDER BY place")
    assert [leaf_hash(body) for body in bodies] == leaves
    assert [1, 602] == [size for size, _ in stored]
    for size, note in stored:
        text, checkpoint, (signature,) = parse_note(note)
        assert (ORIGIN, size, tree_root(leaves[:size])) == (
            checkpoint.origin,
            checkpoint.size,
            checkpoint.root,
        )
        assert ORIGIN == signature.name
        assert is_signed_by(ledger.vkey, text, signature.signature)


def test_a_checkpoint_comes_at_the_latest_after_4096_entries(place: Place, signer: FileSigner) -> None:
    ledger = open_ledger(place, signer)

    for start in range(0, 4200, 700):
        commit(ledger, *(intent(number) for number in range(start, start + 700)))

    assert [1, 4201] == [size for (size,) in rows(place, "SELECT place FROM checkpoints ORDER BY place")]
    ledger.close()


def test_what_is_written_is_signed_soon_even_when_nothing_more_comes(place: Place, signer: FileSigner) -> None:
    signed = threading.Event()

    class Watching:
        name, vkey = signer.name, signer.vkey

        def sign(self, message: bytes) -> tuple[bytes, bytes]:
            if message.split(b"\n")[1] == b"2":
                signed.set()
            return signer.sign(message)

    ledger = open_ledger(place, cast("FileSigner", Watching()), checkpoint_every=timedelta(milliseconds=20))

    commit(ledger, intent(1))

    assert signed.wait(30)
    ledger.close()


def test_two_openers_cannot_have_one_ledger(place: Place, signer: FileSigner) -> None:
    ledger = open_ledger(place, signer)

    with pytest.raises(ConfigurationError, match=r"is in use by process \d+") as caught:
        open_ledger(place, signer)
    ledger.close()
    open_ledger(place, signer).close()

    assert "ENVIRONMENT_ERROR" == caught.value.code


def test_a_name_that_leads_to_the_same_file_is_the_same_ledger(tmp_path: Path, path: Path, signer: FileSigner) -> None:
    ledger = open_ledger(path, signer)
    (tmp_path / "alias.db").symlink_to(path)

    with pytest.raises(ConfigurationError, match="is in use"):
        open_ledger(tmp_path / "alias.db", signer)
    ledger.close()


def test_a_full_disk_refuses_everything_that_follows_and_says_so_once(path: Path, signer: FileSigner) -> None:
    failures: list[AltarError] = []
    ledger = open_ledger(path, signer, failures=failures, connect=small_disk)
    accepted = 0
    answer = commit(ledger, *(intent(number) for number in range(5)))
    while answer[1] is None:
        accepted += 5
        answer = commit(ledger, *(intent(number) for number in range(accepted, accepted + 5)))
    late = commit(ledger, Event(event="session.closed", subject="s"))
    ledger.close()

    assert accepted
    assert ("LOG_UNAVAILABLE", "no") == (failures[0].code, failures[0].ran)
    assert "full" in str(failures[0].detail)
    assert [(-1, failures[0])] * 2 == [answer, late]
    assert 1 == len(failures)
    recovered = open_ledger(path, signer)
    assert 1 + accepted + accepted + 1 == recovered.size
    recovered.close()


def test_a_full_disk_at_the_start_is_told_where_it_starts(path: Path, signer: FileSigner) -> None:
    def full(name: str) -> Connection:
        connection = connect_sqlite(name)
        list(connection.execute("PRAGMA max_page_count = 2"))
        return connection

    with pytest.raises(AltarError, match="its start could not be written") as caught:
        open_ledger(path, signer, connect=full)
    open_ledger(path, signer).close()

    assert "LOG_UNAVAILABLE" == caught.value.code


def test_after_close_a_commit_is_refused_and_closing_again_does_nothing(place: Place, signer: FileSigner) -> None:
    ledger = open_ledger(place, signer)
    ledger.close()
    ledger.close()

    first, error = commit(ledger, intent(1))

    assert -1 == first
    assert error is not None
    assert "LOG_UNAVAILABLE" == error.code
    assert 2 == len(entries_in(place))


def test_what_waits_at_close_is_still_written(place: Place, signer: FileSigner) -> None:
    ledger = open_ledger(place, signer)
    answers: list[int] = []
    for number in range(50):
        ledger.commit([intent(number), outcome(number, -1)], lambda first, _error: answers.append(first))

    ledger.close()

    assert list(range(1, 101, 2)) == answers
    assert "stop" == entries_in(place)[-1]["kind"]


def test_a_listener_that_fails_does_not_silence_the_others(
    place: Place, signer: FileSigner, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = open_ledger(place, signer)

    def fail(_first: int, _error: AltarError | None) -> None:
        raise RuntimeError("a listener's mistake")

    ledger.commit([intent(1)], fail)
    first, error = commit(ledger, intent(2))
    ledger.close()

    assert (2, None) == (first, error)
    assert "a ledger callback failed" in caplog.text


def test_listeners_that_are_gone_do_not_stop_the_ledger(
    place: Place, signer: FileSigner, caplog: pytest.LogCaptureFixture
) -> None:
    def closed(_answers: Callable[[], None]) -> None:
        raise RuntimeError("Event loop is closed")

    ledger = open_ledger(place, signer, deliver=closed)
    ledger.commit([intent(1)], lambda _first, _error: None)
    ledger.close()

    assert ["start", "intent", "outcome", "stop"] == [entry["kind"] for entry in entries_in(place)]
    assert "ledger answers could not be delivered" in caplog.text


def test_a_ledger_of_another_origin_or_key_is_not_continued(tmp_path: Path, place: Place, signer: FileSigner) -> None:
    open_ledger(place, signer).close()
    other = FileSigner.create(tmp_path / "other.key", name=ORIGIN)

    with pytest.raises(ConfigurationError, match=r"is the log 'altar\.local/host-1' signed by") as by_origin:
        open_ledger(place, signer, origin="altar.local/host-2")
    with pytest.raises(ConfigurationError, match="with this key") as by_key:
        open_ledger(place, other)

    assert ["INVALID_CONFIG"] * 2 == [by_origin.value.code, by_key.value.code]


def test_a_commit_of_nothing_is_answered(place: Place, signer: FileSigner) -> None:
    ledger = open_ledger(place, signer)
    before = ledger.commits

    assert (1, None) == commit(ledger)
    assert before == ledger.commits
    ledger.close()


def small_disk(path: str) -> Connection:
    connection = connect_sqlite(path)
    list(connection.execute("PRAGMA max_page_count = 12"))
    return connection


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE entries SET body = x'7b7d' WHERE seq = 5", "entry 5 is not what its leaf hash says"),
        ("UPDATE entries SET hashes = zeroblob(32) WHERE seq = 3", "entry 3 is not what its leaf hash says"),
        ("DELETE FROM entries WHERE seq = 4", "entry 4 of the host's log is missing"),
        ("DELETE FROM entries WHERE seq = 8", "the host's log ends at entry 8, and 9 are there"),
        ("DELETE FROM places WHERE place = 8", "its logs have 8 entries, 9 are there"),
        ("UPDATE entries SET place = 1 << 40 WHERE seq = 8", "there is no log 1"),
        ("UPDATE logs SET tenant = x'61'", "log 0 is not named as it was"),
        ("DELETE FROM logs", "its logs have 0 entries, 9 are there"),
        ("DELETE FROM entries", "the tree of the host's log is not stored whole"),
        ("DELETE FROM places", "its checkpoint covers 1 entries, 0 are there"),
        ("DELETE FROM checkpoints", "it has entries but no checkpoint"),
        ("UPDATE entries SET hashes = zeroblob(32) WHERE seq = 0", "states another tree"),
        ("UPDATE entries SET hashes = zeroblob(31) WHERE seq = 0", "is not stored whole"),
        ("UPDATE checkpoints SET note = x'00'", "checkpoint 1 is malformed"),
        (
            "UPDATE checkpoints SET note = CAST(replace(note, substr(note, -20, 4), x'41414141') AS BLOB)",
            "the signature of checkpoint 1 is wrong",
        ),
        ("INSERT INTO outcomes VALUES (2, 3)", "the outcome of entry 2 is missing"),
    ],
)
def test_a_changed_log_is_not_continued(path: Path, signer: FileSigner, change: str, words: str) -> None:
    ledger = open_ledger(path, signer)
    commit(ledger, *(intent(number) for number in range(8)))
    crash(ledger)
    connection = sqlite3.connect(path)
    connection.execute(change)
    connection.commit()
    connection.close()

    with pytest.raises(ConfigurationError, match=words) as caught:
        open_ledger(path, signer)

    assert "LOG_DAMAGED" == caught.value.code
    assert f"run `altar audit verify {path}`" in str(caught.value.hint)


def test_a_log_without_any_start_is_not_continued(path: Path, signer: FileSigner) -> None:
    ledger = open_ledger(path, signer)
    commit(ledger, Event(event="runtime.attached", subject="runtime-1"))
    crash(ledger)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE entries SET body = (SELECT body FROM entries WHERE seq = 1) WHERE seq = 0")
    connection.commit()
    connection.close()

    with pytest.raises(ConfigurationError, match="it has no start entry"):
        open_ledger(path, signer)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (b'{"kind":"intent"}', "entry 1 is malformed"),
        (b'["kind":"stop"', "entry 1 is malformed"),
    ],
)
def test_a_malformed_entry_is_named(path: Path, signer: FileSigner, entry: bytes, words: str) -> None:
    crash(open_ledger(path, signer))
    connection = sqlite3.connect(path)
    hashes = Frontier()
    hashes.extend([leaf_hash(body) for (body,) in connection.execute("SELECT body FROM entries")])
    connection.execute("INSERT INTO entries VALUES (1, 1, ?, ?)", (entry, hashes.push(leaf_hash(entry))))
    connection.execute("INSERT INTO places VALUES (1, 1)")
    connection.commit()
    connection.close()

    with pytest.raises(ConfigurationError, match=words):
        open_ledger(path, signer)
