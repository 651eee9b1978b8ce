"""The application: what it says of this environment is what the metadata say, and the tools may be run again."""

from __future__ import annotations

import json
from importlib import metadata

import pytest

import altar
from altar.demo import package_audit
from altar.demo.package_audit import (
    PackageReport,
    audit,
    classify_license,
    inspect_package,
    list_packages,
    summarize,
)


def report(name: str, *, size: int = 0, wanted: int = 0) -> PackageReport:
    return PackageReport(name, "1.0", "MIT", size, 1, [f"by-{number}" for number in range(wanted)])


def test_every_installed_package_is_listed_once() -> None:
    names = list_packages()

    assert {"click", "pytest", "pydantic-core"} <= set(names)
    assert sorted(set(names)) == names


def test_a_package_is_described_by_its_metadata() -> None:
    click = inspect_package("Click")

    assert metadata.version("click") == click.version
    assert ("click", "BSD-3-Clause") == (click.name, click.license)
    assert "altar-ai" in click.required_by
    assert click.files > 10
    assert click.size_bytes > 100_000


def test_a_package_that_is_not_installed_is_an_error() -> None:
    with pytest.raises(metadata.PackageNotFoundError):
        inspect_package("no-such-package")


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("MIT", "permissive"),
        ("Apache-2.0 OR BSD-3-Clause", "permissive"),
        ("Python Software Foundation License", "permissive"),
        ("Mozilla Public License 2.0 (MPL 2.0)", "copyleft"),
        ("LGPL-2.1-only", "copyleft"),
        ("any-OSI", "other"),
        ("unknown", "unknown"),
        ("", "unknown"),
    ],
)
def test_a_license_has_a_family(text: str, family: str) -> None:
    assert family == classify_license(text)


def test_a_summary_adds_up_and_ties_are_broken_by_name() -> None:
    summary = summarize(
        [report("b", size=2, wanted=1), report("a", size=2), report("c", size=1)], ["copyleft", "other", "other"]
    )

    assert (3, 3, 5) == (summary.packages, summary.files, summary.size_bytes)
    assert {"copyleft": 1, "other": 2} == summary.families
    assert ["a", "b", "c"] == summary.largest
    assert ["b", "a", "c"] == summary.most_required


def test_every_tool_may_be_run_again() -> None:
    tools = (list_packages, inspect_package, classify_license, summarize)

    assert all(tool.declaration.annotations.read_only for tool in tools)


async def test_an_audit_goes_through_the_session_and_tells_how_far_it_is() -> None:
    told: list[tuple[int, int]] = []
    names = ("list_packages", "inspect_package", "classify_license", "summarize")

    async with altar.session(names, source="later:") as session:
        done = await audit(session, at_once=8, tell=lambda asked, answered: told.append((asked, answered)))

    assert [one["name"] for one in done.packages] == list_packages() == list(done.families)
    assert len(done.packages) == done.summary["packages"]
    assert sum(asked for asked, _ in told) == sum(answered for _, answered in told) == 2 * len(done.packages) + 2


def test_the_program_prints_one_json_value(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALTAR_SOURCE", "later:")

    code = package_audit.main(["--json", "--progress"])

    captured = capsys.readouterr()
    done = json.loads(captured.out)
    assert (0, True, 1) == (code, done["equal"], done["rounds"])
    last = json.loads(captured.err.splitlines()[-1])
    assert last["done"] == last["total"] == done["calls"]


def test_a_program_that_cannot_reach_its_grid_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALTAR_SOURCE", "nowhere://127.0.0.1:1")

    code = package_audit.main([])

    assert code == 1
    assert capsys.readouterr().err.startswith("error: ")
