"""The tree keeps its promises: names, layers, light imports, documented modules, lock files, gates."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import altar
from scripts import bench_against, check_lock, coverage_by_layer, generate_proto, shape

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(altar.__path__, "altar.")
    if "._proto" not in module.name and not module.name.endswith("__main__")
)
HEAVY = (
    "grpc",
    "google.protobuf",
    "pydantic",
    "jsonschema_rs",
    "cryptography",
    "griffe",
    "rich",
    "sqlalchemy",
)


@pytest.fixture(params=["altar", *MODULES])
def module(request: pytest.FixtureRequest) -> ModuleType:
    return importlib.import_module(request.param)


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_name_in_all_exists_once(module: ModuleType) -> None:
    names = list(getattr(module, "__all__", ()))

    assert [] == [name for name in names if not hasattr(module, name)]
    assert len(set(names)) == len(names)


def test_every_module_says_what_lives_in_it(module: ModuleType) -> None:
    assert len((module.__doc__ or "").split()) >= 4


def test_every_public_name_has_a_docstring() -> None:
    assert [] == [name for name in altar.__all__ if not (getattr(altar, name).__doc__ or "").strip()]


def test_dir_shows_the_public_names() -> None:
    assert set(altar.__all__) <= set(dir(altar))


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = altar.no_such_name  # type: ignore[attr-defined]  # that is the point


def test_there_are_about_twenty_public_names() -> None:
    assert len(altar.__all__) <= 25


def test_the_version_is_the_one_of_the_distribution() -> None:
    assert PROJECT["project"]["version"] == altar.__version__


def test_the_package_tells_type_checkers_that_it_is_typed() -> None:
    assert (ROOT / "src" / "altar" / "py.typed").exists()


# ── light imports ────────────────────────────────────────────────────────────────────────────────────────


def test_import_altar_loads_nothing_heavy() -> None:
    assert [] == loaded_by("import altar")


def test_the_light_core_loads_no_network_and_no_cryptography() -> None:
    loaded = loaded_by("import altar.adm.declaration, altar.later.session, altar.later.tool")

    assert set(loaded).isdisjoint({"grpc", "google.protobuf", "cryptography", "rich", "sqlalchemy"})


def loaded_by(statement: str) -> list[str]:
    """Run a statement in a fresh interpreter and name the heavy modules that it loaded."""
    program = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    modules = json.loads(run.stdout)
    return [name for name in HEAVY if name in modules]


# ── layers and files ─────────────────────────────────────────────────────────────────────────────────────


def test_the_import_contracts_hold() -> None:
    linter = Path(sys.executable).parent / "lint-imports"

    run = subprocess.run([str(linter), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stdout


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    sizes = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in (ROOT / "src" / "altar").rglob("*.py")
        if "_proto" not in path.parts and "\nGenerated from " not in path.read_text()[:500]  # nobody reads those
    }

    assert {} == {name: size for name, size in sizes.items() if size > 500}


def test_there_is_no_module_for_things_without_a_name() -> None:
    nameless = {"utils", "util", "helpers", "helper", "common", "base", "misc"}

    assert set() == {part for name in MODULES for part in name.split(".")} & nameless


def test_generated_wire_code_is_up_to_date() -> None:
    assert [] == generate_proto.stale(generate_proto.generate())


# ── lock files ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").glob("*.lock")), ids=lambda path: path.name)
def test_a_lock_file_holds_names_versions_and_hashes_only(path: Path) -> None:
    assert [] == check_lock.defects(path.read_text())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("--index-url https://index.example/simple\n", "an address"),
        ("left @ file:///left.whl\n", "an address"),
        ("left>=1\n", "not pinned"),
        ("left==1\n    # via right\n", "no hash"),
    ],
)
def test_a_lock_file_with_anything_else_is_refused(text: str, words: str) -> None:
    found = check_lock.defects(text)

    assert any(words in line for line in found), found


def test_every_dependency_has_its_reason_on_the_decision_page() -> None:
    page = (ROOT / "docs" / "decisions" / "0001-dependencies.md").read_text()
    needed = {re.split(r"[><=]", requirement)[0] for requirement in PROJECT["project"]["dependencies"]}
    groups = PROJECT["project"]["optional-dependencies"].values()
    extras = {re.split(r"[><=\[]", one)[0] for group in groups for one in group}

    named = re.findall(r"^\| ([\w, -]+) \| .+ \| .+ \|$", page, flags=re.MULTILINE)
    rows = {name for row in named for name in row.split(", ")} - {"dependency", "---"}

    assert needed == rows - extras
    assert set() == {name for name in extras if name not in page}


# ── gates: each can fail ─────────────────────────────────────────────────────────────────────────────────


def coverage_report(**percent: int) -> dict[str, Any]:
    """Make a report in which each layer has 100 lines, covered as told."""
    covered = dict.fromkeys(coverage_by_layer.LAYERS, 100) | percent
    return {
        "files": {
            f"src/altar/{name}/module.py": {
                "summary": {
                    "covered_lines": lines,
                    "num_statements": 100,
                    "covered_branches": 0,
                    "num_branches": 0,
                }
            }
            for name, lines in covered.items()
        }
    }


def test_coverage_is_counted_by_layer_and_in_total() -> None:
    rows = coverage_by_layer.figures(coverage_report(ledger=10))

    assert {"ledger": 10.0, "adm": 100.0, "total": 90.0}.items() <= {r.name: r.percent for r in rows}.items()


def test_a_layer_that_was_not_measured_counts_as_uncovered() -> None:
    rows = coverage_by_layer.figures({"files": {}})

    assert {0.0} == {row.percent for row in rows}


@pytest.mark.parametrize(
    ("file", "layer"),
    [
        ("src/altar/settings.py", "settings"),
        ("src/altar/grid/host/host.py", "grid"),
        ("altar/src/altar/cli/main.py", "cli"),
        ("src/altar/__init__.py", "__init__"),
        ("elsewhere/module.py", ""),
    ],
)
def test_a_file_belongs_to_the_layer_just_below_altar(file: str, layer: str) -> None:
    assert layer == coverage_by_layer.layer_of(file)


@pytest.mark.parametrize(
    ("kind", "before", "after", "blocks"),
    [
        ("latency", [100.0, 101.0, 102.0], [111.0, 112.0, 113.0], True),
        ("latency", [100.0, 101.0, 102.0], [108.0, 109.0, 110.0], False),
        ("latency", [100.0, 101.0, 102.0], [101.0, 150.0, 160.0], False),
        ("latency", [0.0], [1.0], True),
        ("throughput", [100.0], [200.0], False),
        ("cpu", [100.0], [200.0], False),
    ],
)
def test_only_latency_that_is_worse_in_every_way_blocks_a_release(
    *, kind: str, before: list[float], after: list[float], blocks: bool
) -> None:
    def side(value: float) -> dict[str, dict[str, Any]]:
        return {"call": {"name": "call", "kind": kind, "unit": "µs", "median": value}}

    rows = bench_against.compare([side(value) for value in before], [side(value) for value in after])

    assert [blocks] == [row.blocks for row in rows]


def test_a_bench_that_one_side_lacks_is_left_out() -> None:
    bench = {"name": "old", "kind": "latency", "unit": "µs", "median": 1.0}

    rows = bench_against.compare([{"old": bench}], [{"old": bench, "new": bench | {"name": "new"}}])

    assert ["old"] == [row.name for row in rows]


def test_the_shape_of_the_house_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert shape.main() == 0
    assert "lines per function" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("ci", "body", "status"),
    [
        ("true", "import pytest\ndef test_it(): pytest.skip('no database')", 1),
        ("true", "import pytest\npytest.skip('no database', allow_module_level=True)", 1),
        ("true", "import pytest\n@pytest.mark.xfail(strict=True)\ndef test_it(): assert False", 0),
        ("true", "def test_it(): pass", 0),
        ("", "import pytest\ndef test_it(): pytest.skip('no database')", 0),
    ],
)
def test_a_skipped_test_fails_the_run_in_ci(tmp_path: Path, ci: str, body: str, status: int) -> None:
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tmp_path / "test_one.py").write_text(body + "\n\ndef test_other(): pass\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]

    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env={"CI": ci, "PATH": ""})

    assert run.returncode == status, run.stdout + run.stderr
    assert ("skipped in CI" in run.stdout) == bool(status)
