"""Syslog over TLS, TCP and UDP: what arrives, and how a receiver that dies is noticed."""

from __future__ import annotations

import json
import ssl
from pathlib import Path

import pytest
import trustme

from altar.adm.errors import AltarError
from altar.aesp.audit.sinks.sink import SinkError
from altar.aesp.audit.sinks.syslog import SyslogSink
from altar.testing import until
from tests.providers.receivers import syslog_receiver
from tests.unit.aesp.audit.forwarding import forwarding, ids, options, status
from tests.unit.aesp.audit.scene import a_log, sample


def contexts(folder: Path) -> tuple[ssl.SSLContext, Path]:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    path = folder / "ca.crt"
    authority.cert_pem.write_to_path(path)
    return context, path


def test_syslog_over_tls_arrives_with_octet_counts(tmp_path: Path) -> None:
    context, authority = contexts(tmp_path)

    with syslog_receiver(context=context) as receiver:
        sink = SyslogSink(options("syslog", f"127.0.0.1:{receiver.port}", authority=str(authority)))
        sink.send([sample(position=1), sample(position=2, outcome="DENIED")])

    first, second = receiver.messages
    assert first.startswith(b"<110>1 2026-09-21T14:13:20.000Z altar.local/host-1 altar acme call.ended - {")
    assert second.startswith(b"<108>1 ")
    assert 1 == json.loads(first.split(b" - ", 1)[1])["position"]


def test_syslog_does_not_talk_to_a_stranger(tmp_path: Path) -> None:
    context, _ = contexts(tmp_path)

    with syslog_receiver(context=context) as receiver:
        sink = SyslogSink(options("syslog", f"127.0.0.1:{receiver.port}"))
        with pytest.raises(SinkError):
            sink.send([sample()])

    assert [] == receiver.messages


def test_syslog_over_tcp_that_is_cut_in_a_batch_is_sent_the_batch_again(tmp_path: Path) -> None:
    log = a_log(tmp_path, calls=200)

    with syslog_receiver() as receiver:
        receiver.resets = 2
        given = options("syslog", f"127.0.0.1:{receiver.port}", transport="tcp", batch=100)
        with forwarding(log, given):
            until(lambda: status(log).next == len(ids(log)), what="the last entry")

    seen = [json.loads(message[message.index(b"{") :])["id"] for message in receiver.messages]
    assert [ids(log)[0]] * 2 == seen[:2]
    assert ids(log) == seen[2:]


def test_syslog_over_udp_is_sent_and_forgotten() -> None:
    with syslog_receiver(udp=True) as receiver:
        sink = SyslogSink(options("syslog", f"127.0.0.1:{receiver.port}", transport="udp", format="cef"))
        sink.send([sample()])
        until(lambda: bool(receiver.messages), what="the datagram")

    assert b" - CEF:0|ALTAR|" in receiver.messages[0]


def test_text_beyond_ascii_is_marked_as_utf_8() -> None:
    with syslog_receiver() as receiver:
        sink = SyslogSink(options("syslog", f"127.0.0.1:{receiver.port}", transport="tcp"))
        sink.send([sample(note="Grüße\nline two", tenant="ten ant")])

    (message,) = receiver.messages
    assert b" altar ten?ant call.ended - \xef\xbb\xbf{" in message
    assert b"\n" not in message


@pytest.mark.parametrize("address", ["nowhere", "host:0", "host:x", "host:70000"])
def test_an_address_of_syslog_needs_a_port(address: str) -> None:
    with pytest.raises(AltarError, match="no address of a syslog receiver"):
        SyslogSink(options("syslog", address, transport="tcp"))


def test_certificate_files_of_a_sink_must_be_such(tmp_path: Path) -> None:
    with pytest.raises(AltarError) as refused:
        SyslogSink(options("syslog", "127.0.0.1:1", authority=str(tmp_path / "none.pem")))

    assert "CERTIFICATE_ERROR" == refused.value.code
