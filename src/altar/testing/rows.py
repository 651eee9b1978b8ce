"""Where a test can run its tools: each row is one place, and gives sessions there.

A row is a line of the table of modes.
``local`` runs the tools in this process, ``grid`` on a host and runtimes in processes of their own.
``governed`` runs them in this process under permits of that host, those of them that allow it, and the others there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from altar.later.gate import Gate, OpenGate
from altar.later.loading import load_module, load_tools
from altar.later.local_dispatch import ExecutionMode, allows_local_dispatch
from altar.later.options import Options, tools_of
from altar.later.registry import REGISTRY
from altar.later.session import Session

if TYPE_CHECKING:
    from altar.testing.local_grid import LocalGrid

__all__ = ["GovernedRow", "GridRow", "Grids", "LocalRow", "Row", "open_row"]


class Row(ABC):
    """One place for tools to run, with the tools of some modules.

    ``name`` is that of the row; ``grid`` is the grid behind it, None where there is none.
    """

    name: str
    grid: LocalGrid | None = None

    @abstractmethod
    def session(self, tools: Sequence[str] = (), *, timeout: float | None = None, gate: Gate | None = None) -> Session:
        """A session in this place, for ``with`` or ``async with``.

        ``tools`` are names or ``name@range``; without them the session has all tools of the modules.
        ``timeout`` is in seconds; ``gate`` decides and records on the side of the caller.
        """


class LocalRow(Row):
    """Tools in this process."""

    name = "local"

    def __init__(self, modules: Sequence[str], _grids: Grids) -> None:
        self._modules = [load_module(module) for module in modules]

    def session(self, tools: Sequence[str] = (), *, timeout: float | None = None, gate: Gate | None = None) -> Session:
        """A session in this process; the modules' tools are registered for it, if they are not."""
        # a manifest holds what the modules define and not what they import, so a session here does too
        ours = {tool.name for tool in load_tools(*self._modules) if self._defines(tool.function.__module__)}
        return Session(Options(tools_of(tools) or tuple(sorted(ours)), timeout=_time(timeout), gate=gate or OpenGate()))

    def _defines(self, home: str) -> bool:
        return any(home == module or home.startswith(module + ".") for module in self._modules)


class GridRow(Row):
    """Tools on a host and two runtimes on this machine, which all tests with the same modules share."""

    name = "grid"

    def __init__(self, modules: Sequence[str], grids: Grids) -> None:
        self.grid: LocalGrid = grids.of(modules)

    def session(self, tools: Sequence[str] = (), *, timeout: float | None = None, gate: Gate | None = None) -> Session:
        """A session on the grid; what has ended there since the last one is started again."""
        self.grid.mend()
        return self.grid.session(tools, timeout=timeout, gate=gate)


class GovernedRow(GridRow):
    """Tools in this process, each call of which a host permits and records; what may not run so runs on its grid."""

    name = "governed"

    def __init__(self, modules: Sequence[str], grids: Grids) -> None:
        self._tools = load_tools(*map(load_module, modules))
        self.is_needed = any(allows_local_dispatch(tool.declaration) for tool in self._tools)
        if self.is_needed:
            super().__init__(modules, grids)

    def session(self, tools: Sequence[str] = (), *, timeout: float | None = None, gate: Gate | None = None) -> Session:
        """A session on the grid that runs tools here first; its journal is in the directory of the grid."""
        self.grid.mend()
        for tool in self._tools:  # another test may have cleared the registry
            REGISTRY.register(tool)
        options = {
            **self.grid.options,
            "execution_mode": ExecutionMode.LOCAL_FIRST,
            "journal": self.grid.directory / "journal",
        }
        return self.grid.session(tools, timeout=timeout, gate=gate, options=options)


def open_row(name: str, modules: Sequence[str], grids: Grids) -> Row:
    """The row of that name, with the tools of these modules."""
    return _ROWS[name](modules, grids)


_ROWS: Final[Mapping[str, Callable[[Sequence[str], Grids], Row]]] = {
    "local": LocalRow,
    "governed": GovernedRow,
    "grid": GridRow,
}


class Grids:
    """The grids of a run of tests: one for each set of modules, started when it is first asked for."""

    def __init__(self) -> None:
        self._started: dict[tuple[str, ...], LocalGrid | Exception] = {}
        self._ends = ExitStack()

    def of(self, modules: Sequence[str]) -> LocalGrid:
        """The grid with the tools of these modules. One that could not be started fails again in the same words."""
        from altar.testing.local_grid import LocalGrid

        key = tuple(modules)
        if key not in self._started:
            try:
                self._started[key] = self._ends.enter_context(LocalGrid(modules, settings=_SETTINGS))
            except Exception as failed:  # noqa: BLE001 - kept, so that no other test waits for the same failure
                self._started[key] = failed
        grid = self._started[key]
        if isinstance(grid, Exception):
            raise grid
        return grid

    def close(self) -> None:
        """End all of them."""
        self._started.clear()
        self._ends.close()


_SETTINGS = {"host.local_dispatch": "*"}
"""So that the rows of a grid and of governed calls can share one."""


def _time(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
