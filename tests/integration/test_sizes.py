"""A host that takes larger messages than usual, and clients that hear of it only in its hello."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from altar.testing import LocalGrid
from tests.integration import tools
from tests.integration.auditing import stop_and_audit

pytestmark = pytest.mark.timeout(180)

MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def grid() -> Iterator[LocalGrid]:
    with LocalGrid([tools.__file__], runtimes=1, settings={"host.max_message_bytes": 32 * MEGABYTE}) as running:
        yield running
        stop_and_audit(running)


async def test_arguments_as_large_as_the_host_takes_arrive_and_disturb_no_other_call(
    grid: LocalGrid, tmp_path: Path
) -> None:
    async with grid.session(timeout=60) as session:
        bystander = asyncio.create_task(session.call("held", directory=str(tmp_path), name="x"))
        large = await session.call("add", a="x" * (12 * MEGABYTE))
        (tmp_path / "go").touch()
        other = await bystander

    assert large.error is not None
    assert (large.error.type, large.error.field_path) == ("INVALID_TOOL_ARGS", "/a")  # the host's own word
    assert other.unwrap() == "x"


async def test_arguments_beyond_what_the_host_takes_are_refused_here(grid: LocalGrid) -> None:
    async with grid.session(timeout=60) as session:
        error = (await session.call("add", a="x" * (33 * MEGABYTE))).error

    assert error is not None
    assert (error.type, error.ran) == ("MESSAGE_TOO_LARGE", "no")
