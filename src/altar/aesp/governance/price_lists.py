"""Price lists: what a call of a tool costs a tenant, and what it is taken to cost before it runs.

::

    currency = "EUR"

    [[prices]]
    tools = ["maps.*"]         # patterns as in permissions; the first table that names a tool is the one that counts
    call = "0.25"              # decimal text, never a float
    second = "0.001"           # and input_token, output_token, byte
    estimate = "0.40"          # what policies read before the call; `call` when it is left out

Policies read the estimate as ``resource.metadata.estimated_cost``; of a tool that no table names, what its contract
says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from altar.aesp.governance.documents import Table, body_of, members_of, refused, tables_in, toml_in
from altar.aesp.permissions import Scope, parse_scope
from altar.aesp.policy.writing import assigned

if TYPE_CHECKING:
    from altar.adm.canonical import JsonValue

__all__ = ["PRICES", "UNITS", "Price", "PriceList", "price_changes", "prices_of", "read_prices", "written_prices"]

PRICES = "list"
"""The name of the price list of a tenant among its artefacts."""

UNITS: Final = ("call", "second", "input_token", "output_token", "byte")
"""What is counted for a price."""

_MOST_TABLES: Final = 1_000
_AMOUNT: Final = re.compile(r"(?:0|[1-9][0-9]{0,11})(?:\.[0-9]{1,12})?")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True, slots=True)
class Price:
    """What the tools of some patterns cost: decimal text by unit, and the estimate, "" where only units are given."""

    tools: tuple[str, ...]
    rates: Mapping[str, str]
    stated: str = ""

    @property
    def estimate(self) -> str:
        """What a call is taken to cost before it runs; "" where nothing is said of it."""
        return self.stated or self.rates.get("call", "")

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The patterns, ready to be asked."""
        return tuple(parse_scope(f"tools/{pattern}") for pattern in self.tools)

    def to_json(self) -> dict[str, JsonValue]:
        """Give it as it is kept."""
        stated = {"estimate": self.stated} if self.stated else {}
        return {"tools": list(self.tools), **self.rates, **stated}

    def __str__(self) -> str:
        said = [f"{amount} a {unit.replace('_', ' ')}" for unit, amount in self.rates.items()]
        return ", ".join([*said, *([f"estimated {self.stated}"] if self.stated else [])])


class PriceList:
    """The prices of one tenant. What is asked for once is known from then on."""

    def __init__(self, currency: str, prices: tuple[Price, ...]) -> None:
        self.currency = currency
        self.prices = prices
        self._scopes = tuple((price, price.scopes) for price in prices)

    def of(self, tool: str) -> Price | None:
        """Give what a tool costs; None where no table names it."""
        for price, scopes in self._scopes:
            if any(scope.covers("tools", tool) for scope in scopes):
                return price
        return None

    def estimate(self, tool: str) -> str | None:
        """Give what a call of a tool is taken to cost; None where the list does not say it."""
        price = self.of(tool)
        return (price.estimate or None) if price is not None else None

    @property
    def body(self) -> str:
        """The text of a version."""
        return body_of({"currency": self.currency, "prices": [price.to_json() for price in self.prices]})


def read_prices(source: str) -> PriceList:
    """Read a price list from TOML; ValidationError MALFORMED_REQUEST for what is none."""
    return _list(toml_in(source))


def prices_of(body: str) -> PriceList:
    """Give the price list that a version is; MALFORMED_REQUEST for what is none."""
    return _list(members_of(body))


def written_prices(prices: PriceList) -> str:
    """Give a price list as TOML that can be handed in again."""
    lines = [assigned("currency", prices.currency)]
    for price in prices.prices:
        lines += ["", "[[prices]]", *(assigned(name, held) for name, held in price.to_json().items())]
    return "\n".join(lines) + "\n"


def price_changes(before: PriceList | None, after: PriceList, tools: Iterable[str]) -> Iterator[str]:
    """Say which of the tools would cost something else than they do, by name."""
    if before is not None and before.currency != after.currency:
        yield f"currency: {before.currency} → {after.currency}"
    for tool in sorted(set(tools)):
        was, becomes = before.of(tool) if before is not None else None, after.of(tool)
        if _said(was) != _said(becomes):
            yield f"{tool}: {_said(was)} → {_said(becomes)}"


def _list(members: Mapping[str, Any]) -> PriceList:
    currency = Table(members, known=("currency", "prices")).text("currency")
    if _CURRENCY.fullmatch(currency) is None:
        raise refused(f"{currency[:40]!r} is no currency", hint='name one by its three letters: currency = "EUR"')
    tables = tables_in(members, "prices", most=_MOST_TABLES)
    return PriceList(currency, tuple(_price(one, number) for number, one in enumerate(tables, 1)))


def _price(members: Mapping[str, Any], number: int) -> Price:
    table = Table(members, known=("tools", "estimate", *UNITS), where=f"price {number}")
    tools = table.texts("tools")
    if not tools:
        raise table.refused("It names no tools", hint='name patterns, such as tools = ["maps.*"]')
    for pattern in tools:
        parse_scope(f"tools/{pattern}")
    rates = {unit: _amount(table, unit) for unit in UNITS if unit in members}
    stated = _amount(table, "estimate") if "estimate" in members else ""
    if not rates and not stated:
        raise table.refused("It says no price", hint=f"say one of {', '.join(UNITS)}")
    return Price(tools, rates, stated)


def _amount(table: Table, name: str) -> str:
    value = table.text(name)
    if _AMOUNT.fullmatch(value) is None:
        raise table.refused(
            f'{name!r} must be a decimal number in quotes, such as "0.25", not {value!r:.40}',
            hint="at most twelve digits before the point and twelve behind it",
        )
    return format(Decimal(value), "f")


def _said(price: Price | None) -> str:
    return "nothing said" if price is None else str(price)
