"""Records as lines that other systems read."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from altar.adm.errors import AltarError
from altar.aesp.audit.formats import FORMATS, cef, csv_lines, format_named, ndjson, ocsf
from tests.unit.aesp.audit.scene import TIME_MS, a_log, all_records, sample

NASTY = 'a|b\\c=d\r\ne"f,g'


def test_ndjson_is_flat_and_says_only_what_there_is_to_say() -> None:
    told = json.loads(ndjson.line(sample(tenant="", note="")))

    assert {
        "id": "altar.local/host-1#7",
        "origin": "altar.local/host-1",
        "tenant": "",
        "position": 7,
        "time_ms": TIME_MS,
        "event": "call.ended",
        "principal": "acme/alice",
        "session": "s-1",
        "correlation": "c-1",
        "invocation": "inv-1",
        "tool": "get_weather",
        "version": "1.0.0",
        "resource": "tools/get_weather",
        "action": "execute",
        "outcome": "SUCCESS",
        "runtime": "py-1",
    } == told


def test_cef_escapes_its_head_and_its_extension_each_in_its_own_way() -> None:
    line = cef.line(sample(tool=NASTY, note=NASTY))

    head, extension = line.split("|3|", 1)
    assert head.startswith("CEF:0|ALTAR|altar-host|")
    assert head.endswith('|call.ended|call.ended a\\|b\\\\c=d e"f,g')
    assert 'msg=a|b\\\\c\\=d\\r\\ne"f,g' in extension
    assert "\n" not in line
    assert "\r" not in line


def test_cef_tells_how_grave_it_is() -> None:
    graves = [
        cef.line(sample(outcome=outcome)).split("|")[6] for outcome in ("SUCCESS", "PARTIAL", "FAILURE", "DENIED")
    ]

    assert ["3", "4", "5", "6"] == graves


def test_cef_names_what_it_has_no_key_for() -> None:
    extension = cef.line(sample()).split("|")[7]

    assert "suser=acme/alice" in extension
    assert f"rt={TIME_MS} externalId=altar.local/host-1#7 dvchost=altar.local" in extension
    assert "cs1Label=tenant cs1=acme cs2Label=session cs2=s-1" in extension


def test_csv_gives_back_what_was_put_in() -> None:
    row = next(csv.reader(io.StringIO(csv_lines.line(sample(note=NASTY)), newline="")))

    read = dict(zip(csv_lines.HEAD.split(","), row, strict=True))
    assert ('a|b\\c=d\\r\\ne"f,g', "get_weather", "7") == (read["note"], read["tool"], read["position"])


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_csv_runs_no_formula_in_a_spreadsheet(text: str) -> None:
    row = next(csv.reader(io.StringIO(csv_lines.line(sample(note=text)), newline="")))

    assert "'" + text.replace("\r", "\\r") in row


def test_ocsf_knows_two_classes() -> None:
    call = ocsf.event_of(sample())
    signed_in = ocsf.event_of(sample(event="auth.failed", outcome="FAILURE", code="INVALID_CREDENTIALS", tool=""))

    assert (6003, 600399, 1) == (call["class_uid"], call["type_uid"], call["status_id"])
    assert (3002, 300201, 2) == (signed_in["class_uid"], signed_in["type_uid"], signed_in["status_id"])
    assert "INVALID_CREDENTIALS" == signed_in["status_code"]


@pytest.mark.parametrize(
    ("event", "number"),
    [("admin.role_create", 1), ("session.opened", 1), ("admin.key_rotate", 3), ("session.closed", 4), ("app.paid", 99)],
)
def test_ocsf_says_what_kind_of_act_it_was(event: str, number: int) -> None:
    assert number == ocsf.event_of(sample(event=event))["activity_id"]


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_entry_of_a_log_has_one_line_in_every_format(tmp_path: Path, name: str) -> None:
    lines = [FORMATS[name](record) for record in all_records(a_log(tmp_path))]

    assert 9 == len(lines)
    assert all(line and "\n" not in line for line in lines)


def test_a_format_that_there_is_not_is_refused() -> None:
    with pytest.raises(AltarError, match="There is no format 'xml'"):
        format_named("xml")


REQUIRED = {
    "": {"activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"},
    "metadata": {"product", "version"},
    "metadata.product": {"vendor_name"},
    6003: {"actor", "api", "src_endpoint"},
    3002: {"user"},
}
"""What OCSF 1.5.0 requires of every event, of its metadata, and of the two classes that are written."""


@pytest.mark.parametrize("event", ["call.ended", "auth.succeeded", "auth.ended", "log.started", "admin.role_delete"])
def test_ocsf_has_what_its_classes_require(event: str) -> None:
    made = ocsf.event_of(sample(event=event, principal="", tool="", resource="", action="", session=""))

    assert REQUIRED[""] | REQUIRED[made["class_uid"]] <= made.keys()
    assert REQUIRED["metadata"] <= made["metadata"].keys()
    assert REQUIRED["metadata.product"] <= made["metadata"]["product"].keys()
    assert made["type_uid"] == made["class_uid"] * 100 + made["activity_id"]
    if made["class_uid"] == 6003:
        assert made["api"]["operation"]
        assert made["actor"]["user"]["uid"]
        assert made["src_endpoint"]["uid"]
    else:
        assert made["user"]["uid"]
        assert made["service"]["name"]  # one of service and dst_endpoint must be there
