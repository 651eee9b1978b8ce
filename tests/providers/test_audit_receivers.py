"""Sinks against receivers that others wrote: rsyslog, a collector of OpenTelemetry, and botocore on signatures."""

from __future__ import annotations

import gzip
import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2

from altar.aesp.audit.sinks.otlp import OtlpSink
from altar.aesp.audit.sinks.s3 import S3Sink
from altar.aesp.audit.sinks.sink import SinkError, SinkOptions
from altar.aesp.audit.sinks.syslog import SyslogSink
from altar.testing import PATIENCE, until
from tests.providers.oracles import ROTEL, judged
from tests.providers.presence import need
from tests.providers.receivers import Asked, Reply, http_receiver
from tests.unit.aesp.audit.scene import sample

RSYSLOG = "/usr/sbin/rsyslogd"
GTLS = "/usr/lib/x86_64-linux-gnu/rsyslog/lmnsd_gtls.so"


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


def answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextmanager
def process(command: list[str], *, log: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as out:
        running = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        until(lambda: answers(port) or running.poll() is not None, what=f"the start of {command[0]}")
        assert running.poll() is None, log.read_text()
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            running.wait(PATIENCE)


@contextmanager
def rsyslog(folder: Path, *, tls: bool, port: int = 0) -> Iterator[tuple[subprocess.Popen[bytes], int, Path]]:
    """A receiver that writes the content of each message into a file; gives its process, its port and the file."""
    need("rsyslog", RSYSLOG, GTLS)
    port = port or free_port()
    out = folder / "received"
    driver = ""
    if tls and not (folder / "ca.pem").exists():
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        authority.cert_pem.write_to_path(folder / "ca.pem")
        issued.private_key_pem.write_to_path(folder / "key.pem")
        issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    if tls:
        driver = (
            f'DefaultNetstreamDriverCAFile="{folder}/ca.pem" DefaultNetstreamDriverCertFile="{folder}/cert.pem"'
            f' DefaultNetstreamDriverKeyFile="{folder}/key.pem"'
        )
    mode = 'StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="anon"' if tls else ""
    (folder / "rsyslog.conf").write_text(
        f'global(workDirectory="{folder}" maxMessageSize="64k" {driver})\n'
        f'module(load="imtcp" {mode})\n'
        'template(name="t" type="string" string="%hostname% %procid% %msgid%'
        " %syslogfacility-text%.%syslogseverity-text%"
        ' %msg%\\n")\n'
        f'input(type="imtcp" port="{port}" address="127.0.0.1")\n'
        f'*.* action(type="omfile" file="{out}" template="t")\n'
    )
    command = [RSYSLOG, "-n", "-f", str(folder / "rsyslog.conf"), "-i", str(folder / "pid")]
    with process(command, log=folder / "rsyslog.log", port=port) as running:
        yield running, port, out


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
def test_rsyslog_understands_every_field(tmp_path: Path, tls: bool) -> None:
    with rsyslog(tmp_path, tls=tls) as (_, port, out):
        sink = SyslogSink(
            SinkOptions(
                name="one",
                kind="syslog",
                address=f"127.0.0.1:{port}",
                transport="tls" if tls else "tcp",
                authority=str(tmp_path / "ca.pem") if tls else "",
            )
        )
        sink.send([sample(position=number, note="Grüße = fine") for number in range(300)])
        sink.send([sample(position=300, outcome="DENIED")])
        until(lambda: out.exists() and len(out.read_text().splitlines()) >= 301, what="the last message")

    lines = [line for line in out.read_text().splitlines() if "altar.local" in line]
    positions = [json.loads(line[line.index("{") :])["position"] for line in lines]
    assert list(range(301)) == positions
    assert lines[0].startswith("altar.local/host-1 acme call.ended")
    assert ".info " in lines[0]
    assert ".warning " in lines[-1]
    assert "Grüße = fine" in lines[0]


def test_rsyslog_that_is_killed_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    port = free_port()
    sink = SyslogSink(SinkOptions(name="one", kind="syslog", address=f"127.0.0.1:{port}", transport="tcp", timeout=5))
    with rsyslog(tmp_path, tls=False, port=port) as (running, _, out):
        sink.send([sample(position=0)])
        until(lambda: out.exists() and "position" in out.read_text(), what="the first message")
        running.kill()
        running.wait(PATIENCE)
    with pytest.raises(SinkError):
        sink.send([sample(position=1)])
    with rsyslog(tmp_path, tls=False, port=port) as (_, _, out):
        sink.send([sample(position=1)])
        until(lambda: '"position":1' in out.read_text(), what="the second message")

    assert 1 == out.read_text().count('"position":1')


def test_a_real_collector_takes_and_passes_on_what_it_is_sent(tmp_path: Path) -> None:
    need("rotel", ROTEL)
    passed: list[logs_service_pb2.ExportLogsServiceRequest] = []

    def reply(asked: Asked) -> Reply:
        request = logs_service_pb2.ExportLogsServiceRequest()
        request.ParseFromString(asked.content)
        passed.append(request)
        return 200, {}, b""

    grpc, http = free_port(), free_port()
    with http_receiver(reply) as address:
        command = [str(ROTEL), "start", "--otlp-grpc-endpoint", f"127.0.0.1:{grpc}"]
        command += ["--otlp-http-endpoint", f"127.0.0.1:{http}", "--exporter", "otlp", "--batch-timeout", "100ms"]
        command += ["--otlp-exporter-endpoint", address, "--otlp-exporter-protocol", "http"]
        with process(command, log=tmp_path / "log", port=http):
            sink = OtlpSink(SinkOptions(name="one", kind="otlp", address=f"http://127.0.0.1:{http}"))
            sink.send([sample(position=1), sample(position=2, event="call.denied", outcome="DENIED")])
            sink.close()
            until(lambda: bool(passed), what="what the collector passes on")

    records = passed[0].resource_logs[0].scope_logs[0].log_records
    held = [{each.key: each.value for each in record.attributes} for record in records]
    assert [1, 2] == [attributes["altar.position"].int_value for attributes in held]
    assert ["call.ended", "call.denied"] == [record.body.string_value.split()[0] for record in records]


@pytest.mark.parametrize("name", ["plain/", "a b/ü+%/", ""])
def test_botocore_makes_the_same_signature(name: str) -> None:
    asked: list[Asked] = []

    def reply(request: Asked) -> Reply:
        asked.append(request)
        return 200, {}, b""

    with http_receiver(reply) as address:
        options = SinkOptions(
            name="one", kind="s3", address=address, bucket="logs", token="AKIDEXAMPLE", secret="s3cr3t+/", prefix=name
        )
        sink = S3Sink(options)
        sink.send([sample()])
        sink.close()
    (request,) = asked

    signature = judged(
        _BOTOCORE,
        stdin=json.dumps(
            {
                "url": address + request.path,
                "headers": dict(request.headers),
                "body": request.body.hex(),
                "access": "AKIDEXAMPLE",
                "secret": "s3cr3t+/",
            }
        ),
    )

    assert signature == request.headers["authorization"].replace(",", ", ")
    assert json.loads(gzip.decompress(request.body))["position"] == 7


_BOTOCORE = """
import json, sys, datetime
from botocore import auth, awsrequest, credentials
asked = json.load(sys.stdin)
stamp = asked["headers"]["x-amz-date"]
signed = asked["headers"]["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
class Then(datetime.datetime):
    @classmethod
    def at(cls, *_, **__):
        return datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ")
for name in ("get_current_datetime",):
    if hasattr(auth, name):
        setattr(auth, name, Then.at)
headers = {name: asked["headers"][name] for name in signed if name not in ("x-amz-date", "x-amz-content-sha256")}
request = awsrequest.AWSRequest("PUT", asked["url"], headers=headers, data=bytes.fromhex(asked["body"]))
request.context["payload_signing_enabled"] = True
signer = auth.S3SigV4Auth(credentials.Credentials(asked["access"], asked["secret"]), "s3", "us-east-1")
signer.add_auth(request)
print(json.dumps(request.headers["Authorization"]))
"""
