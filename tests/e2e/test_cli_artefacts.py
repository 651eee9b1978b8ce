"""`altar artefacts`, `altar policy activate` and `altar contracts approve` on a real host, by two people."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from altar.cli.main import main
from tests.integration.foundation_scene import FoundationGrid

pytestmark = pytest.mark.timeout(240)

ROLE = """
description = "Keeps the books."
permissions = ["audit:read", "tools/ledger.*:execute"]
"""
PRICES = """
currency = "EUR"

[[prices]]
tools = ["*"]
call = "0.10"
"""
BUNDLE = """
name = "sums"

[[policies]]
name = "none"
condition = "resource.metadata.estimated_cost > 100.0"
effect = "DENY"
message = "Too dear."

[[tests]]
name = "free"
tool = "add"
args = { }
expect = "ALLOW"
"""


class Done(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FoundationGrid]:
    """A host on which two people must agree, with the tenant acme."""
    settings = {"aesp.tier": "advanced"}
    with FoundationGrid(tmp_path_factory.mktemp("artefacts") / "grid", runtimes=0, settings=settings) as made:
        made.tenant("acme")
        yield made


@pytest.fixture(scope="module")
def people(scene: FoundationGrid) -> dict[str, str]:
    """The tokens of ann and ben, who may do everything in acme."""
    return {name: scene.person("acme", name, "admin") for name in ("ann", "ben")}


@pytest.fixture
def run(
    scene: FoundationGrid,
    people: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Runs `altar …` in this process in the name of somebody."""
    monkeypatch.chdir(tmp_path)
    files = scene.grid.client
    for name, value in {
        "ALTAR_SOURCE": scene.grid.source,
        "ALTAR_TLS_CERTIFICATE": str(files.certificate),
        "ALTAR_TLS_KEY": str(files.key),
        "ALTAR_TLS_AUTHORITY": str(files.authority),
        "XDG_CONFIG_HOME": str(scene.directory / "config"),
    }.items():
        monkeypatch.setenv(name, value)

    def ran(who: str, *arguments: str) -> Done:
        monkeypatch.setenv("ALTAR_CREDENTIAL", people[who])
        capsys.readouterr()
        code = main(list(arguments))
        told = capsys.readouterr()
        return Done(code, told.out, told.err)

    return ran


def asked(monkeypatch: pytest.MonkeyPatch, *, says: bool) -> list[str]:
    """Let somebody sit before the terminal who answers every question so; gives the questions."""
    questions: list[str] = []

    def confirm(question: str, *, abort: bool, err: bool) -> bool:
        questions.append(question)
        if not says and abort and err:
            raise click.Abort
        return True

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(click, "confirm", confirm)
    return questions


def test_a_role_goes_from_a_file_into_force_and_back(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("role.toml").write_text(ROLE)
    Path("wider.toml").write_text(ROLE.replace('"audit:read"', '"audit:read", "audit:export"'))
    handed_in = run("ann", "artefacts", "deploy", "role/books", "role.toml", "--note", "for finance")
    digest = handed_in.out.split()[-1]
    first = run("ben", "artefacts", "activate", "role/books", "1", "--digest", digest)
    run("ann", "artefacts", "deploy", "role/books", "wider.toml")
    questions = asked(monkeypatch, says=True)
    second = run("ben", "artefacts", "activate", "role/books", "2")
    shown = run("ben", "roles", "show", "books")
    back = run("ann", "artefacts", "rollback", "role/books")
    listed = run("ann", "artefacts", "list", "role/books")

    assert [0] * 6 == [one.code for one in (handed_in, first, second, shown, back, listed)]
    assert "differs  grants: audit:read\n" in handed_in.out
    assert "another person puts it in force: altar artefacts activate role/books 1\n" in handed_in.err
    assert first.out == f"role/books version 1  ACTIVE  {digest}\n"
    assert ["Put version 2 of role/books in force?"] == questions
    assert "differs  grants: audit:export" in second.err
    assert 'permissions = ["audit:export", "audit:read", "tools/ledger.*:execute"]' in second.err
    assert "audit:export" in shown.out
    assert "in the place of version 2\n" in back.err
    assert ["RETIRED", "ACTIVE"] == [line.split()[2] for line in listed.out.splitlines()[1:]]


def test_nothing_is_put_in_force_that_nobody_looked_at(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("role.toml").write_text(ROLE)
    run("ann", "artefacts", "deploy", "role/unseen", "role.toml")

    blind = run("ben", "artefacts", "activate", "role/unseen", "1")
    questions = asked(monkeypatch, says=False)
    unsure = run("ben", "artefacts", "activate", "role/unseen", "1")
    listed = run("ben", "artefacts", "list", "role/unseen", "--json")

    assert "Nobody is there to confirm what is put in force" in blind.err
    assert "altar artefacts show role/unseen 1" in blind.err
    assert (2, ["Put version 2 of role/unseen in force?"]) != (blind.code, questions)
    assert 0 not in {blind.code, unsure.code}
    assert "ARTEFACT_STATUS_PENDING_APPROVAL" == json.loads(listed.out)["versions"][0]["status"]


def test_a_price_is_said_with_its_currency(run: Run) -> None:
    Path("prices.toml").write_text(PRICES)
    before = run("ann", "artefacts", "price", "anything")
    digest = run("ann", "artefacts", "deploy", "price/list", "prices.toml").out.split()[-1]
    run("ben", "artefacts", "activate", "price/list", "1", "--digest", digest)

    after = run("ann", "artefacts", "price", "anything")

    assert ("", "no price list names it\n") == (before.out, before.err)
    assert ["call       0.10 EUR", "estimated  0.10 EUR"] == [line.rstrip() for line in after.out.splitlines()]


def test_a_policy_is_put_in_force_by_its_digest_or_after_a_look_at_what_it_changes(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("sums.toml").write_text(BUNDLE.partition("[[tests]]")[0])
    handed_in = run("ann", "policy", "deploy", "sums.toml")
    blind = run("ben", "policy", "activate", "1")
    questions = asked(monkeypatch, says=True)
    seen = run("ben", "policy", "activate", "1")

    assert "sums.toml: 1 policy, no tests, nothing found\n" in handed_in.err
    assert "altar policy show 1" in blind.err
    assert (0, ["Put version 1 in force?"]) == (seen.code, questions)
    assert handed_in.out.split()[-1] in seen.err


def test_a_contract_is_approved_as_it_was_submitted(
    run: Run, scene: FoundationGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = json.loads((scene.directory / "manifest.json").read_text())["contracts"][0]["function_declarations"][0]
    contract = f"{name['name']}@{name.get('version', '1.0.0')}"
    submitted = run("ann", "contracts", "submit", contract, "--json")
    digest = json.loads(submitted.out)["standing"]["digest"]

    blind = run("ben", "contracts", "approve", contract)
    other = run("ben", "contracts", "approve", contract, "--digest", "sha256:" + "0" * 64)
    questions = asked(monkeypatch, says=True)
    seen = run("ben", "contracts", "approve", contract)

    assert ["Nobody is there to confirm", "is not what was looked at"] == [
        words
        for words, one in zip(["Nobody is there to confirm", "is not what was looked at"], (blind, other), strict=True)
        if words in one.err
    ]
    assert (0, [f"Approve {contract}?"]) == (seen.code, questions)
    assert digest in seen.err
    assert "ACTIVE" in seen.out
