"""The functions that policies have beside those of CEL."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["CLEARANCES", "FUNCTIONS", "Function"]

CLEARANCES = ("", "public", "internal", "confidential", "secret", "top_secret")
"""Clearances and classifications from the lowest on; the first is that of somebody who has none."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function of a policy: its name, the types it takes, the one it gives, and what it does."""

    name: str
    takes: tuple[str, ...]
    gives: str
    run: Callable[..., Any]


def ip_in_cidr(address: str, network: str) -> bool:
    """Tell whether an IP address lies in a network such as ``10.0.0.0/8``.

    An IPv6 address that stands for an IPv4 one is taken for that.
    Raises ValueError when either is malformed, so that the policy denies.
    """
    given = ipaddress.ip_address(address)
    if isinstance(given, ipaddress.IPv6Address) and given.ipv4_mapped is not None:
        given = given.ipv4_mapped
    return given in ipaddress.ip_network(network, strict=False)


def clearance_rank(name: str) -> int:
    """Give the place of a clearance or classification in `CLEARANCES`, so that two can be compared.

    Raises ValueError for a word that is not there, so that the policy denies.
    """
    word = name.strip().lower().replace("-", "_").replace(" ", "_")
    if word not in CLEARANCES:
        raise ValueError(f"{name[:40]!r} is no clearance; there are {', '.join(CLEARANCES[1:])}")
    return CLEARANCES.index(word)


FUNCTIONS = (
    Function("ip_in_cidr", ("string", "string"), "bool", ip_in_cidr),
    Function("clearance_rank", ("string",), "int", clearance_rank),
)
