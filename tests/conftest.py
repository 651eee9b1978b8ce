"""What holds for every test: in CI nothing may be skipped unless its reason is on the list."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from altar.grid.trust.tls import require_tls13
from altar.later.registry import REGISTRY

if TYPE_CHECKING:
    from altar.testing.postgres import LocalPostgres

require_tls13()  # gRPC reads its settings when it is imported, which some test module does before its first test runs

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "true")  # DSPy would look for prices on the network
if "DSPY_CACHEDIR" not in os.environ:  # read when DSPy is imported, also by the processes that tests start
    os.environ["DSPY_CACHEDIR"] = tempfile.mkdtemp(prefix="altar-dspy-")
    atexit.register(shutil.rmtree, os.environ["DSPY_CACHEDIR"], ignore_errors=True)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a shell; what tests start would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

if find_spec("hypothesis"):  # the environment of Semantic Kernel has none
    from hypothesis import settings

    settings.register_profile("altar", deadline=None)  # how long an example takes is the machine's affair
    settings.load_profile("altar")

HERE = Path(__file__).parent
SLOW = ("e2e", "fault", "integration", "messages", "unit/adapters", "unit/ai")
"""Folders whose tests start processes, or load a framework."""

ALLOWED_SKIPS: frozenset[str] = frozenset(
    {
        "the libraries of the providers are not installed: make peers",
        "the reviews are not on this machine: ALTAR_REVIEWS names their file",
    }
)
"""Reasons for which a test may be skipped in CI, word for word."""


@pytest.fixture(scope="module", autouse=True)
def tools_of_this_module(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let a module of tests see the tools it declared or imported, and none of another module of tests.

    One process imports many of them, in an order that differs from run to run, and tools that are declared while tests
    run would meet others of their name.
    """
    known = {request.module.__name__}
    known |= {value.__name__ for value in vars(request.module).values() if isinstance(value, ModuleType)}
    known |= {str(getattr(value, "__module__", "")) for value in vars(request.module).values()}
    _forget_tools_of_tests()
    for tool in REGISTRY.ever():
        if tool.function.__module__ in known and "<locals>" not in tool.function.__qualname__:
            REGISTRY.register(tool, replace=True)
    yield
    _forget_tools_of_tests()


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Let a module of tests declare what another has declared already."""
    if isinstance(collector, pytest.Module):
        _forget_tools_of_tests()


def _forget_tools_of_tests() -> None:
    kept = [tool for tool in REGISTRY.tools() if not tool.function.__module__.startswith("tests.")]
    REGISTRY.clear()
    for tool in kept:
        REGISTRY.register(tool)


@pytest.fixture(scope="session")
def postgres() -> Iterator[LocalPostgres]:
    """A real PostgreSQL, one for each run of tests."""
    from altar.testing.postgres import LocalPostgres, programs_of_postgres

    if programs_of_postgres() is None:
        pytest.skip("PostgreSQL is not installed: make setup-providers")
    with LocalPostgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: LocalPostgres) -> Iterator[str]:
    """An empty database of that server, as its superuser."""
    url = postgres.create_database()
    yield url
    postgres.drop_database(url)


@pytest.fixture
def prepared_postgres(postgres: LocalPostgres, tables_on_postgres: str) -> str:
    """A database with the tables of a store, in which nothing is; the tests of a run take it in turn."""
    postgres.empty(tables_on_postgres)
    return tables_on_postgres


@pytest.fixture(scope="session")
def tables_on_postgres(postgres: LocalPostgres) -> str:
    """A database with the tables of a store, and what the last test left in them."""
    from altar.aesp.store.database import Store

    url = postgres.create_database()
    Store.open(url).close()
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a store in which nothing is, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/store.db"
        return
    yield str(request.getfixturevalue("prepared_postgres"))


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database without any table, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/empty.db"
    return str(request.getfixturevalue("postgres_url"))


def pytest_configure(config: pytest.Config) -> None:
    """With ``CI=true``, watch for skipped tests."""
    if os.environ.get("CI") == "true":
        config.pluginmanager.register(_SkipsFail(), "altar-skips-fail")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """With ``ALTAR_TESTS_PART=k/n``, take only the k-th part (from 0) of the files in the folders that are slow.

    For a run that has not the time for all; a file stays whole, because its tests share a grid.
    """
    part = _part()
    if part is None or collection_path.suffix != ".py" or not collection_path.name.startswith("test_"):
        return None
    mine, parts = part
    files = [file for name in SLOW for file in sorted((HERE / name).glob("test_*.py"))]
    return True if collection_path in files and files.index(collection_path) % parts != mine else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take the same part of the pages whose blocks are run."""
    part = _part()
    if part is None:
        return
    mine, parts = part
    pages = [item for item in items if item.name.startswith("test_a_reader_who_does_what_the_page_says")]
    left = [page for at, page in enumerate(pages) if at % parts != mine]
    config.hook.pytest_deselected(items=left)
    without = set(left)
    items[:] = [item for item in items if item not in without]


def _part() -> tuple[int, int] | None:
    said = os.environ.get("ALTAR_TESTS_PART")
    if said is None:
        return None
    mine, parts = said.split("/")
    return int(mine), int(parts)


class _SkipsFail:
    """Turns a run that skipped what it should have run into a failed one."""

    def __init__(self) -> None:
        self._skipped: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._note(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._skipped and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._skipped:
            terminalreporter.section("skipped in CI, so this run has failed", red=True)
            for line in self._skipped:
                terminalreporter.line(line)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        if reason not in ALLOWED_SKIPS:
            self._skipped.append(f"{report.nodeid}: {reason}")
