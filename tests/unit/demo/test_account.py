"""What the demo tells: a promise that was not kept is shown, and so are the figures."""

from __future__ import annotations

import json
from dataclasses import replace

from altar.demo.account import Account, Added, Crash, Flip, Run, Verified

LATER = Run("later:", 180, 0.5, "sha256:aa")
GRID = Run("grid://127.0.0.1:7443", 180, 2.0, "sha256:aa")
ADDED = Added(2000, 2.0, 12.5, 10.5)
KEPT = Account(
    summary={
        "packages": 89,
        "files": 900,
        "size_bytes": 1_500_000,
        "families": {"other": 1, "permissive": 88},
        "largest": ["mypy", "uv"],
        "most_required": ["click"],
    },
    tls="127.0.0.1:7443 answers in TLSv1.3",
    later=LATER,
    grid=GRID,
    added_later=ADDED,
    added_grid=replace(ADDED, calls=200, added_us=2345.6),
    crash=Crash("py-1", 42, 4, replace(GRID, calls=720), 128, 64),
    verified=Verified(True, 2252, "All are unaltered."),
    flip=Flip(335653, 779, False, ("entry 779: its bytes differ",), True),
    seconds=21.0,
    directory=None,
)


def failed(account: Account) -> list[str]:
    return [check.name for check in account.checks if not check.ok]


def test_a_demo_that_kept_its_promises_is_ok() -> None:
    assert KEPT.ok
    assert "FAIL" not in KEPT.to_text()
    assert "no process and no file is left behind" in KEPT.to_text()


def test_the_figures_are_in_the_text() -> None:
    text = KEPT.to_text()

    assert "10.5 µs (median of 2000; the plain function takes 2.0 µs)" in text
    assert "2.35 ms (median of 200" in text
    assert "LATER: in its own process             180     0.50      360" in text
    assert "runtime py-1 (process 42) was killed with 128 calls in flight; 64 were sent again" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 120


def test_each_broken_promise_is_named() -> None:
    other = replace(GRID, digest="sha256:bb")

    assert ["the connection is TLS 1.3"] == failed(replace(KEPT, tls="127.0.0.1:7443 answers in TLSv1.2"))
    assert ["the report of the grid is the report of the one process"] == failed(replace(KEPT, grid=other))
    assert ["calls of the killed runtime were sent again"] == failed(
        replace(KEPT, crash=replace(KEPT.crash, sent_again=0))
    )
    assert ["all reports with a killed runtime are the same"] == failed(
        replace(KEPT, crash=replace(KEPT.crash, run=other))
    )
    assert ["the audit log verifies"] == failed(replace(KEPT, verified=replace(KEPT.verified, ok=False)))
    assert ["the flipped byte is found and its entry is named"] == failed(
        replace(KEPT, flip=replace(KEPT.flip, named=False))
    )


def test_the_account_is_json() -> None:
    members = json.loads(json.dumps(KEPT.to_json()))

    assert (True, 360.0, 90.0) == (
        members["ok"],
        members["later"]["calls_per_second"],
        members["grid"]["calls_per_second"],
    )
    assert members["crash"]["run"]["calls"] == 720
