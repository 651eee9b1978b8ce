"""The page of controls names tests that exist; the steps of `make security` find what they look for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts import advisories, generate_controls, licences, security
from tests.docs.reader import ROOT

ROW: dict[str, Any] = {
    "asks": "Something.",
    "state": "partly",
    "why": "Not all of it.",
    "tests": {"docs/test_controls.py": "the_page_is_up_to_date_and_every_test_on_it_exists"},
}
LOCK = """\
altar-needs==1.0 \\
    --hash=sha256:aa
    # via altar-ai (pyproject.toml)
both==3.1 ; sys_platform == 'linux' \\
    --hash=sha256:bb
    # via
    #   -r requirements/dev.in
    #   altar-needs
tool==2.0 \\
    --hash=sha256:cc
    # via -r requirements/dev.in
tools-part==2.1 \\
    --hash=sha256:dd
    # via tool
"""


def table(**changes: Any) -> dict[str, Any]:
    return {"asvs": {"title": "T", "about": "A", "controls": {"V1": ROW | changes}}}


# ── controls ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.timeout(240)
def test_the_page_is_up_to_date_and_every_test_on_it_exists() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "generate_controls.py"), "--check"]

    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stderr


@pytest.mark.timeout(240)
def test_a_test_that_there_is_not_is_named() -> None:
    controls = list(generate_controls.controls_of(table(tests={"docs/test_controls.py": "of_nothing", "gone.py": "x"})))

    known = generate_controls.collected({test.partition("::")[0] for control in controls for test in control.tests})
    named = list(generate_controls.missing(controls, known))

    assert [
        "asvs V1 names a test that there is not: tests/docs/test_controls.py::test_of_nothing",
        "asvs V1 names a test that there is not: tests/gone.py::test_x",
    ] == named


@pytest.mark.timeout(240)
def test_a_test_that_exists_is_known_without_its_parameters() -> None:
    known = generate_controls.collected({"tests/docs/test_controls.py"})

    assert "tests/docs/test_controls.py::test_a_control_that_is_not_sound_is_refused" in known


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"state": "mostly"}, "has the state 'mostly'"),
        ({"state": "covered"}, "a reason belongs to everything that is not covered"),
        ({"why": ""}, "a reason belongs to everything that is not covered"),
        ({"tests": {}}, "tests belong to what is covered or partly covered"),
        ({"state": "not"}, "tests belong to what is covered or partly covered"),
        ({"asks": ""}, "does not say what is asked for"),
        ({"whi": "x"}, "members that nobody reads: ['whi']"),
        ({"tests": {"a.py": "x x"}}, "names a test twice"),
    ],
)
def test_a_control_that_is_not_sound_is_refused(changes: dict[str, Any], told: str) -> None:
    assert any(told in line for line in generate_controls.unsound(table(**changes)))


def test_a_control_that_is_sound_is_not_refused() -> None:
    assert [] == list(generate_controls.unsound(table()))


# ── licences ─────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_that_is_shipped_has_a_licence_that_binds_its_users() -> None:
    found = {name: licences.licence_of(name) for name in licences.shipped()}

    assert {"grpcio", "cryptography", "sqlalchemy", "pysaml2", "orjson", "opentelemetry-sdk"} <= found.keys()
    assert {"semantic-kernel", "pybars4", "scipy"} <= found.keys()
    assert {"pytest", "hypothesis", "mypy"}.isdisjoint(found)
    assert [] == list(licences.objections(found))


def test_what_comes_along_is_what_we_need_and_what_that_needs() -> None:
    assert {"altar-needs": "1.0", "both": "3.1"} == licences.shipped([LOCK])


@pytest.mark.parametrize(
    "licence", ["GPL-3.0-only", "AGPL-3.0-or-later", "LGPL-3.0-only", "MIT AND GPL-2.0-only", "", "Proprietary"]
)
def test_a_licence_that_is_not_free_or_not_known_is_refused(licence: str) -> None:
    assert len(list(licences.objections({"package": licence}))) == 1


@pytest.mark.parametrize("licence", ["MIT", "GPL-2.0-only OR MIT", "MPL-2.0 AND (Apache-2.0 OR MIT)"])
def test_a_free_licence_is_not_refused(licence: str) -> None:
    assert [] == list(licences.objections({"package": licence}))


def test_a_package_that_is_allowed_is_allowed_under_that_licence_only() -> None:
    assert [] == list(licences.objections({"psycopg": "LGPL-3.0-only"}))
    assert len(list(licences.objections({"psycopg": "GPL-3.0-only"}))) == 1


def test_what_only_semantic_kernel_may_bring_along_comes_with_nothing_else() -> None:
    others = [(licences.REQUIREMENTS / name).read_text() for name in licences.LOCKS if name != "semantic-kernel.lock"]

    assert len(others) == len(licences.LOCKS) - 1
    assert {"prance", "pybars4"}.isdisjoint(name for text in others for name, _, _ in licences._entries(text))


def test_a_package_of_another_environment_is_known_where_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(licences, "BESIDE", ())

    found = {name: licences.licence_of(name) for name in licences.shipped()}

    assert [] == list(licences.objections(found))


# ── advisories ───────────────────────────────────────────────────────────────────────────────────────────


def advisory(folder: Path, **affected: Any) -> Path:
    """A document of OSV about one package."""
    about = {"package": {"ecosystem": "PyPI", "name": "Some_Package"}} | affected
    document = {"id": "X-1", "modified": "2026-01-02T00:00:00Z", "affected": [about]}
    (folder / "X-1.json").write_text(json.dumps(document))
    return folder


@pytest.mark.parametrize(
    ("version", "weak"),
    [("0.9", False), ("1.0", True), ("1.9", True), ("2.0", False), ("2.5", True), ("3.1", True), ("3.2", False)],
)
def test_an_advisory_is_found_by_version_and_by_range(tmp_path: Path, version: str, weak: bool) -> None:
    events = [{"introduced": "1.0"}, {"fixed": "2.0"}, {"introduced": "3.0"}, {"last_affected": "3.1"}]
    folder = advisory(tmp_path, ranges=[{"type": "ECOSYSTEM", "events": events}], versions=["2.5"])

    found, newest = advisories.found_in(folder, {"some-package": version, "other": "1.0"})

    assert ([f"some-package {version}: X-1"] if weak else []) == found
    assert newest == "2026-01-02T00:00:00Z"


def test_a_folder_without_advisories_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text("{}")

    with pytest.raises(advisories.NotExaminedError, match="holds no advisories"):
        advisories.found_in(tmp_path, {"some-package": "1.0"})


def test_a_folder_that_is_old_is_not_believed(tmp_path: Path) -> None:
    advisory(tmp_path)
    changed = (tmp_path / "X-1.json").read_text().replace("2026-01-02", "2020-01-02")
    (tmp_path / "X-1.json").write_text(changed)

    done = security.look_up(tmp_path)

    assert not done.ok
    assert "NOT EXAMINED: the newest advisory is" in done.said


def service(folder: Path, answers: dict[str, dict[str, Any]]) -> Path:
    """A program that answers as pip-audit does: about each package in the file, what is written here."""
    tool = folder / "pip-audit"
    tool.write_text(
        f"#!{sys.executable}\n"
        "import json, re, sys\n"
        f"answers = json.loads({json.dumps(json.dumps(answers))})\n"
        "names = re.findall(r'^([a-z0-9-]+)==(\\S+)', open(sys.argv[2]).read(), re.MULTILINE)\n"
        "print(json.dumps({'dependencies': [\n"
        "    {'name': n, 'version': v, 'vulns': []} | answers.get(n, {}) for n, v in names]}))\n"
    )
    tool.chmod(0o755)
    return tool


def lock(folder: Path) -> list[Path]:
    path = folder / "some.lock"
    path.write_text(LOCK)
    return [path]


def test_a_service_that_knows_no_advisories_is_not_believed(tmp_path: Path) -> None:
    tool = service(tmp_path, {"jinja2": {"skip_reason": "not found"}})

    with pytest.raises(advisories.NotExaminedError, match="serves no advisories"):
        advisories.asked(lock(tmp_path), tool=tool)


def test_a_service_that_leaves_a_package_out_is_not_believed(tmp_path: Path) -> None:
    tool = service(tmp_path, {"jinja2": {"vulns": [{"id": "W"}]}, "both": {"skip_reason": "not found"}})

    with pytest.raises(advisories.NotExaminedError, match="says nothing about both"):
        advisories.asked(lock(tmp_path), tool=tool)


def test_a_service_that_knows_is_asked_about_every_version(tmp_path: Path) -> None:
    tool = service(tmp_path, {"jinja2": {"vulns": [{"id": "W"}]}, "both": {"vulns": [{"id": "X-2"}]}})

    assert ["both 3.1: X-2"] == advisories.asked(lock(tmp_path), tool=tool)


def test_a_service_that_cannot_be_reached_is_not_believed(tmp_path: Path) -> None:
    tool = tmp_path / "pip-audit"
    tool.write_text("#!/bin/sh\necho 'no way there' >&2\nexit 1\n")
    tool.chmod(0o755)

    with pytest.raises(advisories.NotExaminedError, match="no way there"):
        advisories.asked(lock(tmp_path), tool=tool)


# ── static analysis, parts ───────────────────────────────────────────────────────────────────────────────


def finding(line: int, rule: str = "B608") -> dict[str, Any]:
    place = {"filename": "./some.py", "line_number": line, "line_range": [line, line + 1]}
    return {"test_id": rule, "issue_text": "Bad."} | place


def test_a_finding_that_nobody_judged_fails(tmp_path: Path) -> None:
    (tmp_path / "some.py").write_text("a\nb\nc  # noqa: S608 - marks only\nd\n\nf  # noqa: S101\ng\n")
    found = [finding(1), finding(2), finding(6), finding(6, "B404")]

    left = list(security.unjudged(found, root=tmp_path, accepted={("B1", "gone.py"): "why"}))

    assert ["some.py:1: B608 Bad.", "some.py:6: B608 Bad.", "gone.py: B1 is accepted and not found any more"] == left


def test_a_judgement_for_the_whole_file_counts_everywhere_in_it(tmp_path: Path) -> None:
    (tmp_path / "some.py").write_text('"""Words."""\n\n# ruff: noqa: S608 (names of ours)\n\na\nb\n')

    assert [] == list(security.unjudged([finding(5)], root=tmp_path, accepted={}))


def test_parts_are_listed_with_their_hashes_and_nothing_else() -> None:
    entries = "".join(security.entries_of(LOCK, {"both": "3.1"}))

    assert entries == "both==3.1 ; sys_platform == 'linux' \\\n    --hash=sha256:bb\n"
