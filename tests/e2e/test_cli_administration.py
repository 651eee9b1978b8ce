"""The nouns of administration: each verb is refused without its permission, and with it they do what they say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from altar.aesp.service.permissions import METHODS, Access
from altar.cli.main import COMMANDS, main
from altar.cli.verbs import VERBS, Verb
from tests.integration.foundation_scene import FoundationGrid

pytestmark = pytest.mark.timeout(240)

ELSEWHERE = {
    "EnterpriseAuditService/QueryEvents",
    "EnterpriseAuditService/ExportAuditLogs",
    "EnterpriseAuditService/GetAuditStatistics",
    "EnterpriseAuditService/ForgetPrincipal",
    "EnterpriseAuthorizationService/WhoCan",
    "EnterprisePolicyService/UpdatePolicy",
    "EnterprisePolicyService/ValidatePolicy",
    "EnterprisePolicyService/TestPolicy",
    "EnterprisePolicyService/EvaluatePolicy",
    "EnterprisePolicyService/ReplayPolicy",
}
"""Methods whose command is none of these nouns, or does more than one of them."""

BESIDE = {
    "EnterprisePolicyService/CreatePolicy": ["policy", "deploy", "bundle.toml"],
    "EnterprisePolicyService/DeletePolicy": ["policy", "delete", "1"],
    "EnterprisePolicyService/DiffPolicy": ["policy", "diff", "1"],
    "EnterprisePolicyService/GetPolicy": ["policy", "show", "1"],
    "EnterprisePolicyService/ListPolicies": ["policy", "list"],
    "EnterprisePolicyService/SubmitPolicy": ["policy", "submit", "1"],
    "EnterprisePolicyService/ActivatePolicy": ["policy", "activate", "1", "--digest", "x"],
    "EnterprisePolicyService/RollbackPolicy": ["policy", "rollback"],
    "EnterprisePolicyService/RetirePolicy": ["policy", "retire", "1"],
    "EnterpriseContractService/ActivateContract": ["contracts", "approve", "add@1.0.0", "--digest", "x"],
    "EnterpriseArtefactService/CreateArtefact": ["artefacts", "deploy", "role/x", "role.toml"],
    "EnterpriseArtefactService/DeleteArtefact": ["artefacts", "delete", "role/x", "1"],
    "EnterpriseArtefactService/GetArtefact": ["artefacts", "show", "role/x"],
    "EnterpriseArtefactService/ListArtefacts": ["artefacts", "list"],
    "EnterpriseArtefactService/SubmitArtefact": ["artefacts", "submit", "role/x", "1"],
    "EnterpriseArtefactService/ActivateArtefact": ["artefacts", "activate", "role/x", "1", "--digest", "x"],
    "EnterpriseArtefactService/RollbackArtefact": ["artefacts", "rollback", "role/x"],
    "EnterpriseArtefactService/RetireArtefact": ["artefacts", "retire", "role/x", "1"],
    "EnterpriseArtefactService/GetPrice": ["artefacts", "price", "add"],
    "EnterpriseGovernanceService/GetApprovalHistory": ["approvals", "history"],
    "EnterpriseGovernanceService/OpenBreakGlass": ["break-glass", "open", "x", "--reason", "a fire in the house"],
}
"""Commands that are more than their method: they read a file, or ask for a reason or what was looked at."""

Run = Callable[..., tuple[int, Any]]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FoundationGrid]:
    settings = {"aesp.tier": "advanced"}
    with FoundationGrid(tmp_path_factory.mktemp("nouns") / "grid", runtimes=0, settings=settings) as made:
        made.tenant("acme")
        (made.directory / "bundle.toml").write_text('name = "empty"\n')
        (made.directory / "role.toml").write_text('permissions = ["tools:read"]\n')
        yield made


@pytest.fixture
def run(scene: FoundationGrid, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `altar … --json` in this process, in the name of a token; gives the exit code and what it printed."""
    monkeypatch.chdir(scene.directory)
    files = scene.grid.client
    for name, value in {
        "ALTAR_SOURCE": scene.grid.source,
        "ALTAR_TLS_CERTIFICATE": str(files.certificate),
        "ALTAR_TLS_KEY": str(files.key),
        "ALTAR_TLS_AUTHORITY": str(files.authority),
        "XDG_CONFIG_HOME": str(scene.directory / "config"),
    }.items():
        monkeypatch.setenv(name, value)

    def ran(*arguments: str, token: str) -> tuple[int, Any]:
        monkeypatch.setenv("ALTAR_CREDENTIAL", token)
        number = main([*arguments, "--json"])
        out = capsys.readouterr().out
        return number, json.loads(out)

    return ran


def test_every_governed_method_has_a_command_and_every_noun_is_one() -> None:
    governed = {name for name, rule in METHODS.items() if rule.access not in {Access.OPEN, Access.OWN}}
    own = {name for name, rule in METHODS.items() if rule.access is Access.OWN}

    assert governed - ELSEWHERE == ({verb.method for verb in VERBS} - own) | BESIDE.keys()
    assert {verb.noun for verb in VERBS} | {words[0] for words in BESIDE.values()} <= COMMANDS.keys()


def test_every_verb_is_refused_without_its_permission_and_leaves_an_entry(scene: FoundationGrid, run: Run) -> None:
    token = scene.person("acme", "nobody")
    words = {verb.method: _words(verb) for verb in VERBS if METHODS[verb.method].access is not Access.OWN} | BESIDE

    codes = {method: run(*line, token=token)[1]["error"]["type"] for method, line in words.items()}

    assert dict.fromkeys(codes, "PERMISSION_DENIED") == codes
    scene.recorded("acme", METHODS[list(words)[-1]].event, "acme/nobody", "DENIED")
    events = scene.events("acme", event_type="admin.*", principal_id="acme/nobody")
    assert {METHODS[method].event for method in words} == {event["event_type"] for event in events}
    assert {"DENIED"} == {event["outcome"] for event in events}


def test_an_administrator_makes_a_role_gives_it_and_sees_who_can(scene: FoundationGrid, run: Run) -> None:
    boss, ann = scene.person("acme", "boss", "admin"), scene.person("acme", "ann")

    asked = ["tools/weather:execute"]
    before, _ = run("can-i", *asked, token=ann)
    run("roles", "create", "caller", "--permission", "tools/weather:execute", token=boss)
    _, bound = run("bindings", "create", "caller", "--principal", "ann", "--days", "1", token=boss)
    after, _ = run("can-i", *asked, token=ann)
    _, who = run("who-can", *asked, token=boss)
    run("bindings", "delete", bound["binding"]["binding_id"], token=boss)
    at_last, _ = run("can-i", *asked, token=ann)

    assert (1, 0, 1) == (before, after, at_last)
    assert {"acme/ann", "acme/boss"} == {one["principal_id"] for one in who["holders"]}


def test_a_list_goes_on_where_its_cursor_says(scene: FoundationGrid, run: Run) -> None:
    boss = scene.person("acme", "lister", "admin")
    for name in ("g1", "g2", "g3"):
        run("groups", "create", name, token=boss)

    _, first = run("groups", "list", "--limit", "2", token=boss)
    _, second = run("groups", "list", "--limit", "2", "--cursor", first["next_cursor"], token=boss)

    assert [["g1", "g2"], ["g3"]] == [[one["name"] for one in page["groups"]] for page in (first, second)]
    assert "" == second["next_cursor"]


def test_a_table_has_times_as_people_read_them_and_an_empty_one_says_so(
    scene: FoundationGrid, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    boss = scene.person("acme", "clock", "admin")
    run("groups", "create", "timed", token=boss)
    _, bound = run("bindings", "create", "viewer", "--principal", "clock", "--days", "1", token=boss)
    ends = datetime.fromtimestamp(int(bound["binding"]["expires_ms"]) / 1000, UTC)

    printed = {}
    for words in (("bindings", "list"), ("principals", "trail", "clock"), ("keys", "list")):
        assert 0 == main([*words])
        printed[words[0]] = capsys.readouterr()

    assert ends.strftime("%Y-%m-%dT%H:%M:%SZ") in printed["bindings"].out
    assert bound["binding"]["expires_ms"] not in printed["bindings"].out
    trail = printed["principals"].out.splitlines()
    assert trail[0].startswith("TIMESTAMP")
    assert len(trail) > 1
    assert all(re.match(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ  ", line) for line in trail[1:])
    assert ("", "none\n") == printed["keys"]


def test_what_is_missing_is_named(scene: FoundationGrid, run: Run) -> None:
    boss = scene.person("acme", "namer", "admin")

    _, key = run("keys", "create", "nosuch", token=boss)
    _, purge = run("tenants", "purge", "acme", token=scene.root)

    assert ("UNKNOWN_RESOURCE", "There is no principal 'nosuch'") == (key["error"]["type"], key["error"]["message"])
    assert purge["error"]["hint"].endswith("--confirm NAME")


def _words(verb: Verb) -> list[str]:
    """A command line for a verb, whatever its arguments mean."""
    return [verb.noun, verb.name, *("x" for _ in verb.arguments)]
