"""Webhooks, judged by the library of Standard Webhooks, and attacked through their addresses."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from altar.adm.errors import ConfigurationError, ExecutionError
from altar.aesp.audit.record import Record
from altar.aesp.audit.sinks.forwarder import make_sink
from altar.aesp.audit.sinks.sink import SinkError, SinkOptions
from altar.aesp.audit.sinks.webhook import WebhookSink, secrets_in
from altar.aesp.governance.webhooks import WebhookAlarm

OLD, NEW = ("whsec_" + base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))
RECORD = Record(
    "altar.local/h/acme#7", "altar.local/h/acme", "acme", 7, 1_700_000_000_000, "approval.requested", b"{}", tool="pay"
)


@dataclass
class Receiver:
    """What has come, and the status it is answered with."""

    address: str = ""
    status: int = 204
    came: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def receiving() -> Iterator[Receiver]:
    told = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            told.came.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(told.status)
            if told.status in {301, 307}:
                self.send_header("location", "http://127.0.0.1:1/elsewhere")
            self.send_header("retry-after", "7")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.address = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def options(address: str, *, token: str = OLD, networks: tuple[str, ...] = ()) -> SinkOptions:
    return SinkOptions(name="hook", kind="webhook", address=address, token=token, timeout=5, networks=networks)


def test_a_message_is_verified_by_the_library_and_a_changed_one_is_not() -> None:
    with receiving() as receiver:
        make_sink(options(receiver.address)).send([RECORD])

    ((headers, body),) = receiver.came
    told = Webhook(OLD).verify(body, headers)
    assert ("approval.requested", "pay", "acme") == (told["type"], told["data"]["tool"], told["data"]["tenant"])
    for changed, with_headers in (
        (body.replace(b"pay", b"buy"), headers),
        (body, headers | {"webhook-id": "msg_1"}),
        (body, headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) - 1)}),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(OLD).verify(changed, with_headers)


def test_while_a_secret_follows_another_both_verify_and_an_id_stays_over_retries() -> None:
    with receiving() as receiver:
        sink = make_sink(options(receiver.address, token=f"{NEW}\n{OLD}\n"))
        sink.send([RECORD])
        sink.send([RECORD])

    (first, body), (second, _) = receiver.came
    assert first["webhook-id"] == second["webhook-id"]
    assert "." not in first["webhook-id"]
    for secret in (OLD, NEW):
        Webhook(secret).verify(body, first)


@pytest.mark.parametrize("status", [500, 301, 307, 410])
def test_what_is_not_taken_is_said_and_no_redirect_is_followed(status: int) -> None:
    with receiving() as receiver:
        receiver.status = status
        with pytest.raises(SinkError) as refused:
            make_sink(options(receiver.address)).send([RECORD, RECORD])

    assert 1 == len(receiver.came)
    assert (7.0, f"the receiver answered with status {status}") == (refused.value.retry_after, refused.value.reason)


@pytest.mark.parametrize(
    "inside", ["127.0.0.1", "10.0.0.5", "169.254.169.254", "192.168.1.1", "::1", "fd00::1", "::ffff:10.0.0.5"]
)
def test_a_name_that_leads_into_the_network_is_refused(inside: str) -> None:
    async def resolved(_host: str, _port: int) -> Sequence[str]:
        return ["93.184.215.14", inside]

    sink = WebhookSink(options("https://hooks.example/x"), resolver=resolved)

    with pytest.raises(SinkError) as refused:
        sink.send([RECORD])

    assert "which is not public and not listed" in refused.value.reason


def test_a_name_that_changes_its_mind_is_asked_once_for_each_request() -> None:
    answers = iter([["10.0.0.5"], ["93.184.215.14"]])
    asked = list[str]()

    async def rebinding(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return next(answers)

    sink = WebhookSink(options("https://hooks.example/x"), resolver=rebinding)

    with pytest.raises(SinkError):
        sink.send([RECORD])

    assert ["hooks.example"] == asked


@pytest.mark.parametrize("address", ["http://hooks.example/x", "ftp://hooks.example", "https://u:p@hooks.example/"])
def test_an_address_without_tls_or_with_a_password_is_no_webhook(address: str) -> None:
    with pytest.raises(ConfigurationError):
        make_sink(options(address))


@pytest.mark.parametrize("secret", ["", "hunter2", "whsec_", "whsec_c2hvcnQ=", f"{OLD} plain", " ".join([OLD] * 5)])
def test_what_is_no_secret_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        secrets_in(secret, name="hook")

    assert secret in {"", "whsec_"} or secret not in f"{refused.value.message} {refused.value.hint}"


async def test_an_alarm_is_taken_by_one_receiver_or_raises() -> None:
    facts = {"break_glass": "glass-1", "tools": "pay"}
    with receiving() as well, receiving() as ill:
        ill.status = 503
        sinks = [WebhookSink(options(each.address)) for each in (ill, well)]
        await WebhookAlarm(sinks, now=lambda: 1_700_000_000.0).sound(facts)
        well.status = 503
        with pytest.raises(ExecutionError) as unheard:
            await WebhookAlarm(sinks, now=lambda: 1_700_000_000.0).sound(facts)
    with pytest.raises(ExecutionError):
        await WebhookAlarm([], now=lambda: 1_700_000_000.0).sound(facts)

    headers, body = well.came[0]
    assert "breakglass.opening" == Webhook(OLD).verify(body, headers)["type"]
    assert "DEPENDENCY_UNAVAILABLE" == unheard.value.code
