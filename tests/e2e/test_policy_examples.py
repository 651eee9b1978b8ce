"""The policies to copy: each passes its own tests, stands on its page as it is in its file, and its tests can fail."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from altar.aesp.policy.examining import examine
from altar.aesp.policy.policy import Bundle, read_bundle
from altar.grid.manifests.manifest import HostContract, Manifest
from tests.e2e.command import altar

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples/policies"
PAGE = ROOT / "docs/how-to/copy-these-policies.md"
BUNDLES = sorted(EXAMPLES.glob("*.toml"))


@pytest.fixture(scope="module")
def contracts(tmp_path_factory: pytest.TempPathFactory) -> tuple[HostContract, ...]:
    folder = tmp_path_factory.mktemp("contracts")
    built = altar("manifest", "build", str(EXAMPLES / "tools.py"), "-o", "manifest.json", at=folder)
    assert 0 == built.code, built.err
    return tuple(Manifest.load(folder / "manifest.json"))


def bundle_of(file: Path) -> Bundle:
    return read_bundle(file.read_text(), path=file.name)


def test_there_are_ten() -> None:
    assert 10 == len(BUNDLES)


@pytest.mark.parametrize("file", BUNDLES, ids=lambda file: file.stem)
def test_a_bundle_passes_its_tests_and_has_no_faults(file: Path, contracts: tuple[HostContract, ...]) -> None:
    bundle = bundle_of(file)

    found = examine(bundle, contracts)

    assert () == found.wrong
    assert len(found.cases) == len(bundle.tests) >= 4
    assert {"ALLOW"} < {case.expected for case in found.cases}


@pytest.mark.parametrize("file", BUNDLES, ids=lambda file: file.stem)
def test_without_any_one_of_its_policies_a_test_of_the_bundle_fails(
    file: Path, contracts: tuple[HostContract, ...]
) -> None:
    bundle = bundle_of(file)

    for gone in bundle.policies:
        left = dataclasses.replace(bundle, policies=tuple(one for one in bundle.policies if one is not gone))

        assert any(not case.passed for case in examine(left, contracts).cases), gone.name


@pytest.mark.parametrize("file", BUNDLES, ids=lambda file: file.stem)
def test_the_page_shows_a_bundle_as_it_is_in_its_file(file: Path) -> None:
    text = file.read_text()
    shown = text[text.index("\nname =") : text.index("\n[[tests]]")].strip()

    assert f"```toml\n{shown}\n```" in PAGE.read_text()
    assert f"(../../examples/policies/{file.name})" in PAGE.read_text()


def test_the_command_tells_how_the_tests_of_a_bundle_ended(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text((EXAMPLES / "seed.toml").read_text().replace('expect = "ALLOW"', 'expect = "DENY"', 1))
    tools = str(EXAMPLES / "tools.py")

    passed = altar("policy", "test", str(EXAMPLES / "seed.toml"), "--tools", tools, "--json", at=tmp_path)
    failed = altar("policy", "test", str(wrong), "--tools", tools, at=tmp_path)

    assert 0 == passed.code, passed.err
    assert all(case["passed"] for case in json.loads(passed.out)["cases"])
    assert 0 != failed.code
    assert "personal data in production" in failed.out
