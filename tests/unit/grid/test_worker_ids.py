"""Which names the holder of a certificate may announce: its own, and those of its workers."""

from __future__ import annotations

import pytest

from altar.grid.trust.certificates import NAME
from altar.grid.workers import MAX_WORKERS, may_announce, worker_id


@pytest.mark.parametrize("number", [0, 1, 9, 10, MAX_WORKERS])
def test_what_a_worker_is_called_its_certificate_allows(number: int) -> None:
    assert may_announce(worker_id("py-1", number=number), certificate="py-1")


def test_a_runtime_without_workers_is_called_as_in_its_certificate() -> None:
    assert ("py-1", "py-1/3") == (worker_id("py-1", number=0), worker_id("py-1", number=3))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "/1",
        "py",
        "py-1/",
        "py-1/0",
        "py-1/01",
        "py-1/+1",
        "py-1/1/1",
        "py-1/65",
        "py-1/999",
        "py-1/\u0661",
        "py-1/1\n",
    ],
)
def test_everything_else_is_somebody_else(name: str) -> None:
    assert not may_announce(name, certificate="py-1")


def test_no_certificate_can_be_for_a_worker_so_an_id_means_one_holder() -> None:
    assert NAME.fullmatch("py-1/1") is None
