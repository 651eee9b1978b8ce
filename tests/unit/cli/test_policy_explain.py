"""`altar policy explain --bundle` and `altar policy replay`, without a host."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import orjson
import pytest

from altar.cli import output
from altar.cli.main import main
from altar.later.registry import REGISTRY
from altar.ledger import FileSigner, Intent, Ledger
from tests.unit.aesp.policy.test_replay import LARGE, body, paid

TOOLS = '''
import altar


@altar.tool
def pay(amount: float, to: str) -> str:
    """Pay an amount to somebody.

    Args:
        amount: How much.
        to: Whom.
    """
    return to
'''


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    REGISTRY.clear()  # each test declares its tool anew, as each command does
    monkeypatch.delitem(sys.modules, "explained_pay", raising=False)
    (tmp_path / "explained_pay.py").write_text(TOOLS)
    file = tmp_path / "bundle.toml"
    file.write_text(LARGE)
    return file


def explain(bundle: Path, *words: str) -> int:
    tools = str(bundle.with_name("explained_pay.py"))
    return main(["policy", "explain", "pay", *words, "--bundle", str(bundle), "--tools", tools, "--json"])


def test_a_bundle_in_a_file_explains_a_call(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    denied = explain(bundle, "amount=500", "to=bob")
    told = json.loads(capsys.readouterr().out)
    allowed = explain(bundle, "amount=500", "to=bob", "--fact", 'principal.roles=["payer"]')

    assert (output.DENIED, output.DONE) == (denied, allowed)
    assert ("denied", "POLICY_VIOLATION", [{"name": "large", "line": 4}]) == (
        told["verdict"],
        told["code"],
        told["policies"],
    )


def test_a_bundle_in_a_file_reads_the_environment_of_the_settings(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    condition = 'environment.region != "eu" && request.environment == "testing"'
    bundle.write_text(f"name = 'x'\n[[policies]]\nname = 'home'\ncondition = '{condition}'\neffect = 'DENY'\n")
    monkeypatch.setenv("ALTAR_AESP_CONSTANTS", '{"region": "us"}')
    monkeypatch.setenv("ALTAR_AESP_ENVIRONMENT", "testing")

    denied = explain(bundle, "amount=1", "to=bob")
    code = json.loads(capsys.readouterr().out)["code"]
    allowed = explain(bundle, "amount=1", "to=bob", "--environment", "region=eu")

    assert (output.DENIED, "POLICY_VIOLATION", output.DONE) == (denied, code, allowed)


@pytest.mark.parametrize(
    "words",
    [
        ("amount=500", "to=bob", "--fact", "principal.rolls=[]"),
        ("amount=500", "to=bob", "--fact", "nothing"),
        ("amount=500", "to=bob", "--time", "noon"),
        ("amount=500", "bob"),
    ],
)
def test_what_is_no_question_is_wrong_use(
    bundle: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert output.WRONG_USE == explain(bundle, *words)
    assert "error" in json.loads(capsys.readouterr().out)


def test_a_log_and_its_export_are_replayed_alike(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = bundle.parent / "data"
    data.mkdir()
    calls = [body(0, facts=paid(5)), body(1, facts=paid(500))]
    intents = [{k: v for k, v in orjson.loads(each).items() if k not in {"kind", "time", "v"}} for each in calls]
    with_signer = FileSigner.create(data / "key.pem", name="altar.local/test")
    ledger = Ledger.open(
        data / "ledger.db",
        signer=with_signer,
        origin="altar.local/test",
        host="host",
        software="test",
        wall_ms=lambda: 1_767_607_200_000,
        on_failure=lambda _error: None,
        per_tenant=True,
    )
    ledger.commit([Intent(**each) for each in intents], lambda _seq, _error: None)
    ledger.close()
    export = bundle.parent / "acme.export"
    lines = [{"altar_audit_export": 2, "origin": "o", "size": 2, "tenant": "acme", "vkey": "v"}]
    lines += [{"entry": each.decode(), "leaf": "", "seq": at} for at, each in enumerate(calls)]
    export.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))

    found = []
    for words in (["--data", str(data)], ["--export", str(export)]):
        assert output.DONE == main(["policy", "replay", str(bundle), *words, "--json"])
        found.append(json.loads(capsys.readouterr().out))
    assert output.WRONG_USE == main(["policy", "replay", str(bundle), "--data", str(data), "--tenant", "rival"])

    assert ("acme", 2, 1) == (found[0]["tenant"], found[0]["calls"], found[0]["changed"])
    assert found[0]["changes"] == found[1]["changes"] == [{"was": "allow", "becomes": "denied", "calls": 1}]
