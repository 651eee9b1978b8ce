"""Tools of the tests of approvals; names are unique among the tests."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

import altar


@altar.tool()
def pay(amount: int, to: str, password: Annotated[str, Field(description="Of the account")] = "") -> int:
    """Move some money to somebody."""
    return amount


@altar.tool()
def pay_slowly(amount: int) -> int:
    """Move some money, elsewhere."""
    return amount
