"""`altar audit query`, `forward` and `sinks`, in processes that are killed in the middle of their work."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from altar.ledger import Ledger
from altar.testing import until
from tests.e2e.command import COMMAND, altar
from tests.providers.receivers import Asked, Reply, http_receiver
from tests.unit.aesp.audit.scene import a_log, add_calls, all_records
from tests.unit.ledger.samples import open_ledger, signer_in


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a log of 500 calls and no sinks."""
    data = tmp_path / ".altar" / "host"
    data.mkdir(parents=True)
    a_log(data, calls=500)
    return tmp_path


def log_of(place: Path) -> Path:
    return place / ".altar" / "host" / "ledger.db"


def with_sink(place: Path, address: str, *, batch: int = 50) -> None:
    (place / "key").write_text("secret-key\n")
    lines = ["[[audit.sinks]]", 'name = "dd"', 'kind = "datadog"', f'address = "{address}"', 'token_file = "key"']
    (place / "altar.toml").write_text("\n".join([*lines, f"batch = {batch}"]))


@contextmanager
def forwarder(place: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (place / "log").open("ab") as log:
        process = subprocess.Popen(
            [COMMAND, "audit", "forward", "--tied"],
            cwd=place,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["sinks"] == ["dd"]
        yield process
    finally:
        process.kill()
        process.communicate()


def test_whoever_is_killed_everything_arrives_in_order(place: Path) -> None:
    taken: list[str] = []
    answering = [True]

    def reply(asked: Asked) -> Reply | None:
        taken.extend(event["altar"]["id"] for event in json.loads(asked.content))
        assert "secret-key" == asked.headers["dd-api-key"]
        return (202, {}, b"{}") if answering[0] else None

    with http_receiver(reply) as address:
        with_sink(place, address)
        with forwarder(place) as first:
            until(lambda: len(taken) > 200, what="some batches")
            answering[0] = False
            until(lambda: taken.count(taken[-1]) > 1, what="a batch that nobody acknowledged")
            first.send_signal(signal.SIGKILL)
        port = int(address.rpartition(":")[2])
    with forwarder(place):  # nobody listens now
        until(lambda: (place / "log").read_text().count("sink is behind") > 2, what="some attempts in vain")
    answering[0] = True
    with http_receiver(reply, port=port), forwarder(place):
        until(lambda: altar("audit", "sinks", "--json", at=place).json[0]["behind"] == 0, what="the last entry")

    wanted = [record.id for record in all_records(log_of(place))]
    assert wanted == list(dict.fromkeys(taken))
    assert len(wanted) < len(taken)


def test_the_state_of_sinks_is_shown_and_a_failing_one_is_a_failure(place: Path) -> None:
    with_sink(place, "http://127.0.0.1:9")
    with forwarder(place):
        until(lambda: altar("audit", "sinks", "--json", at=place).json[0]["failures"] > 0, what="a failure")

    shown = altar("audit", "sinks", at=place)

    assert 1 == shown.code
    assert "1003 behind" in shown.out
    assert "cannot be reached" in shown.out
    assert "secret-key" not in shown.out + (place / "log").read_text()


def test_a_sink_that_is_gone_for_good_can_be_forgotten(place: Path) -> None:
    with_sink(place, "http://127.0.0.1:9")
    with forwarder(place):
        until(lambda: altar("audit", "sinks", "--json", at=place).json != [], what="its row")

    assert [] == altar("audit", "sinks", "--forget", "dd", "--json", at=place).json
    assert "There is no sink 'dd'" in altar("audit", "sinks", "--forget", "dd", at=place).err


def test_without_sinks_there_is_nothing_to_forward(place: Path) -> None:
    done = altar("audit", "forward", at=place)

    assert (2, True) == (done.code, "no sinks" in done.err)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ('kind = "s3"\nname = "x"\naddress = "https://x"', "needs 'bucket'"),
        ('kind = "fax"\nname = "x"\naddress = "1"', "'file', 'syslog'"),
        ('kind = "file"\nname = "x"\naddress = "1"\ncolour = "red"', "not permitted"),
        ('kind = "file"\nname = "x y"\naddress = "1"', "match pattern"),
    ],
)
def test_a_sink_that_makes_no_sense_is_refused(place: Path, lines: str, reason: str) -> None:
    (place / "altar.toml").write_text(f"[[audit.sinks]]\n{lines}\n")

    done = altar("audit", "forward", at=place)

    assert 2 == done.code
    assert reason in done.err


def test_a_secret_that_cannot_be_read_is_an_error_at_the_start(place: Path) -> None:
    with_sink(place, "http://127.0.0.1:9")
    (place / "key").unlink()

    assert "The secret of a sink in 'key' cannot be read" in altar("audit", "forward", at=place).err


def test_entries_are_asked_for_by_many_facts(place: Path) -> None:
    asked = ["audit", "query", "--principal", "acme/bob", "--tool", "book_flight", "--outcome", "SUCCESS", "--json"]

    page = altar(*asked, "--limit", "3", at=place).json
    following = altar(*asked, "--limit", "3", "--cursor", page["cursor"], at=place).json

    assert [3, 3] == [len(page["records"]), len(following["records"])]
    assert {("acme/bob", "book_flight", "call.ended")} == {
        (record["principal"], record["tool"], record["event"]) for record in [*page["records"], *following["records"]]
    }
    assert page == altar(*asked, "--limit", "3", "--no-index", at=place).json
    assert Path(f"{log_of(place)}.index").exists()


def test_entries_are_printed_as_a_table_and_in_every_format(place: Path) -> None:
    asked = ["audit", "query", "--limit", "2", "--oldest-first"]

    table = altar(*asked, at=place)
    lines = {
        form: altar(*asked, "--format", form, at=place).out.splitlines() for form in ("ndjson", "csv", "cef", "ocsf")
    }

    assert "log.started" in table.out.splitlines()[0]
    assert "--cursor" in table.err
    assert [2, 3, 2, 2] == [len(found) for found in lines.values()]
    assert lines["cef"][1].startswith("CEF:0|ALTAR|")


def test_a_tenant_without_a_log_is_said_to_have_none(place: Path) -> None:
    asked = altar("audit", "query", "--tenant", "nosuch", at=place)
    vkey = signer_in(log_of(place).parent).vkey
    exported = altar("audit", "export", "-o", "x.jsonl", "--tenant", "nosuch", "--vkey", vkey, at=place)

    assert 2 == asked.code
    assert "There is no log of the tenant 'nosuch' (UNKNOWN_RESOURCE)" in asked.err
    assert "hint: correct the name" in asked.err
    assert asked.err == exported.err


@pytest.mark.parametrize("form", ["ndjson", "csv", "cef", "ocsf"])
def test_a_copy_that_proves_nothing_is_said_to_be_no_export(place: Path, form: str) -> None:
    written = altar("audit", "query", "--format", form, at=place).out
    (place / "copy").write_text(written)

    done = altar("audit", "verify", "copy", "--vkey", signer_in(log_of(place).parent).vkey, at=place)

    assert (2, "") == (done.code, done.out)
    assert "'copy' is no export, no archive and no ledger (INVALID_CONFIG)" in done.err
    assert "altar audit export" in done.err


def test_times_are_written_as_people_write_them(place: Path) -> None:
    assert [] == altar("audit", "query", "--since", "2030-01-01", "--json", at=place).json["records"]
    assert [] != altar("audit", "query", "--until", "2030-01-01T00:00:00+02:00", "--json", at=place).json["records"]
    assert "--since 'yesterday' is no time" in altar("audit", "query", "--since", "yesterday", at=place).err


def adding(ledger: Ledger) -> list[str]:
    """Add one more call, for a process that may not have been looking yet."""
    add_calls(ledger, 1, first=3000)
    return []


def test_what_comes_is_printed_as_it_comes(place: Path) -> None:
    process = subprocess.Popen(
        [COMMAND, "audit", "query", "--follow", "--event", "call.ended", "--format", "ndjson"],
        cwd=place,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    stdout = process.stdout
    seen: list[str] = []
    reader = threading.Thread(target=lambda: seen.append(stdout.readline()), daemon=True)
    reader.start()
    ledger = open_ledger(log_of(place), signer_in(log_of(place).parent))
    try:
        until(lambda: seen or adding(ledger), what="a line")
    finally:
        ledger.close()
        process.kill()
        reader.join()
        process.wait()
        stdout.close()

    assert "call.ended" == json.loads(seen[0])["event"]


def test_an_index_can_be_made_anew(place: Path) -> None:
    assert {"entries": 1003} == altar("audit", "index", "--json", at=place).json
    assert {"entries": 0} == altar("audit", "index", "--json", at=place).json
    assert {"entries": 1003} == altar("audit", "index", "--rebuild", "--json", at=place).json
