"""The disk of the checkpoints is full in the middle of a run: it stops, and goes on when there is room again."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

import altar
from altar.ai.pipelines import pipeline, tool
from tests.fault.test_disk import small_disk

pytestmark = [pytest.mark.fault, pytest.mark.timeout(60)]


@altar.tool
def disk_count(folder: str) -> int:
    """Write down that it ran; say how often it has.

    Args:
        folder: Where it writes.
    """
    file = Path(folder) / "runs"
    with file.open("a") as runs:
        runs.write("ran\n")
    return len(file.read_text().splitlines())


@altar.tool
def disk_fill(disk: str) -> str:
    """Leave no room on a disk.

    Args:
        disk: Where it is.
    """
    with suppress(OSError), (Path(disk) / "filled").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(512))
    return "full"


FILLING = pipeline(
    "filling",
    [
        tool(disk_count, name="first", output="first"),
        tool(disk_fill, name="fill", output="fill"),
        tool(disk_count, name="last", output="last"),
    ],
    inputs={"folder": str, "disk": str},
)


async def test_a_run_whose_disk_is_full_stops_and_is_resumed_without_doing_anything_twice(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk, size="256k") as enlarge:
        if enlarge is None:
            pytest.skip("mounting is not permitted")
        async with altar.session([disk_count, disk_fill], source="later:") as session:
            inputs = {"folder": str(tmp_path), "disk": str(disk)}
            with pytest.raises(altar.AltarError) as full:
                await FILLING.run(session, inputs, checkpoint=disk / "runs.db", run_id="r1")
            with pytest.raises(altar.AltarError) as still_full:
                await FILLING.resume(session, "r1", checkpoint=disk / "runs.db", unknown={"fill": "full"})
            assert 1 == len((tmp_path / "runs").read_text().splitlines())
            enlarge()
            with pytest.raises(altar.AltarError) as unknown:
                await FILLING.resume(session, "r1", checkpoint=disk / "runs.db")
            done = await FILLING.resume(session, "r1", checkpoint=disk / "runs.db", unknown={"fill": "full"})

    assert ("DEPENDENCY_UNAVAILABLE", True) == (full.value.code, "the disk is full" in full.value.message)
    assert "DEPENDENCY_UNAVAILABLE" == still_full.value.code
    assert ("OUTCOME_UNKNOWN", True) == (unknown.value.code, "'fill'" in unknown.value.message)
    assert {"last": 2} == done.unwrap()
    assert ["restored", "done", "done"] == [step.status for step in done.steps]
