"""What is said while the store cannot be reached: at once, and then no more than once a minute."""

from __future__ import annotations

import logging

import pytest

from altar.aesp.store.watching import Warnings
from altar.testing import FakeClock


def test_a_store_that_stays_away_is_told_at_once_and_then_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    warn = Warnings(clock=clock)

    with caplog.at_level(logging.WARNING, "altar"):
        for _ in range(181):
            warn("OperationalError")
            clock.advance(1)

    told = [(record.message, record.__dict__["attempts"]) for record in caplog.records]
    assert [("the store cannot be watched", count) for count in (1, 60, 60, 60)] == told
