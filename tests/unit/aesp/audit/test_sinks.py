"""Sinks against real receivers on loopback: what arrives, in which order, and what happens when a receiver is gone."""

from __future__ import annotations

import json
import os
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2

from altar.adm.errors import AltarError
from altar.aesp.audit.sinks.datadog import DatadogSink
from altar.aesp.audit.sinks.files import FileSink
from altar.aesp.audit.sinks.forwarder import lags, make_sink
from altar.aesp.audit.sinks.http import checked_address
from altar.aesp.audit.sinks.otlp import OtlpSink
from altar.aesp.audit.sinks.s3 import S3Sink
from altar.aesp.audit.sinks.sink import SinkError
from altar.aesp.audit.sinks.splunk import SplunkSink
from altar.testing import until
from tests.providers.receivers import Asked, Reply, http_receiver
from tests.unit.aesp.audit.forwarding import forwarding, ids, ids_in, options, status
from tests.unit.aesp.audit.scene import TIME_MS, a_log, add_calls, sample
from tests.unit.ledger.samples import open_ledger, signer_in

OK: Reply = (200, {}, b"{}")


# ------------------------------------------------------------------------------------------------------------- files


def test_a_file_gets_every_entry_in_order_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    log, out = a_log(tmp_path, calls=20), tmp_path / "out.ndjson"

    with forwarding(log, options("file", str(out), batch=7)):
        until(lambda: status(log).next == 43, what="the last entry")

    assert ids(log) == ids_in(out)
    assert 0o600 == stat.S_IMODE(out.stat().st_mode)
    assert 0o600 == stat.S_IMODE(Path(f"{log}.sinks").stat().st_mode)


def test_a_sink_goes_on_where_it_was_after_a_restart(tmp_path: Path) -> None:
    log, out = a_log(tmp_path), tmp_path / "out.ndjson"
    with forwarding(log, options("file", str(out))):
        until(lambda: status(log).next == 9, what="the last entry")
    ledger = open_ledger(log, signer_in(tmp_path))
    add_calls(ledger, 2, first=50)
    ledger.close()

    with forwarding(log, options("file", str(out))):
        until(lambda: status(log).next == len(ids(log)), what="the new entries")

    assert ids(log) == ids_in(out)


def test_a_full_file_is_put_aside_and_the_oldest_one_goes(tmp_path: Path) -> None:
    out = tmp_path / "out.ndjson"
    sink = FileSink(options("file", str(out), rotate_bytes=500, keep=2))

    for number in range(5):
        sink.send([sample(position=number)])
    sink.close()

    held = [
        json.loads((tmp_path / name).read_text())["position"] for name in ("out.ndjson", "out.ndjson.1", "out.ndjson.2")
    ]
    assert [4, 3, 2] == held
    assert not (tmp_path / "out.ndjson.3").exists()


def test_a_line_that_a_crash_cut_in_half_is_taken_away(tmp_path: Path) -> None:
    out = tmp_path / "out.ndjson"
    sink = FileSink(options("file", str(out)))
    sink.send([sample(position=1)])
    sink.close()
    with out.open("ab") as half:
        half.write(b'{"id":"altar.loc')

    sink.send([sample(position=2)])
    sink.close()

    assert [1, 2] == [json.loads(line)["position"] for line in out.read_text().splitlines()]


def test_a_file_that_cannot_be_written_is_a_failure_that_is_shown(tmp_path: Path) -> None:
    log = a_log(tmp_path)

    with forwarding(log, options("file", str(tmp_path / "nowhere" / "out"))):
        until(lambda: status(log).failures > 1, what="two failures")

    assert "cannot be written" in status(log).error
    assert 0 == status(log).next
    (lag,) = lags(log, size=9, wall_ms=lambda: TIME_MS)
    assert 9 == lag.entries


def test_a_csv_file_begins_with_its_columns(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    sink = FileSink(options("file", str(out), format="csv"))

    sink.send([sample()])
    sink.send([sample()])
    sink.close()

    assert ["id,origin", "altar.loc", "altar.loc"] == [line[:9] for line in out.read_text().splitlines()]


def test_a_sink_may_get_some_tenants_and_some_events_only(tmp_path: Path) -> None:
    log, out = a_log(tmp_path), tmp_path / "out.ndjson"

    with forwarding(log, options("file", str(out), tenants=("acme",), events=("call.end*",))):
        until(lambda: status(log).next == 9, what="the last entry")

    assert {"call.ended"} == {json.loads(line)["event"] for line in out.read_text().splitlines()}
    assert 3 == status(log).sent


def test_a_new_sink_may_begin_with_what_comes(tmp_path: Path) -> None:
    log, out = a_log(tmp_path), tmp_path / "out.ndjson"

    with forwarding(log, options("file", str(out), begin="now")):
        until(lambda: status(log).next == 9, what="its beginning")
        ledger = open_ledger(log, signer_in(tmp_path))
        add_calls(ledger, 1, first=9)
        ledger.close()
        until(lambda: status(log).next == len(ids(log)), what="the new entries")

    assert ids(log)[9:] == ids_in(out)


def test_a_log_that_was_rolled_back_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    log, out = a_log(tmp_path, calls=9), tmp_path / "out.ndjson"
    with forwarding(log, options("file", str(out))):
        until(lambda: status(log).next == len(ids(log)), what="the last entry")
    for part in tmp_path.glob("ledger.db*"):
        if "sinks" not in part.name:
            part.unlink()
    a_log(tmp_path, calls=2)

    with forwarding(log, options("file", str(out))):
        until(lambda: "rolled back" in status(log).error, what="the alarm")


def test_one_process_forwards_a_log(tmp_path: Path) -> None:
    log = a_log(tmp_path)
    with forwarding(log), pytest.raises(AltarError, match="Another process"), forwarding(log):
        pass


def test_two_sinks_have_names_of_their_own(tmp_path: Path) -> None:
    log = a_log(tmp_path)
    twice = options("file", str(tmp_path / "out"))

    with pytest.raises(AltarError, match="names of their own"), forwarding(log, twice, twice):
        pass


# -------------------------------------------------------------------------------------------------------------- HTTP


def test_a_receiver_that_dies_in_the_middle_of_a_batch_gets_everything_in_order(tmp_path: Path) -> None:
    log = a_log(tmp_path, calls=30)
    taken: list[str] = []
    turns = iter([None, (503, {"retry-after": "0"}, b""), None, (429, {}, b"")])

    def reply(asked: Asked) -> Reply | None:
        answered = next(turns, (202, {}, b"{}"))
        if answered is not None and answered[0] == 202:
            taken.extend(event["altar"]["id"] for event in json.loads(asked.content))
        return answered

    with http_receiver(reply) as address, forwarding(log, options("datadog", address, token="k", batch=10)):
        until(lambda: status(log).next == 63, what="the last entry")

    assert ids(log) == taken


def test_what_was_taken_but_not_acknowledged_comes_again(tmp_path: Path) -> None:
    log = a_log(tmp_path)
    taken: list[str] = []
    lost = iter([True])

    def reply(asked: Asked) -> Reply | None:
        taken.extend(event["altar"]["id"] for event in json.loads(asked.content))
        return None if next(lost, False) else (202, {}, b"{}")

    with http_receiver(reply) as address, forwarding(log, options("datadog", address, token="k")):
        until(lambda: status(log).next == 9, what="the last entry")

    assert ids(log) * 2 == taken


def test_a_receiver_that_takes_less_at_once_is_sent_less(tmp_path: Path) -> None:
    log = a_log(tmp_path)
    sizes: list[int] = []

    def reply(asked: Asked) -> Reply:
        sizes.append(len(json.loads(asked.content)))
        return (413, {}, b"") if sizes[-1] > 3 else (202, {}, b"{}")

    with http_receiver(reply) as address, forwarding(log, options("datadog", address, token="k", batch=8)):
        until(lambda: status(log).next == 9, what="the last entry")

    assert [8, 4] == sizes[:2]
    assert max(sizes[2:]) <= 3


def test_datadog_is_sent_what_its_intake_asks_for() -> None:
    asked: list[Asked] = []

    def reply(request: Asked) -> Reply:
        asked.append(request)
        return 202, {}, b"{}"

    with http_receiver(reply) as address:
        sink = DatadogSink(options("datadog", address, token="key-1", service="grid"))
        sink.send([sample(), sample(outcome="DENIED")])
        sink.close()

    (request,) = asked
    first, second = json.loads(request.content)
    assert ("POST", "/api/v2/logs", "key-1", "gzip") == (
        request.method,
        request.path,
        request.headers["dd-api-key"],
        request.headers["content-encoding"],
    )
    assert ("altar", "grid", "info", "warn") == (first["ddsource"], first["service"], first["status"], second["status"])
    assert "tenant:acme,event:call.ended" == first["ddtags"]


def test_splunk_waits_for_the_indexer_when_asked_to() -> None:
    asked: list[Asked] = []
    indexed = iter([False, True])

    def reply(request: Asked) -> Reply:
        asked.append(request)
        if "/ack" in request.path:
            return 200, {}, json.dumps({"acks": {"7": next(indexed)}}).encode()
        return 200, {}, b'{"text":"Success","code":0,"ackId":7}'

    pauses: list[float] = []
    with http_receiver(reply) as address:
        sink = SplunkSink(options("splunk", address, token="t-1", index="audit", acknowledge=True), pause=pauses.append)
        sink.send([sample(), sample(position=8)])
        sink.close()

    first, *polls = asked
    events = [json.loads(line) for line in first.content.splitlines()]
    assert ("/services/collector/event", "Splunk t-1") == (first.path, first.headers["authorization"])
    assert [7, 8] == [event["event"]["position"] for event in events]
    assert (TIME_MS / 1000, "altar:audit", "audit") == tuple(
        events[0][name] for name in ("time", "sourcetype", "index")
    )
    assert 2 == len(polls)
    assert first.headers["x-splunk-request-channel"] in polls[0].path
    assert 1 == len(pauses)


@pytest.mark.parametrize(
    "answer",
    [b'{"text":"Invalid token","code":4}', b"<html>", b'{"text":"Success","code":0}'],
    ids=["refused", "no JSON", "no number"],
)
def test_splunk_that_does_not_say_success_has_not_taken_it(answer: bytes) -> None:
    with http_receiver(lambda _: (200, {}, answer)) as address:
        sink = SplunkSink(options("splunk", address, token="t-1", acknowledge=b"Success" in answer))
        with pytest.raises(SinkError):
            sink.send([sample()])
        sink.close()


def test_an_indexer_that_never_acknowledges_is_a_failure() -> None:
    def reply(request: Asked) -> Reply:
        return (200, {}, b'{"acks":{"7":false}}') if "/ack" in request.path else (200, {}, b'{"code":0,"ackId":7}')

    with http_receiver(reply) as address:
        sink = SplunkSink(options("splunk", address, token="t", acknowledge=True), pause=lambda _: None)
        with pytest.raises(SinkError, match="not acknowledged"):
            sink.send([sample()])
        sink.close()


def test_a_collector_gets_log_records() -> None:
    got = logs_service_pb2.ExportLogsServiceRequest()

    def reply(request: Asked) -> Reply:
        assert ("/v1/logs", "application/x-protobuf") == (request.path, request.headers["content-type"])
        got.ParseFromString(request.content)
        return 200, {}, b""

    with http_receiver(reply) as address:
        sink = OtlpSink(options("otlp", address, service="grid"))
        sink.send([sample(outcome="DENIED", code="PERMISSION_DENIED")])
        sink.close()

    record = got.resource_logs[0].scope_logs[0].log_records[0]
    said = {each.key: each.value.string_value or each.value.int_value for each in record.attributes}
    assert ("call.ended", TIME_MS * 1_000_000, 13) == (record.event_name, record.time_unix_nano, record.severity_number)
    assert ("acme/alice", 7, "PERMISSION_DENIED") == tuple(
        said[f"altar.{name}"] for name in ("principal", "position", "code")
    )


def test_what_a_collector_rejects_is_not_passed_over() -> None:
    answer = logs_service_pb2.ExportLogsServiceResponse()
    answer.partial_success.rejected_log_records = 1

    with http_receiver(lambda _: (200, {}, answer.SerializeToString())) as address:
        sink = OtlpSink(options("otlp", address))
        with pytest.raises(SinkError, match="rejected 1"):
            sink.send([sample()])
        sink.close()


def test_objects_are_named_by_what_they_hold_and_are_the_same_when_sent_again() -> None:
    asked: list[Asked] = []

    def reply(request: Asked) -> Reply:
        asked.append(request)
        return OK

    with http_receiver(reply) as address:
        sink = S3Sink(
            options("s3", address, token="AK", secret="SK", bucket="logs", prefix="altar/"),
            now=lambda: datetime(2026, 11, 23, tzinfo=UTC),
        )
        mixed = [sample(position=7), sample(position=3, origin="altar.local/host-1/acme"), sample(position=8)]
        sink.send(mixed)
        sink.send(mixed)
        sink.close()

    names = [(request.method, request.path) for request in asked]
    assert [
        ("PUT", "/logs/altar/altar.local%252Fhost-1/000000000007-000000000008.ndjson.gz"),
        ("PUT", "/logs/altar/altar.local%252Fhost-1%252Facme/000000000003-000000000003.ndjson.gz"),
    ] == names[:2]
    assert [request.body for request in asked[:2]] == [request.body for request in asked[2:]]
    assert (
        asked[0]
        .headers["authorization"]
        .startswith("AWS4-HMAC-SHA256 Credential=AK/20261123/us-east-1/s3/aws4_request")
    )


def test_an_answer_without_end_is_cut() -> None:
    with http_receiver(lambda _: (202, {}, b"x" * 100_000)) as address:
        sink = DatadogSink(options("datadog", address, token="k"))
        with pytest.raises(SinkError, match="far too long"):
            sink.send([sample()])
        sink.close()


def test_a_redirect_is_not_followed() -> None:
    asked: list[str] = []

    def reply(request: Asked) -> Reply:
        asked.append(request.path)
        return 307, {"location": "/elsewhere"}, b""

    with http_receiver(reply) as address:
        sink = DatadogSink(options("datadog", address, token="k"))
        with pytest.raises(SinkError, match="status 307"):
            sink.send([sample()])
        sink.close()

    assert ["/api/v2/logs"] == asked


@pytest.mark.parametrize(
    "address",
    ["http://example.com", "https://user:pw@example.com", "ftp://x", "", "https://", "http://10.0.0.1", "https://x/#y"],
)
def test_an_address_that_would_leak_is_refused(address: str) -> None:
    with pytest.raises(AltarError) as refused:
        checked_address(address, name="one")

    assert "INVALID_CONFIG" == refused.value.code
    assert "pw" not in str(refused.value)


@pytest.mark.parametrize("kind", ["datadog", "splunk", "otlp", "s3"])
def test_keys_are_in_no_message(kind: str) -> None:
    given = options(kind, "http://127.0.0.1:9", token="hush-1", secret="hush-2", bucket="b")
    sink = make_sink(given)

    with pytest.raises(SinkError) as failed:
        sink.send([sample()])

    assert "hush" not in f"{given!r} {failed.value!r} {failed.value.reason}"


def test_threads_of_sinks_end_with_their_forwarder(tmp_path: Path) -> None:
    log = a_log(tmp_path)

    with forwarding(log, options("file", str(tmp_path / "out")), options("file", os.devnull, name="two")):
        assert 2 == sum(thread.name.startswith("altar-sink-") for thread in threading.enumerate())

    assert not any(thread.name.startswith("altar-sink-") for thread in threading.enumerate())
