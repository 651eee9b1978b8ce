"""What the auditor's program says about logs that are whole, unfinished, cut, forged or rolled back."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from altar.verify import Finding, Report, verify
from tests.unit.verify.building import (
    DDL,
    ORIGIN,
    START_TIME,
    Log,
    Signer,
    canonical,
    frontier,
    leaf_hash,
    root,
    sample,
    write_database,
    write_export,
)

Write = Callable[[Log, Path], Path]
WRITERS = pytest.mark.parametrize("write", [write_database, write_export])


def check(log: Log, path: Path, *, since: str | None = None) -> Report:
    return verify(path, vkey=log.signer.vkey, since=since)


def found(report: Report, where: str) -> Finding:
    """Return the one finding about a place; fail with what there is otherwise."""
    matching = [finding for finding in report.findings if finding.where == where]
    assert len(matching) == 1, report.findings
    return matching[0]


@WRITERS
def test_a_whole_log_verifies_up_to_its_end(write: Write, tmp_path: Path) -> None:
    log = sample(300)
    path = write(log, tmp_path / "log")

    report = check(log, path)

    assert report.findings == ()
    assert report.ok
    assert (len(log.bodies), 300, 300, 0) == (
        report.entries,
        report.intents,
        report.outcomes,
        report.open_intents,
    )
    assert (len(log.bodies), 0) == (report.verified_size, report.unsigned_tail)
    assert log.clock == report.verified_time
    assert ORIGIN == report.origin
    assert "rolled back or forked is proved only against a checkpoint obtained elsewhere" in report.statement


@pytest.mark.parametrize("calls", [0, 1, 2, 3, 7, 30, 900])
def test_trees_of_every_shape_are_read(calls: int, tmp_path: Path) -> None:
    log = sample(calls, seed=calls, sign_every=7)

    assert check(log, write_database(log, tmp_path / "ledger.db")).findings == ()


def test_entries_after_the_newest_checkpoint_are_counted_as_unsigned(tmp_path: Path) -> None:
    log = sample(10, stop=False)
    intent = log.intent()
    log.intent()
    log.outcome(intent)

    report = check(log, write_database(log, tmp_path / "ledger.db"))

    assert report.ok
    assert len(log.bodies) - max(log.signed) == report.unsigned_tail
    assert f"The {report.unsigned_tail} entries after them are not proved" in report.statement
    assert report.open_intents > 0


def test_a_changed_entry_is_named_even_if_its_leaf_hash_is_changed_with_it(tmp_path: Path) -> None:
    log = sample(60, sign_every=10)
    forged = log.bodies[33].replace(b'"attempts":1', b'"attempts":9')
    path = write_database(
        log,
        tmp_path / "ledger.db",
        meddle=lambda db: db.execute("UPDATE entries SET body=?, leaf=? WHERE seq=33", (forged, leaf_hash(forged))),
    )

    report = check(log, path)

    before = max(size for size in log.signed if size <= 33)
    after = min(size for size in log.signed if size > 33)
    assert forged != log.bodies[33]
    assert before == report.verified_size
    assert f"something in entries {before}–{after - 1} was changed" in found(report, f"checkpoint {after}").what


def test_a_changed_entry_under_an_old_leaf_hash_is_named_itself(tmp_path: Path) -> None:
    log = sample(60)
    forged = log.bodies[33].replace(b'"v":1', b'"v":2')
    path = write_database(
        log,
        tmp_path / "ledger.db",
        meddle=lambda db: db.execute("UPDATE entries SET body=? WHERE seq=33", (forged,)),
    )

    report = check(log, path)

    assert {33} == {finding.seq for finding in report.findings if finding.where == "entry 33"}
    assert any("fits the stored leaf hashes, not the entries" in finding.what for finding in report.findings)


def test_a_deleted_entry_is_missing(tmp_path: Path) -> None:
    log = sample(60)
    path = write_database(log, tmp_path / "ledger.db", meddle=lambda db: db.execute("DELETE FROM entries WHERE seq=33"))

    report = check(log, path)

    assert "missing before entry 34" == found(report, "entry 33").what
    assert max(size for size in log.signed if size <= 33) == report.verified_size


def test_a_log_cut_before_a_signed_checkpoint_is_told_from_the_checkpoint(tmp_path: Path) -> None:
    log = sample(60)
    size = len(log.bodies)
    path = write_database(
        log,
        tmp_path / "ledger.db",
        meddle=lambda db: db.executescript(
            f"DELETE FROM entries WHERE seq={size - 1}; DELETE FROM outcomes WHERE seq={size - 1}"
        ),
    )

    report = check(log, path)

    assert "the end of the log is missing" in found(report, f"checkpoint {size}").what


@WRITERS
def test_a_rolled_back_log_is_found_only_by_a_checkpoint_obtained_elsewhere(write: Write, tmp_path: Path) -> None:
    log = sample(60, stop=False)
    later = sample(60)
    path = write(log, tmp_path / "log")
    since = later.signed[max(later.signed)].decode()

    assert check(log, path).ok
    report = check(log, path, since=since)

    assert not report.ok
    assert found(report, "since").what.startswith("rollback")
    assert "It is not proved" in report.statement


def test_a_forked_log_is_found_by_a_checkpoint_obtained_elsewhere(tmp_path: Path) -> None:
    log, other = sample(60, seed=1, pad=3), sample(60, seed=2, pad=3)
    path = write_database(log, tmp_path / "ledger.db")

    report = check(log, path, since=other.signed[max(size for size in other.signed if size < 60)].decode())

    assert found(report, "since").what.startswith("fork")


def test_a_log_that_goes_on_from_a_checkpoint_obtained_elsewhere_says_so(tmp_path: Path) -> None:
    log = sample(60)
    witnessed = log.signer.note(ORIGIN, 17, root(log.leaves()[:17])) + b"\xe2\x80\x94 witness.example AAAAAAAA\n"
    path = write_database(log, tmp_path / "ledger.db")

    report = check(log, path, since=witnessed.decode())

    assert report.findings == ()
    assert "goes on from the checkpoint over 17 entries" in report.statement


def test_a_checkpoint_of_another_key_proves_nothing(tmp_path: Path) -> None:
    log = sample(20)
    path = write_database(log, tmp_path / "ledger.db")

    report = verify(path, vkey=Signer(seed=b"x" * 32).vkey)

    assert (0, True, False) == (report.verified_size, report.foreign_key, report.ok)
    assert "is not the key that signs log" in found(report, "key").what
    assert "NOT THE KEY OF THIS LOG" == report.verdict
    assert "Nothing was judged" in report.statement
    assert "Damaged" not in report.statement


@pytest.mark.parametrize("since", ["", "x", "a\n1\nb\n\n", "\ud800"])
def test_a_checkpoint_from_elsewhere_that_is_none_is_wrong_use(since: str, tmp_path: Path) -> None:
    log = sample(3)
    path = write_database(log, tmp_path / "ledger.db")

    with pytest.raises(ValueError, match="obtained elsewhere proves nothing"):
        check(log, path, since=since)


@pytest.mark.parametrize(
    "vkey", ["", "a+b", "a+00000000+AAAA", Signer().vkey.replace("+", "+0", 1), Signer().vkey[:-1]]
)
def test_a_malformed_key_is_wrong_use(vkey: str, tmp_path: Path) -> None:
    path = write_database(sample(3), tmp_path / "ledger.db")

    with pytest.raises(ValueError, match="not a verifier key"):
        verify(path, vkey=vkey)


def test_a_second_outcome_is_found(tmp_path: Path) -> None:
    log = Log()
    log.start()
    intent = log.intent()
    log.outcome(intent)
    second = log.outcome(intent, row=False)
    log.outcomes[intent] = second - 1
    log.sign()

    report = check(log, write_export(log, tmp_path / "log"))

    assert "a second outcome for intent 1; the first is entry 2" == report.findings[0].what
    assert second == report.findings[0].seq


def test_an_outcome_of_another_invocation_is_found(tmp_path: Path) -> None:
    log = Log()
    log.start()
    log.outcome(log.intent(), invocation="another")
    log.sign()

    report = check(log, write_database(log, tmp_path / "ledger.db"))

    assert "the outcome and its intent 1 name different invocations" == found(report, "entry 2").what


@pytest.mark.parametrize("intent", [0, 2, 99])
def test_an_outcome_of_what_is_no_earlier_intent_is_found(intent: int, tmp_path: Path) -> None:
    log = Log()
    log.start()
    log.intent()
    log.outcome(intent, invocation="inv", row=False)
    log.sign()

    report = check(log, write_database(log, tmp_path / "ledger.db"))

    assert found(report, "entry 2").what.startswith("the outcome names")


def test_an_intent_left_open_by_a_stop_is_found(tmp_path: Path) -> None:
    log = Log()
    log.start()
    log.intent()
    log.stop()
    log.sign()

    report = check(log, write_database(log, tmp_path / "ledger.db"))

    assert "an intent without outcome, although the log was stopped in order" == found(report, "entry 1").what


def test_an_intent_that_a_restart_left_open_is_found(tmp_path: Path) -> None:
    log = Log()
    log.start()
    log.intent()
    log.start()
    log.sign()

    report = check(log, write_database(log, tmp_path / "ledger.db"))

    assert "an intent without outcome from before the newest start" == found(report, "entry 1").what


def test_an_entry_between_stop_and_start_is_found(tmp_path: Path) -> None:
    log = Log()
    log.start()
    log.stop()
    log.outcome(log.intent())
    log.sign()

    report = check(log, write_database(log, tmp_path / "ledger.db"))

    assert {"nothing but a start may come first or follow a stop"} == {each.what for each in report.findings}
    assert ["entry 2", "entry 3"] == [each.where for each in report.findings]
    assert (1, 1) == (report.intents, report.outcomes)


def test_epochs_that_skip_are_found(tmp_path: Path) -> None:
    log = Log()
    log.start()
    log.epoch = 4
    log.start()
    log.sign()

    report = check(log, write_database(log, tmp_path / "ledger.db"))

    assert "the start opens epoch 5, and 2 was due" == found(report, "entry 1").what


def test_a_stopped_log_with_an_unsigned_end_is_found(tmp_path: Path) -> None:
    log = Log()
    log.start()
    log.sign()
    log.stop()

    report = check(log, write_database(log, tmp_path / "ledger.db"))

    assert "was stopped in order, but its last 1 entries are not signed" == found(report, "log").what


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "is not JSON"),
        (b"[" * 2000, "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[]", "is not a JSON object"),
        (b'{"kind":"stop","time":1,"v":1, "epoch":1}', "is not in canonical form"),
        (b'{"epoch":1,"epoch":1,"kind":"stop","time":1,"v":1}', "is not in canonical form"),
        (b'{"epoch":1,"kind":"stop","time":-0,"v":1}', "is not in canonical form"),
        (b'{"epoch":1,"kind":"stop","time":1.5,"v":1}', "has an impossible 'time': 1.5"),
        (b'{"epoch":true,"kind":"stop","time":1,"v":1}', "has an impossible 'epoch': True"),
        (b'{"epoch":0,"kind":"stop","time":1,"v":1}', "has an impossible 'epoch': 0"),
        (b'{"epoch":1,"kind":"stop","time":9223372036854775808,"v":1}', "has an impossible 'time'"),
        (b'{"epoch":1,"kind":"stop","time":1,"v":2}', "has an impossible 'v': 2"),
        (b'{"kind":"stop","time":1,"v":1}', "lacks, or has too much: epoch"),
        (b'{"kind":"party","time":1,"v":1}', "is of unknown kind 'party'"),
        (b'{"epoch":1,"kind":"stop","time":1,"v":1}'.ljust(2049), "has 2049 bytes, more than 2048"),
    ],
)
def test_an_entry_that_is_not_as_the_format_says_is_found(body: bytes, words: str, tmp_path: Path) -> None:
    log = Log()
    log.start()
    log.bodies.append(body)
    log.sign()

    report = check(log, write_database(log, tmp_path / "ledger.db"))

    assert words in found(report, "entry 1").what


def test_a_table_of_outcomes_that_differs_from_the_entries_is_found(tmp_path: Path) -> None:
    log = Log()
    log.start()
    first, second, third = log.intent(), log.intent(), log.intent()
    log.outcomes[second] = log.outcome(first, row=False)
    log.outcome(third)
    log.sign()

    report = check(log, write_database(log, tmp_path / "ledger.db"))

    assert "names entry 4, which the entries do not bear out" == found(report, f"outcome row of intent {second}").what
    assert "1 rows are missing" == found(report, f"outcome rows of intents {first}–{first}").what


def test_a_free_page_is_no_damage(tmp_path: Path) -> None:
    order = _outcomes_until_a_page_is_freed()
    log = Log()
    log.start()
    for _ in range(3000):
        log.intent()
    for intent in order:
        log.outcome(intent, row=False)
    log.sign()
    rows = [(intent, 3001 + number) for number, intent in enumerate(order)]

    path = write_database(
        log,
        tmp_path / "ledger.db",
        meddle=lambda db: db.executemany("INSERT INTO outcomes VALUES (?, ?)", rows),
    )

    assert 1 == int.from_bytes(path.read_bytes()[36:40], "big")
    assert check(log, path).findings == ()


def _outcomes_until_a_page_is_freed() -> list[int]:
    """Return an order of intents that makes SQLite free a page with the last of them."""
    rng, waiting, order = random.Random(0), list[int](), list[int]()
    scratch = sqlite3.connect(":memory:")
    scratch.execute(DDL[1])
    for intent in range(1, 3001):
        waiting.append(intent)
        if len(waiting) <= 10:
            continue
        order.append(waiting.pop(rng.randrange(len(waiting))))
        scratch.execute("INSERT INTO outcomes VALUES (?, ?)", (order[-1], 3000 + len(order)))
        if scratch.execute("PRAGMA freelist_count").fetchone()[0]:
            break
    scratch.close()
    return order


def test_an_index_or_another_table_is_found(tmp_path: Path) -> None:
    log = sample(5)
    path = write_database(log, tmp_path / "ledger.db", meddle=lambda db: db.execute("CREATE INDEX i ON entries (leaf)"))

    report = check(log, path)

    assert any("defines 4 things, not 3" in finding.what for finding in report.findings)


def test_a_frontier_that_does_not_belong_is_found(tmp_path: Path) -> None:
    log = sample(30)
    size = max(log.signed)
    wrong = frontier(log.leaves()[: size - 1])
    path = write_database(
        log,
        tmp_path / "ledger.db",
        meddle=lambda db: db.execute("UPDATE checkpoints SET frontier=? WHERE size=?", (wrong, size)),
    )

    report = check(log, path)

    assert "its frontier does not belong to its entries" == found(report, f"checkpoint {size}").what


def test_the_same_log_gives_the_same_answer_as_database_and_as_export(tmp_path: Path) -> None:
    log = sample(100)

    one = check(log, write_database(log, tmp_path / "ledger.db"))
    other = check(log, write_export(log, tmp_path / "log.jsonl"))

    assert ("database", "export") == (one.kind, other.kind)
    assert one.statement == other.statement
    assert one.verified_time == other.verified_time
    assert one.verified_time is not None
    assert one.verified_time > START_TIME


def test_an_export_with_lines_left_out_or_added_is_found(tmp_path: Path) -> None:
    log = sample(20)
    path = write_export(log, tmp_path / "log.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)

    path.write_bytes(b"".join(lines[:5] + lines[6:]))
    left_out = check(log, path)
    path.write_bytes(b"".join([*lines, canonical({"more": 1}), b"\n"]))
    added = check(log, path)
    path.write_bytes(b"".join(lines[:-1]))
    cut = check(log, path)

    assert "missing before line 6 (entry 5)" == found(left_out, "entry 4").what
    assert "comes after the end" in {finding.what for finding in added.findings}
    assert "is the last one, and not the end: the file is cut off or empty" in cut.findings[0].what


def test_an_export_for_another_log_says_so_on_its_first_line(tmp_path: Path) -> None:
    log = sample(20)
    path = write_export(log, tmp_path / "log.jsonl")
    path.write_bytes(path.read_bytes().replace(ORIGIN.encode(), b"altar.local/host-2", 1))

    report = check(log, path)

    assert f"states origin 'altar.local/host-2', and the rest shows {ORIGIN!r}" == found(report, "line 1").what


def test_progress_is_told_now_and_then(tmp_path: Path) -> None:
    log = sample(2100, sign_every=2000)
    path = write_database(log, tmp_path / "ledger.db")
    told: list[int] = []

    verify(path, vkey=log.signer.vkey, progress=told.append)

    assert [4096] == told
