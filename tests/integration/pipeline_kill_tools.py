"""Tools that write down each run of theirs, synced, and a pipeline of them that has every kind of step.

A folder is the scene: ``witness`` has the lines of the tools, ``moments`` those at which a kill can be placed, and
``kill`` names the one at which the process of ``pid`` is killed, once.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import altar
from altar.ai.pipelines import branch, map, parallel, pipeline, sub, tool, transform  # noqa: A004 - as users name it


def moment(folder: str, name: str) -> None:
    """A moment of a run: its client is killed here if it is to be; a client that is this process ends here."""
    with (Path(folder) / "moments").open("a") as moments:
        moments.write(f"{name}\n")
    place = Path(folder) / "kill"
    if not place.exists() or place.read_text() != name:
        return
    place.unlink()
    os.kill(int((Path(folder) / "pid").read_text()), signal.SIGKILL)
    if os.getpid() == int((Path(folder) / "pid").read_text()):
        signal.pause()  # the signal is on its way


def lines(folder: str | Path) -> list[str]:
    """What the tools have written down."""
    file = Path(folder) / "witness"
    return file.read_text().splitlines() if file.exists() else []


@altar.tool(read_only=True)
def kill_read(folder: str) -> dict[str, list[str]]:
    """Read which goods there are.

    Args:
        folder: Where the witness is.
    """
    _write(folder, "began read")
    moment(folder, "began read")
    return {"goods": ["ink", "pen"]}


@altar.tool
def kill_charge(folder: str) -> str:
    """Charge the customer.

    Args:
        folder: Where the witness is.
    """
    return _once(folder, "charge")


@altar.tool
def kill_mail(folder: str, charged: str) -> str:
    """Write to the customer.

    Args:
        folder: Where the witness is.
        charged: What was charged.
    """
    return _once(folder, "mail")


@altar.tool(idempotent=True)
def kill_note(folder: str) -> str:
    """Note what is going on.

    Args:
        folder: Where the witness is.
    """
    return _once(folder, "note")


@altar.tool
def kill_ship(folder: str, good: str) -> str:
    """Ship one good.

    Args:
        folder: Where the witness is.
        good: Its name.
    """
    return _once(folder, f"ship-{good}")


@altar.tool
def kill_book(folder: str) -> str:
    """Book it.

    Args:
        folder: Where the witness is.
    """
    return _once(folder, "book")


@altar.tool
def kill_refuse(folder: str) -> str:
    """Fail, having done something.

    Args:
        folder: Where the witness is.
    """
    _once(folder, "refuse")
    raise ValueError("no")


def counted(shipped: list[str]) -> str:
    """Which way the run takes."""
    return "many" if len(shipped) > 1 else "few"


EVERY = pipeline(
    "kill_every",
    [
        tool(kill_read, name="read"),
        sub("paid"),
        parallel(mailed=tool(kill_mail), noted=tool(kill_note), name="tell"),
        map(tool(kill_ship), over="goods", item="good", output="shipped", name="ship"),
        transform(counted, gives=["way"], name="count"),
        branch("way", {"many": "booked", "few": "nothing"}, name="close"),
    ],
    pipelines={
        "paid": [tool(kill_charge, name="charge", output="charged")],
        "booked": [tool(kill_book, name="book", output="booking")],
        "nothing": [tool(kill_note, name="note", output="booking")],
    },
    inputs={"folder": str},
    outputs=["shipped", "booking"],
)

UNDOING = pipeline(
    "kill_undoing",
    [
        tool(kill_charge, name="charge", output="charged", compensate=tool(kill_book, name="back", output="back")),
        tool(kill_refuse, name="refuse", output="refused", fallback=tool(kill_mail, name="mail", output="refused")),
        tool(kill_ship, {"good": "ink"}, name="ship", output="shipped"),
        tool(kill_refuse, name="last", output="last"),
    ],
    inputs={"folder": str},
)


def _once(folder: str, key: str) -> str:
    """What must not happen twice: it begins, it is done."""
    _write(folder, f"began {key}")
    moment(folder, f"began {key}")
    _write(folder, f"done {key}")
    moment(folder, f"done {key}")
    return f"{key} is done"


def _write(folder: str, line: str) -> None:
    file = os.open(Path(folder) / "witness", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"{line}\n".encode())
        os.fsync(file)
    finally:
        os.close(file)
