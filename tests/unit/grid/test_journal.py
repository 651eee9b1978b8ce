"""The journal of a caller: what is in it after a crash, on a full disk, and when somebody changed it."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from altar.grid.client.journal import Began, Ended, JournalFile, left_over, read_journal

DIGEST = "sha256:" + "a" * 64


def began(position: int, permit: str = "host-1-1-7") -> Began:
    return Began(position, permit, f"c-{position}", "add", "1.0.0", DIGEST, DIGEST, "s-1", "w-1", 1000 + position)


def ended(position: int) -> Ended:
    return Ended(position, "SUCCESS", "", "yes", DIGEST, 2000 + position)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[JournalFile]:
    made = JournalFile(tmp_path / "journal", principal="client-1", target="127.0.0.1:1")
    yield made
    made.close(answered=False, disputed=False)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file of this process may have more bytes: what a full disk does to whoever writes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_was_written_is_read(journal: JournalFile) -> None:
    journal.write([began(1), began(2)], open_calls=2)
    journal.write(ended=[ended(2)])

    read = read_journal(journal.path)

    assert (read.journal, read.principal, read.target, read.damaged) == (journal.name, "client-1", "127.0.0.1:1", "")
    assert [(call.began, call.ended) for call in read.calls.values()] == [(began(1), None), (began(2), ended(2))]


def test_nothing_is_on_the_disk_before_a_call_begins(journal: JournalFile) -> None:
    assert not journal.path.parent.exists()


def test_a_call_without_an_end_is_reported_as_unknown(journal: JournalFile) -> None:
    journal.write([began(1)], open_calls=1)

    report = read_journal(journal.path).calls[1].report(journal.name)

    report.require_sound()
    assert (report.permit, report.status, report.code, report.ran) == (
        "host-1-1-7",
        "ERROR",
        "OUTCOME_UNKNOWN",
        "unknown",
    )
    assert report.place == f"{journal.name}:1"


def test_a_call_that_asked_nobody_says_what_it_was(journal: JournalFile) -> None:
    journal.write([began(1, permit="")], open_calls=1)
    journal.write(ended=[ended(1)])

    report = read_journal(journal.path).calls[1].report(journal.name)

    report.require_sound()
    assert report.fallback is not None
    assert (report.fallback.tool, report.fallback.contract, report.fallback.session) == ("add", DIGEST, "s-1")


def test_a_line_that_was_cut_off_is_left_out_and_no_damage(journal: JournalFile) -> None:
    journal.write([began(1)], open_calls=1)
    whole = journal.size
    journal.write(ended=[ended(1)])
    os.truncate(journal.path, journal.size - 9)

    read = read_journal(journal.path)

    assert (read.damaged, read.size, read.calls[1].ended) == ("", whole, None)


@pytest.mark.parametrize("line", [1, 2, 3])
def test_a_line_that_was_changed_ends_what_is_believed(journal: JournalFile, line: int) -> None:
    journal.write([began(1), began(2)], open_calls=2)
    journal.write(ended=[ended(1), ended(2)])
    lines = journal.path.read_bytes().rstrip(b"\0").splitlines(keepends=True)
    lines[line] = lines[line].replace(b'"position":', b'"position" :')
    journal.path.write_bytes(b"".join(lines))

    read = read_journal(journal.path)

    assert read.damaged.startswith(f"line {line + 1} ")
    assert len(read.calls) == min(line, 3) - 1


def test_a_line_that_was_taken_out_is_noticed(journal: JournalFile) -> None:
    journal.write([began(1), began(2)], open_calls=2)
    lines = journal.path.read_bytes().rstrip(b"\0").splitlines(keepends=True)
    del lines[1]
    journal.path.write_bytes(b"".join(lines))

    assert read_journal(journal.path).damaged == "line 2 is not as it was written"


def test_the_room_for_an_end_is_there_when_the_disk_is_full(journal: JournalFile) -> None:
    journal.write([began(1)], open_calls=1)

    with files_of_at_most(journal.path.stat().st_size):
        journal.write(ended=[ended(1)])

    assert read_journal(journal.path).calls[1].ended == ended(1)


def test_a_call_that_finds_no_room_does_not_begin_and_leaves_the_journal_whole(journal: JournalFile) -> None:
    journal.write([began(1)], open_calls=1)

    with files_of_at_most(journal.path.stat().st_size), pytest.raises(OSError, match="File too large"):
        journal.write([began(position) for position in range(2, 400)], open_calls=400)

    journal.write(ended=[ended(1)])
    read = read_journal(journal.path)
    assert (read.damaged, list(read.calls)) == ("", [1])


def test_a_journal_that_cannot_be_made_is_not_half_there(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("this is no directory")
    journal = JournalFile(tmp_path / "journal", principal="client-1", target="t")

    with pytest.raises(OSError, match="exists"):
        journal.write([began(1)], open_calls=1)


def test_a_journal_that_was_cleared_goes_on_with_its_next_call(journal: JournalFile) -> None:
    journal.write([began(1)], open_calls=1)
    journal.write(ended=[ended(1)])
    journal.clear()
    journal.write([began(2)], open_calls=1)

    read = read_journal(journal.path)

    assert (read.damaged, read.principal, list(read.calls)) == ("", "client-1", [2])


def test_a_journal_is_deleted_when_all_of_it_is_answered(journal: JournalFile) -> None:
    journal.write([began(1)], open_calls=1)

    journal.close(answered=True, disputed=False)

    assert list(journal.path.parent.iterdir()) == []


def test_a_journal_with_a_disputed_line_is_kept(journal: JournalFile) -> None:
    journal.write([began(1)], open_calls=1)
    journal.dispute(1, "OUTCOME_UNKNOWN")

    journal.close(answered=True, disputed=True)

    (kept,) = journal.path.parent.iterdir()
    assert kept.suffix == ".disputed"
    assert read_journal(kept).calls[1].disputed == "OUTCOME_UNKNOWN"


def test_what_a_process_holds_is_not_left_over(journal: JournalFile) -> None:
    journal.write([began(1)], open_calls=1)

    assert list(left_over(journal.path.parent, principal="client-1")) == []


def test_what_is_left_over_is_found_by_its_principal_and_its_host_and_goes_on(journal: JournalFile) -> None:
    journal.write([began(1)], open_calls=1)
    journal.close(answered=False, disputed=False)
    directory = journal.path.parent

    assert list(left_over(directory, principal="client-2")) == []
    assert list(left_over(directory, principal="client-1", target="elsewhere:1")) == []
    ((read, file),) = left_over(directory, principal="client-1", target="127.0.0.1:1")
    again = JournalFile.resume(read, file)
    again.dispute(1, "OUTCOME_UNKNOWN")
    again.close(answered=False, disputed=True)

    assert read_journal(journal.path).calls[1].disputed == "OUTCOME_UNKNOWN"
