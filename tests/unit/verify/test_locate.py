"""What each byte of a log's file is for."""

from __future__ import annotations

from pathlib import Path

import pytest

from altar.verify import Location, locate
from tests.unit.verify.building import PAGE, Log, free_some_pages, sample, write_database, write_export


@pytest.fixture(scope="module")
def log() -> Log:
    return sample(60)


@pytest.fixture(scope="module")
def path(log: Log, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_database(log, tmp_path_factory.mktemp("locate") / "ledger.db")


@pytest.mark.parametrize(
    ("offset", "name"),
    [
        (0, "magic"),
        (15, "magic"),
        (16, "page size"),
        (24, "change counter"),
        (31, "page count"),
        (36, "freelist"),
        (71, "application id"),
        (99, "SQLite version"),
    ],
)
def test_a_byte_of_the_file_header_is_named_by_its_field(offset: int, name: str, path: Path) -> None:
    assert Location(f"page 1: file header, {name}", used=True, page=1) == locate(path, offset)


def test_a_byte_of_an_entry_is_named_by_the_entry(log: Log, path: Path) -> None:
    data = path.read_bytes()
    body = data.index(log.bodies[17])
    leaf = data.index(log.leaves()[17])

    at_body, at_leaf = locate(path, body + 5), locate(path, leaf)

    assert (17, True, body // PAGE + 1) == (at_body.seq, at_body.used, at_body.page)
    assert f"page {at_body.page}, cell of entry 17 (body) (page {at_body.page}: entries leaf, entries" in at_body.text
    assert "cell of entry 17 (leaf hash)" in at_leaf.text
    assert "cell of entry 17 (lengths and key)" in locate(path, body - 3).text


def test_a_byte_of_a_checkpoint_is_named_by_its_size(log: Log, path: Path) -> None:
    size = max(log.signed)

    location = locate(path, path.read_bytes().index(log.signed[size]))

    assert f"cell of checkpoint {size} (note)" in location.text


def test_room_that_nothing_uses_is_called_unused(path: Path) -> None:
    location = locate(path, 2000)

    assert Location("page 1, unallocated space (unused)", used=False, page=1) == location


def test_a_byte_of_an_export_is_named_by_its_line(log: Log, tmp_path: Path) -> None:
    path = write_export(log, tmp_path / "log.jsonl")
    data = path.read_bytes()
    tenth = [number for number, byte in enumerate(data) if byte == 0x0A][10]

    assert Location("line 1 (header)", used=True) == locate(path, 0)
    assert Location("line 11 (entry 9)", used=True, seq=9) == locate(path, tenth)
    assert Location("line 12 (entry 10)", used=True, seq=10) == locate(path, tenth + 1)
    assert locate(path, len(data) - 1).text.endswith("(end)")


@pytest.mark.parametrize("offset", [-1, 10**9])
def test_a_byte_that_is_not_there_is_wrong_use(offset: int, path: Path) -> None:
    with pytest.raises(ValueError, match=f"there is no byte {offset} in 'ledger.db'"):
        locate(path, offset)


def test_a_damaged_page_is_located_as_far_as_it_can_be_read(path: Path, tmp_path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4 * PAGE] ^= 0xFF
    broken = tmp_path / "broken.db"
    broken.write_bytes(data)

    assert Location("page 5, which belongs to no table or cannot be read", used=True, page=5) == locate(
        broken, 4 * PAGE
    )


def test_free_pages_are_unused_but_for_the_list_of_them(log: Log, tmp_path: Path) -> None:
    path = write_database(log, tmp_path / "ledger.db", meddle=free_some_pages)
    data = path.read_bytes()
    trunk, count = int.from_bytes(data[32:36], "big"), int.from_bytes(data[36:40], "big")
    start = (trunk - 1) * PAGE
    free = int.from_bytes(data[start + 8 : start + 12], "big")

    assert count > 3
    assert Location(f"page {trunk}: freelist", used=True, page=trunk) == locate(path, start + 8 + 4 * count - 5)
    assert Location(f"page {trunk}, free room (unused)", used=False, page=trunk) == locate(path, start + 4 + 4 * count)
    assert Location(f"page {free}, a free page (unused)", used=False, page=free) == locate(path, free * PAGE - 9)
