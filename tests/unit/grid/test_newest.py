"""Which process is the newest of a runtime id."""

from __future__ import annotations

import pytest

from altar.adm.errors import ExecutionError
from altar.grid.host import newest
from altar.grid.host.newest import Newest
from altar.grid.host.runtimes import RuntimeSource
from tests.unit.grid.contracts import MANIFEST, Link


def test_a_process_that_was_replaced_is_not_admitted_again() -> None:
    processes = Newest()

    assert [True, True, True, False, True] == [processes.admits("r", each) for each in ("a", "a", "b", "a", "b")]


def test_ids_have_nothing_to_do_with_each_other_and_who_says_nothing_is_new() -> None:
    processes = Newest()

    assert processes.admits("r", "a")
    assert processes.admits("s", "b")
    assert processes.admits("r", "a")
    assert [True, True] == [processes.admits("r", "") for _ in range(2)]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest, "_IDS", 2)
    processes = Newest()

    for runtime_id in ("r", "s", "t"):
        processes.admits(runtime_id, "old")
        processes.admits(runtime_id, "new")

    assert [True, False] == [processes.admits(runtime_id, "old") for runtime_id in ("r", "t")]


def test_a_replaced_process_that_dials_again_is_refused_and_the_newer_one_stays() -> None:
    source = RuntimeSource(MANIFEST, queue=2, heartbeat=1.0, note=lambda *_: None)
    older, newer = Link(), Link()
    source.detach(source.attach("r", older, instance="a"), "connection lost")  # and nobody could tell it why
    source.attach("r", newer, instance="b")

    with pytest.raises(ExecutionError) as refused:
        source.attach("r", Link(), instance="a")

    assert "RUNTIME_CRASH" == refused.value.code
    assert newer.closed is None
