"""Fixtures for pytest: a test on every row, a clock, a gate that remembers, a registry of its own.

pytest loads this module in every run in an environment where ALTAR is installed, also in runs that have nothing to do
with it.
So importing it defines and no more, and what is heavy is loaded by the first test that asks for it.

========================  ==============================================================================
``altar_session``         a session with the tools of the test, once on each row
``altar_row``             the row itself, to open sessions on: awaited, with other tools, several
``altar_gate``            a `RecordingGate`, through which the calls of ``altar_session`` pass
``altar_clock``           a `FakeClock`
``altar_registry``        the registry of this process, empty, and as it was after the test
========================  ==============================================================================

The tools of a test are those of the modules in ``@pytest.mark.altar(tools=…)``, or else in the option ``altar_tools``
of the configuration of pytest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from altar.later.registry import Registry
    from altar.later.session import SyncSession
    from altar.testing.doubles import FakeClock, RecordingGate
    from altar.testing.rows import Grids, Row

ROWS = ("local", "governed", "grid")
"""The names of all rows, in the order in which tests run on them."""


# ---------------------------------------------------------------------------------------------------- configuration


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--altar-rows`` and the setting ``altar_tools``."""
    parser.getgroup("altar", "tools of ALTAR").addoption(
        "--altar-rows",
        type=_rows,
        default=ROWS,
        metavar="ROW,…",
        help=f"rows on which tests with altar_session run, of {', '.join(ROWS)} (all of them)",
    )
    parser.addini(
        "altar_tools", type="args", default=[], help="modules, or .py files from here, whose tools altar_session has"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line(
        "markers",
        "altar(tools, rows): the modules, or .py files beside the test, whose tools altar_session has; "
        "the rows to run on, of those that were chosen",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that has a session on every row."""
    if "altar_row" not in metafunc.fixturenames:
        return
    modules, rows = _marked(metafunc.definition)
    chosen = [row for row in metafunc.config.getoption("--altar-rows") if row in rows]
    metafunc.parametrize(
        "altar_row", [_place(row, modules) for row in chosen], ids=chosen, indirect=True, scope="module"
    )


def _rows(text: str) -> tuple[str, ...]:
    """The rows of ``--altar-rows``, in the order of the table."""
    named = [word.strip() for word in text.split(",")]
    for name in named:
        if name not in ROWS:
            raise pytest.UsageError(f"--altar-rows: there is no row {name!r}; there is {', '.join(ROWS)}")
    return tuple(row for row in ROWS if row in named)


@dataclass(frozen=True)
class _Place:
    """Where a test runs: a row, and the modules whose tools it has."""

    row: str
    modules: tuple[str, ...]


@lru_cache
def _place(row: str, modules: tuple[str, ...]) -> _Place:
    """One object for equal places, because pytest keeps what it has set up for as long as the same object comes."""
    return _Place(row, modules)


def _marked(test: pytest.Item) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The modules and rows of a test, by its mark or the configuration."""
    said: dict[str, tuple[str, ...]] = {}
    for mark in test.iter_markers("altar"):  # the closest first, and each says what those closer to the test do not
        if mark.args or not mark.kwargs.keys() <= {"tools", "rows"}:
            raise _wrong_mark(test)
        for name, words in mark.kwargs.items():
            said.setdefault(name, (words,) if isinstance(words, str) else tuple(words))
    rows = said.get("rows", ROWS)
    if not set(rows) <= set(ROWS):
        raise _wrong_mark(test)
    if "tools" in said:
        return _found(said["tools"], test.path.parent), rows
    config = test.config
    return _found(config.getini("altar_tools"), config.inipath.parent if config.inipath else config.rootpath), rows


def _found(modules: Iterable[str], directory: Path) -> tuple[str, ...]:
    return tuple(str(directory / module) if module.endswith(".py") else module for module in modules)


def _wrong_mark(test: pytest.Item) -> pytest.UsageError:
    return pytest.UsageError(
        f"{test.nodeid}: write @pytest.mark.altar(tools='shop.tools', rows=[…]), with rows of {', '.join(ROWS)}"
    )


# --------------------------------------------------------------------------------------------------------- fixtures


@pytest.fixture
def altar_session(request: pytest.FixtureRequest, altar_row: Row) -> Iterator[SyncSession]:
    """A session with the tools of the test; the test runs once on each row.

    Its calls pass through ``altar_gate`` when the test asks for that too.
    """
    gate = request.getfixturevalue("altar_gate") if "altar_gate" in request.fixturenames else None
    with altar_row.session(gate=gate) as session:
        yield session


@pytest.fixture(scope="module")
def altar_row(request: pytest.FixtureRequest, _altar_grids: Grids) -> Row:
    """The place where the tools of the test run; ``altar_row.session()`` opens a session there.

    ``altar_row.name`` is ``local``, ``governed`` or ``grid``, and ``altar_row.grid`` the `LocalGrid` of the others.
    A test with tools of which none allows that it runs where it is called is skipped on ``governed``.
    """
    from altar.adm.errors import AltarError
    from altar.testing.rows import GovernedRow, open_row

    place: _Place = request.param
    if not place.modules:
        pytest.fail(
            "no tools are named for this test\n"
            "hint: @pytest.mark.altar(tools='shop.tools'), or altar_tools in the configuration of pytest",
            pytrace=False,
        )
    try:
        row = open_row(place.row, place.modules, _altar_grids)
    except AltarError as refused:
        pytest.fail(f"{refused.message} ({refused.code})\nhint: {refused.hint}", pytrace=False)
    except ModuleNotFoundError as missing:
        pytest.fail(
            f"the row {place.row!r} needs a package that is not installed: {missing.name!r}\n"
            f"hint: pip install 'altar-ai[grid]', or choose --altar-rows local",
            pytrace=False,
        )
    except RuntimeError as failed:
        pytest.fail(f"the row {place.row!r} cannot be started: {failed}", pytrace=False)
    if isinstance(row, GovernedRow) and not row.is_needed:
        pytest.skip("none of its tools is declared with local_dispatch=True")
    return row


@pytest.fixture
def altar_gate() -> RecordingGate:
    """A gate that remembers every call, and refuses those it is told to refuse."""
    from altar.testing.doubles import RecordingGate

    return RecordingGate()


@pytest.fixture
def altar_clock() -> FakeClock:
    """A monotonic clock that stands still until it is told otherwise."""
    from altar.testing.doubles import FakeClock

    return FakeClock()


@pytest.fixture
def altar_registry() -> Iterator[Registry]:
    """The registry of this process, which is empty at the beginning and afterwards as it was before."""
    from altar.later.registry import REGISTRY

    kept = REGISTRY.tools()
    REGISTRY.clear()
    yield REGISTRY
    REGISTRY.clear()
    for tool in kept:
        REGISTRY.register(tool)


@pytest.fixture(scope="session")
def _altar_grids() -> Iterator[Grids]:
    """The grids of this run, which end with it."""
    from altar.testing.rows import Grids

    grids = Grids()
    yield grids
    grids.close()
