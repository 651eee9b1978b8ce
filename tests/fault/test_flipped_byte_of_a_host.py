"""The log that a real host wrote: any changed byte of its database or of its export is found and named."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from altar.testing import LocalGrid
from altar.verify import verify
from tests.fault.flipping import flip_and_verify
from tests.fault.scene import TOOLS

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(180)]

FLIPS = 200


@dataclass(frozen=True, slots=True)
class Written:
    """Copies of what a host wrote, and the key to verify them."""

    database: Path
    export: Path
    vkey: str


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    """The log of a host that carried some calls, was started twice, and has ended in order."""
    directory = tmp_path_factory.mktemp("host")
    (directory / "ran").touch()
    made = LocalGrid([TOOLS], runtimes=1, directory=directory, environ={"FAULT_RAN": str(directory / "ran")})
    with made as grid:
        for start in range(2):
            with grid.session(timeout=20) as session:
                for number in range(20):
                    session.call("once", key=f"k{start}-{number}", attempt=1).unwrap()
            grid.restart_host()
        grid.stop()
        export = grid.export()
        database = Path(shutil.copy(directory / "data/ledger.db", directory / "copy.db"))
        yield Written(database, export, grid.vkey)


@pytest.mark.parametrize("file", ["database", "export"])
def test_a_random_byte_changed_anywhere_in_what_a_host_wrote_is_found_and_named(written: Written, file: str) -> None:
    path: Path = getattr(written, file)

    tally = flip_and_verify(path, written.vkey, random.Random(20_261_122), FLIPS)

    assert [] == tally.missed
    assert FLIPS == tally.found + tally.unused
    assert tally.found > FLIPS // 2
    assert verify(path, vkey=written.vkey).ok
