"""`altar manifest enrich`: governance goes into a manifest, shows in its diff, and is what a host reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from altar.grid.manifests.manifest import Manifest
from tests.e2e.command import altar as run

TOOLS = """
import altar

@altar.tool(required_roles=["cashier"], classification="CONFIDENTIAL")
def transfer(amount: int) -> int:
    \"\"\"Move some money.\"\"\"
    return amount

@altar.tool
def weather(city: str) -> str:
    \"\"\"Say what the weather is.\"\"\"
    return city
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "bank.py").write_text(TOOLS)
    assert run("manifest", "build", "bank", "-o", "manifest.json", at=tmp_path).code == 0
    return tmp_path


def test_what_an_author_proposes_is_in_the_manifest(place: Path) -> None:
    manifest = Manifest.load(place / "manifest.json")

    governance = manifest.find("transfer").governance
    assert governance is not None
    assert (("cashier",), "CONFIDENTIAL") == (governance.required_roles, governance.security_classification)
    assert manifest.find("weather").governance is None


def test_options_and_a_file_are_joined_and_the_diff_shows_who_is_kept_out(place: Path) -> None:
    (place / "said.toml").write_text('[weather]\ncontains_pii = false\ncompliance_tags = ["GDPR"]\n')

    done = run(
        *("manifest", "enrich", "manifest.json", "-o", "new.json", "--from", "said.toml"),
        *("--tool", "weather", "--role", "reporter", "--risk", "LOW", "--cost", "0.01"),
        at=place,
    )
    shown = run("manifest", "diff", "manifest.json", "new.json", "--check", at=place)

    assert (0, 1) == (done.code, shown.code)
    governance = Manifest.load(place / "new.json").find("weather").governance
    assert governance is not None
    assert ("0.01", ("GDPR",), ("reporter",)) == (
        governance.estimated_cost,
        governance.compliance_tags,
        governance.required_roles,
    )
    assert "requires the role reporter now" in shown.out
    assert "BREAKS CALLERS" in shown.out


def test_a_function_that_is_not_there_is_named(place: Path) -> None:
    done = run("manifest", "enrich", "manifest.json", "--tool", "wether", "--role", "x", "--json", at=place)

    assert 2 == done.code
    assert "UNSUPPORTED_TOOL" in done.out + done.err


def test_nothing_unsound_is_written(place: Path) -> None:
    before = (place / "manifest.json").read_bytes()

    done = run("manifest", "enrich", "manifest.json", "--tool", "weather", "--cost", "cheap", at=place)

    assert 0 != done.code
    assert before == (place / "manifest.json").read_bytes()
