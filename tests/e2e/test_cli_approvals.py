"""`altar approvals` and `altar break-glass` as people at terminals use them, through the death of a host on PostgreSQL.

One host serves the module; a webhook on loopback hears its alarms.
"""

from __future__ import annotations

import base64
import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from altar.adm.call import ToolResult
from altar.testing import until
from tests.e2e.command import Done, altar
from tests.integration.approval_scene import ApprovalGrid
from tests.providers.receivers import Asked, Reply, http_receiver

pytestmark = pytest.mark.timeout(120)

SINK = """
[[audit.sinks]]
name = "alarm"
kind = "webhook"
address = "{address}/altar"
token_file = "webhook.secret"
events = ["approval.*", "breakglass.*"]
"""


class Desks:
    """The grid, its people at their terminals, and what the webhook heard."""

    def __init__(self, scene: ApprovalGrid, heard: list[dict[str, Any]]) -> None:
        self.scene = scene
        self.heard = heard

    def run(self, who: str, *words: str) -> Done:
        """Run a command in the name of a person, or of the operator."""
        files = self.scene.grid.client
        return altar(
            *words,
            at=self.scene.directory,
            environ={
                "ALTAR_SOURCE": self.scene.grid.source,
                "ALTAR_TLS_CERTIFICATE": str(files.certificate),
                "ALTAR_TLS_KEY": str(files.key),
                "ALTAR_TLS_AUTHORITY": str(files.authority),
                "ALTAR_CREDENTIAL": self.scene.tokens[who],
            },
        )

    def call(self, amount: int, *, handle: str = "") -> ToolResult:
        """Have alice's program pay, or resume what it asked for."""
        with self.scene.session(self.scene.tokens["alice"]) as session:
            return session.resume(handle) if handle else session.call("pay", amount=amount, to="bob")

    def ask(self, amount: int) -> str:
        """Have alice's program make a call that needs approval; gives its handle."""
        pending = self.call(amount).error
        assert pending is not None
        return pending.handle

    def types(self) -> list[str]:
        """The events that the webhook heard so far."""
        return [one["type"] for one in self.heard]


@pytest.fixture(scope="module")
def desks(tmp_path_factory: pytest.TempPathFactory, postgres: Any) -> Iterator[Desks]:
    folder = tmp_path_factory.mktemp("desks") / "grid"
    folder.mkdir()
    heard: list[dict[str, Any]] = []

    def reply(asked: Asked) -> Reply:
        if not asked.headers["webhook-signature"].startswith("v1,"):
            return 401, {}, b""
        heard.append(json.loads(asked.content))
        return 204, {}, b""

    url = postgres.create_database()
    with http_receiver(reply) as address:
        (folder / "webhook.secret").write_text("whsec_" + base64.b64encode(bytes(range(32))).decode())
        (folder / "altar.toml").write_text(SINK.format(address=address))
        with ApprovalGrid(folder, database_url=url) as scene:
            scene.people()
            scene.deploy()
            yield Desks(scene, heard)
    postgres.drop_database(url)


def test_a_person_at_a_terminal_is_told_how_to_go_on_once_approved(desks: Desks) -> None:
    pending = desks.run("alice", "call", "pay", "amount=200", "to=bob")
    handle = pending.err.partition("--idempotency-key ")[2].split()[0]
    listed = desks.run("tom", "approvals", "list")
    shown = desks.run("tom", "approvals", "show", handle)
    digest = shown.out.partition("digest")[2].split()[0]
    approved = desks.run("tom", "approvals", "approve", handle, "--digest", digest, "--reason", "by phone")
    ran = desks.run("alice", "call", "pay", "amount=200", "to=bob", "--idempotency-key", handle)

    assert (3, "") == (pending.code, pending.out)
    assert "Somebody of the treasury looks at it." in pending.err
    assert handle in listed.out, listed.err
    assert '"amount": 200' in shown.out, shown.err
    assert "large-payments: 0 of 1 (treasurer)" in shown.out
    assert f"{handle}  APPROVED\n" == approved.out, approved.err
    assert (0, "200\n") == (ran.code, ran.out), ran.err
    assert 200 == desks.call(200, handle=handle).unwrap()
    assert 1 == len(desks.scene.events("acme", event_type="approval.consumed"))


def test_a_script_reads_the_handle_and_cannot_approve_what_it_has_not_looked_at(desks: Desks) -> None:
    pending = desks.run("alice", "call", "pay", "amount=210", "to=bob", "--json")
    handle = pending.json["error"]["handle"]
    blind = desks.run("tom", "approvals", "approve", handle)

    assert 3 == pending.code
    assert 2 == blind.code
    assert '"amount": 210' in blind.err
    assert f"altar approvals show {handle}" in blind.err
    assert "PENDING" == desks.scene.shown("tom", handle)["state"].removeprefix("APPROVAL_STATE_")


def test_what_is_refused_or_withdrawn_is_told_in_one_line_and_does_not_run(desks: Desks) -> None:
    refused, withdrawn = desks.ask(220), desks.ask(221)

    no = desks.run("tom", "approvals", "refuse", refused, "--reason", "not this month")
    back = desks.run("alice", "approvals", "withdraw", withdrawn)
    history = desks.run("ada", "approvals", "history", "--id", refused, "--json")

    assert [refused, "REFUSED"] == no.out.split(), no.err
    assert [withdrawn, "WITHDRAWN"] == back.out.split(), back.err
    results = [desks.call(0, handle=handle).error for handle in (refused, withdrawn)]
    assert ["APPROVAL_REFUSED", "APPROVAL_VOID"] == [error.type for error in results if error is not None]
    assert ["approval.decided", "approval.requested"] == [one["event"] for one in history.json["events"]]


def test_break_glass_lets_calls_pass_until_it_is_closed_and_the_webhook_hears_of_each_step(desks: Desks) -> None:
    reason = "the bank closes at noon"
    opened = desks.run("ada", "break-glass", "open", "pay", "--reason", reason, "--minutes", "5")
    ran = desks.call(240)
    listed = desks.run("ada", "break-glass", "list")
    glass = opened.out.split()[0]
    closed = desks.run("ada", "break-glass", "close", glass)
    after = desks.call(240)
    until(lambda: "breakglass.closed" in desks.types(), what="the end of the alarm")

    assert opened.out.startswith(f"{glass}  open for 'pay' until "), opened.err
    assert 240 == ran.unwrap()
    assert [glass, "pay", "acme/ada"] == listed.out.splitlines()[1].split()[:3], listed.err
    assert reason in listed.out
    assert f"{glass}  closed, calls that passed under it: 1\n" == closed.out, closed.err
    assert after.error is not None
    assert "APPROVAL_PENDING" == after.error.type
    heard = [name for name in desks.types() if name.startswith("breakglass.")]
    assert ["breakglass.opening", "breakglass.opened", "breakglass.used", "breakglass.closed"] == heard


def test_what_was_asked_and_approved_stands_after_the_host_was_killed(desks: Desks) -> None:
    approved, waiting = desks.ask(250), desks.ask(251)
    desks.scene.approve("tom", approved)

    desks.scene.grid.restart_host(signal.SIGKILL)
    desks.scene.grid.mend()
    ran = desks.run("alice", "call", "pay", "amount=250", "to=bob", "--idempotency-key", approved)
    desks.scene.approve("tom", waiting)

    assert (0, "250\n") == (ran.code, ran.out), ran.err
    assert 251 == desks.call(251, handle=waiting).unwrap()
