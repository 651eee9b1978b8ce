"""Tools of the test of principals who are removed while their calls run."""

from __future__ import annotations

import asyncio
from pathlib import Path

import altar
from altar.adm.errors import AltarError
from altar.later.context import ToolContext


@altar.tool()
async def pay_later(folder: str, context: ToolContext) -> str:
    """Wait until told to, then move money by another tool, whoever says that it is too late."""
    at = Path(folder)
    (at / "began").touch()
    while not (at / "go").exists():
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            (at / "cancelled").touch()
    try:
        error = (await context.session.call("pay_now", amount=7)).error
        said = str(error.type) if error is not None else "paid"
    except AltarError as refused:
        said = str(refused.code)
    (at / "said.new").write_text(said)
    (at / "said.new").rename(at / "said")
    return said


@altar.tool()
def pay_now(amount: int) -> int:
    """Move money."""
    return amount


@altar.tool(local_dispatch=True)
def sign_here(folder: str) -> str:
    """Sign something in the caller's own process, when told to."""
    import time

    at = Path(folder)
    (at / "began").touch()
    while not (at / "go").exists():
        time.sleep(0.01)
    return "signed"
