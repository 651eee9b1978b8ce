"""A host of the tier ADVANCED as its users have it: policies deployed, approved, explained, swapped, and kept.

One host serves the module, each test a tenant of its own; the last test runs on PostgreSQL.
"""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from altar.adm.call import ToolResult
from tests.e2e.command import Done, altar
from tests.integration.foundation_scene import FoundationGrid

pytestmark = pytest.mark.timeout(120)

EXAMPLES = Path(__file__).parents[2] / "examples/policies"
POLICIES = "EnterprisePolicyService"
LIMIT = 3
"""Calls of a day, in the place of the thousand of the specification."""


class Advanced:
    """A grid of the tier ADVANCED in development, with the tools and the policies of the examples."""

    def __init__(self, directory: Path, *, database_url: str = "") -> None:
        settings = {"aesp.tier": "advanced", "aesp.environment": "development"}
        tools = (str(EXAMPLES / "tools.py"),)
        self.foundation = FoundationGrid(directory, modules=tools, database_url=database_url, settings=settings)

    def people(self, tenant: str, **roles: tuple[str, ...]) -> dict[str, str]:
        """Make a tenant and people with roles; gives their credentials by their names."""
        self.foundation.tenant(tenant)
        return {name: self.foundation.person(tenant, name, *held) for name, held in roles.items()}

    def run(self, credential: str, *words: str, stdin: str = "") -> Done:
        """Run a command in somebody's name."""
        files = self.foundation.grid.client
        return altar(
            *words,
            at=self.foundation.directory,
            stdin=stdin,
            environ={
                "ALTAR_SOURCE": self.foundation.grid.source,
                "ALTAR_TLS_CERTIFICATE": str(files.certificate),
                "ALTAR_TLS_KEY": str(files.key),
                "ALTAR_TLS_AUTHORITY": str(files.authority),
                "ALTAR_CREDENTIAL": credential,
            },
        )

    def does(self, credential: str, *words: str) -> Any:
        """Run a command that must succeed; gives its data."""
        done = self.run(credential, *words, "--json")
        assert 0 == done.code, done.err
        return done.json

    def put_in_force(self, bundle: Path, *, author: str, tenant: str) -> None:
        """Hand in a bundle in one person's name; the operator of the host, who is another, activates it."""
        made = self.foundation.ask(f"{POLICIES}/CreatePolicy", {"source": bundle.read_text()}, credential=author)
        request = {"tenant_id": tenant} | {name: made["policy"][name] for name in ("version", "digest")}
        self.foundation.ask(f"{POLICIES}/ActivatePolicy", request)

    def events(self, tenant: str, kind: str) -> list[dict[str, Any]]:
        """What a tenant's log has of one kind."""
        return self.foundation.events(tenant, event_type=kind)

    def call(self, credential: str, tool: str, **arguments: Any) -> ToolResult:
        """Call a tool in a session of its own."""
        with self.foundation.session(credential) as session:
            return session.call(tool, **arguments)


def code_of(result: ToolResult) -> str:
    """The code of an error, empty for none."""
    return "" if result.error is None else str(result.error.type)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Advanced]:
    made = Advanced(tmp_path_factory.mktemp("advanced"))
    with made.foundation:
        yield made


def lowered(folder: Path) -> Path:
    """The policies of the specification, with a limit that a test reaches."""
    text = (EXAMPLES / "seed.toml").read_text()
    assert "daily_invocations > 1000" in text
    bundle = folder / "seed.toml"
    bundle.write_text(text.partition("[[tests]]")[0].replace("> 1000", f"> {LIMIT}"))
    return bundle


def assert_the_three_policies_hold(host: Advanced, tenant: str, bundle: Path) -> None:
    """Put the policies in force, meet each, kill the host, and meet each again."""
    people = host.people(tenant, ann=("developer",), bea=("admin",))
    ann = people["ann"]
    host.put_in_force(bundle, author=people["bea"], tenant=tenant)

    before = [code_of(host.call(ann, "lookup_order", order="7")) for _ in range(LIMIT)]
    over = host.call(ann, "lookup_order", order="7")
    personal = host.call(people["bea"], "export_customers", country="AT")
    costly = host.call(people["bea"], "train_model", dataset="d")
    host.foundation.grid.restart_host(signal.SIGKILL)
    host.foundation.grid.mend()

    assert [""] * LIMIT == before
    assert "POLICY_VIOLATION" == code_of(over)
    assert over.error is not None
    assert "The limit of 1000 calls a day is reached" in over.error.message
    assert ["POLICY_VIOLATION", "APPROVAL_PENDING"] == [code_of(personal), code_of(costly)]
    assert "POLICY_VIOLATION" == code_of(host.call(ann, "lookup_order", order="7"))
    assert "POLICY_VIOLATION" == code_of(host.call(people["bea"], "export_customers", country="AT"))
    assert "APPROVAL_PENDING" == code_of(host.call(people["bea"], "train_model", dataset="d"))


def test_the_policies_of_the_specification_hold_when_the_host_was_killed(host: Advanced, tmp_path: Path) -> None:
    assert_the_three_policies_hold(host, "seed", lowered(tmp_path))


def test_a_bundle_is_swapped_and_rolled_back_while_calls_run(host: Advanced, tmp_path: Path) -> None:
    people = host.people("swap", ann=("developer",), bea=("admin",))
    closed, opened = tmp_path / "closed.toml", tmp_path / "opened.toml"
    opened.write_text('name = "opened"\n')
    closed.write_text(
        'name = "closed"\n\n[[policies]]\nname = "closed"\ncondition = "true"\neffect = "DENY"\nmessage = "Closed"\n'
    )
    seen: list[str] = []
    stop = threading.Event()

    def calls() -> None:
        with host.foundation.session(people["ann"]) as session:
            while not stop.is_set():
                seen.append(code_of(session.call("lookup_order", order="7")))

    caller = threading.Thread(target=calls)
    caller.start()
    try:
        met = []
        for bundle in (closed, opened):
            host.put_in_force(bundle, author=people["bea"], tenant="swap")
            met.append(code_of(host.call(people["ann"], "lookup_order", order="7")))
        host.foundation.ask(f"{POLICIES}/RollbackPolicy", {"tenant_id": "swap"})
        met.append(code_of(host.call(people["ann"], "lookup_order", order="7")))
    finally:
        stop.set()
        caller.join()

    assert ["POLICY_VIOLATION", "", "POLICY_VIOLATION"] == met
    assert {"", "POLICY_VIOLATION"} == set(seen)
    assert "" == seen[0]


def test_what_is_approved_on_the_command_line_runs_once(host: Advanced, tmp_path: Path) -> None:
    people = host.people("approve", ann=("developer",), bea=("admin",), cyd=("admin",))
    ann, cyd = people["ann"], people["cyd"]
    host.does(people["bea"], "roles", "create", "cost_approver", "--permission", "tools:read")
    host.does(people["bea"], "bindings", "create", "cost_approver", "--principal", "cyd")
    policy = host.does(people["bea"], "policy", "deploy", str(lowered(tmp_path)))["policy"]
    reviewed = (str(policy["version"]), "--digest", policy["digest"])
    alone = host.run(people["bea"], "policy", "activate", *reviewed)
    host.does(cyd, "policy", "activate", *reviewed)
    pending = host.call(ann, "train_model", dataset="d")
    assert pending.error is not None
    handle = pending.error.handle

    listed = host.does(cyd, "approvals", "list")["approvals"]
    shown = host.does(cyd, "approvals", "show", handle)
    approved = host.run(cyd, "approvals", "approve", handle, "--digest", shown["digest"], "--reason", "in the budget")
    self_made = host.run(ann, "approvals", "approve", handle, "--digest", shown["digest"])
    with host.foundation.session(ann) as session:
        results = [session.resume(handle) for _ in range(2)]

    assert "another person" in alone.err
    assert [handle] == [one["approval_id"] for one in listed]
    assert ("train_model", '{"dataset":"d"}') == (shown["tool"], "".join(shown["arguments"].split()))
    assert 0 == approved.code, approved.err
    assert 0 != self_made.code
    assert ["a model of d"] * 2 == [result.unwrap() for result in results]
    assert 1 == sum(one["resource"] == "tools/train_model" for one in host.events("approve", "call.ended"))
    assert "APPROVAL_PENDING" == code_of(host.call(ann, "train_model", dataset="another"))


def test_a_denial_is_explained_before_and_after_it_happened(host: Advanced, tmp_path: Path) -> None:
    people = host.people("explain", ann=("developer",), bea=("admin",))
    host.put_in_force(lowered(tmp_path), author=people["bea"], tenant="explain")

    before = host.run(people["ann"], "policy", "explain", "export_customers", "country=AT")
    denied = host.run(people["ann"], "call", "export_customers", "country=AT")
    told_how = re.search(r"`altar explain (\S+)`", denied.err)
    assert told_how is not None, denied.err
    after = host.run(people["ann"], "explain", told_how[1])

    assert (3, "") == (denied.code, denied.out)
    assert "POLICY_VIOLATION" in denied.err
    for told in (before, after):
        assert 3 == told.code, told.err
        assert "no-personal-data-in-development" in told.out
        assert "resource.metadata.contains_pii" in told.out


def test_an_argument_that_is_cut_off_by_nul_denies(host: Advanced) -> None:
    people = host.people("nul", ann=("developer",), bea=("admin",))
    host.put_in_force(EXAMPLES / "argument-patterns.toml", author=people["bea"], tenant="nul")

    plain = host.call(people["ann"], "read_report", path="/srv/reports/a")
    cut = host.call(people["ann"], "read_report", path="/srv/reports/a\0/../../secrets")

    assert ("", "POLICY_ERROR") == (code_of(plain), code_of(cut))


def test_the_policies_of_the_specification_hold_on_postgresql(tmp_path: Path, prepared_postgres: str) -> None:
    made = Advanced(tmp_path / "grid", database_url=prepared_postgres)
    with made.foundation:
        assert_the_three_policies_hold(made, "seed", lowered(tmp_path))
