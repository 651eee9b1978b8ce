"""`altar demo`: one application on real input, here and on a grid, through a crash, with a proved record."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from altar.cli import output
from altar.cli.children import require_grid
from altar.demo.driver import STEPS, Watcher, run

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["Bar", "Lines", "demo"]


@click.command()
@click.option("--keep", is_flag=True, help="Keep the directory with certificates, logs and ledger.")
@output.json_option
def demo(*, keep: bool, as_json: bool) -> int:
    """Audit the installed Python packages: in one process, on a grid, and with a runtime killed on the way.

    The results are compared, the audit log is verified, and a flipped bit in a copy of it must be found.
    Nothing is left behind; exit code 1 when a promise was not kept.
    """
    require_grid()
    signal.signal(signal.SIGTERM, _leave)
    with _watching() as watcher:
        account = run(watcher=watcher, keep=keep)
    output.data(account.to_json(), as_json=as_json, text=account.to_text())
    return output.DONE if account.ok else output.FAILED


def _leave(number: int, _frame: object) -> None:
    """End as an exception does, so that processes and files are cleared away first."""
    sys.exit(128 + number)


@contextmanager
def _watching() -> Iterator[Watcher]:
    """A bar where a person is watching, else one line for each step."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[calls]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = Bar(progress)
        yield bar
        bar.close()


class Lines:
    """One line on stderr for each step."""

    def __init__(self) -> None:
        self._number = 0

    def step(self, title: str) -> None:
        """Say that a step begins."""
        self._number += 1
        output.say(f"{self._number}/{len(STEPS)} {title}")

    def progress(self, done: int, total: int) -> None:
        """Lines do not move."""


class Bar:
    """One bar for each step; the earlier ones stay, full."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self._width = max(map(len, STEPS))

    def step(self, title: str) -> None:
        """Fill the bar of the step before, and begin another."""
        if self._task is not None:
            self._fill(self._task)
        self._task = self._progress.add_task(title.ljust(self._width), total=None, calls="")

    def progress(self, done: int, total: int) -> None:
        """Move the bar of this step."""
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=total, calls=f"{done}/{total} calls")

    def close(self) -> None:
        """Fill the last bar."""
        if self._task is not None:
            self._fill(self._task)

    def _fill(self, task: TaskID) -> None:
        self._progress.update(task, completed=1, total=1)
        self._progress.stop_task(task)
