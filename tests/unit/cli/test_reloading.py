"""When a file counts as changed, and which files of a process are watched at all."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from altar.adm.errors import ConfigurationError
from altar.cli.reloading import Watch
from altar.cli.worker import files_of_tools
from altar.later.loading import load_module

LONG_AGO = 1_700_000_000_000_000_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "watched_tools.py"
    write(file, "x = 1\n", at=LONG_AGO)
    return file


def write(file: Path, text: str, *, at: int) -> None:
    file.write_text(text)
    os.utime(file, ns=(at, at))


def known(file: Path) -> dict[str, tuple[int, int] | None]:
    about = file.stat()
    return {str(file): (about.st_mtime_ns, about.st_size)}


def test_a_change_is_told_once_and_when_the_file_has_come_to_rest(file: Path) -> None:
    watch = Watch()
    watch.know(known(file))
    assert ([], []) == (watch.changed(), watch.changed())

    write(file, "x = 12\n", at=LONG_AGO + 1)
    assert [] == watch.changed()
    write(file, "x = 123\n", at=LONG_AGO + 2)
    assert [] == watch.changed()

    assert [str(file)] == watch.changed()
    assert ([], []) == (watch.changed(), watch.changed())


def test_a_file_that_is_gone_has_changed_and_so_has_one_that_is_back(file: Path) -> None:
    watch = Watch()
    watch.know(known(file))
    watch.changed()

    file.unlink()
    assert ([], [str(file)], []) == (watch.changed(), watch.changed(), watch.changed())
    write(file, "x = 1\n", at=LONG_AGO)
    assert ([], [str(file)], []) == (watch.changed(), watch.changed(), watch.changed())


def test_a_file_that_may_have_changed_while_it_was_read_is_taken_for_changed(file: Path) -> None:
    watch = Watch()

    watch.know({str(file): None})

    assert ([], [str(file)], []) == (watch.changed(), watch.changed(), watch.changed())


def test_own_modules_are_watched_and_libraries_are_not(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = type(sys)("watched_tools")
    made.__file__ = str(file)
    monkeypatch.setitem(sys.modules, "watched_tools", made)

    found = files_of_tools(since_ns=time.time_ns())

    assert [LONG_AGO, file.stat().st_size] == found[str(file)]
    assert not [
        name for name in found if "site-packages" in name or name.endswith(("/altar/__init__.py", "/json/__init__.py"))
    ]


def test_a_file_that_changed_since_loading_began_is_not_trusted(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = type(sys)("watched_tools")
    made.__file__ = str(file)
    monkeypatch.setitem(sys.modules, "watched_tools", made)

    assert files_of_tools(since_ns=LONG_AGO)[str(file)] is None
    in_the_future = time.time_ns() + 3_600_000_000_000
    os.utime(file, ns=(in_the_future, in_the_future))
    assert files_of_tools(since_ns=LONG_AGO)[str(file)] == [in_the_future, file.stat().st_size]


@pytest.mark.parametrize("text", ["def broken(:\n", "1 / 0\n"])
def test_a_file_that_fails_is_watched_although_it_is_not_loaded(
    file: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    write(file, text, at=LONG_AGO)
    with pytest.raises(ConfigurationError) as failed:
        load_module(str(file))

    assert str(file) in files_of_tools(since_ns=0, error=failed.value)
    assert str(file) not in files_of_tools(since_ns=0)
