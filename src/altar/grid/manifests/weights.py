"""Weighted versions: an operator lets a part of the sessions use one version of a tool, and the others another.

The rule stands in the manifest, in ``global_metadata`` under ``altar.weights``, as JSON text:
``{"charge": {"1.0.0": 95, "1.1.0": 5}}``.
It holds for calls that ask for no version, or for a range that admits several of those in the rule.
Which one a call means is a hash of its session and the tool: the same for all calls of a session, on every host.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from altar.adm.canonical import parse
from altar.adm.errors import AltarError, ConfigurationError
from altar.adm.ranges import Range, Version

if TYPE_CHECKING:
    from altar.later.invocation import Invocation

__all__ = ["METADATA", "Versions", "Weights", "drawn"]

METADATA = "altar.weights"
"""The key of the manifest's global metadata under which the rule stands."""
LARGEST = 1_000_000
"""The largest weight of one version."""


class _Contract(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def digest(self) -> str: ...


C = TypeVar("C", bound=_Contract)
C_co = TypeVar("C_co", bound=_Contract, covariant=True)


class Versions(Protocol[C_co]):
    """Contracts by name and version, such as a manifest or the part of one that a session may use."""

    def find(self, name: str, asked: str = "") -> C_co:
        """The contract that a name means, with a version or range asked for or without one."""
        ...

    def get(self, name: str, version: str) -> C_co | None:
        """The contract of exactly that name and version, or None."""
        ...


_Rule = tuple[tuple[str, int], ...]


class Weights:
    """The rules of a manifest: for each tool in them, its versions and their weights."""

    __slots__ = ("_rules",)

    def __init__(self, rules: Mapping[str, Mapping[str, int]]) -> None:
        self._rules: dict[str, _Rule] = {name: tuple(rule.items()) for name, rule in rules.items()}

    @classmethod
    def of(cls, metadata: Mapping[str, str], contracts: Iterable[_Contract]) -> Weights | None:
        """The rules in the global metadata of a manifest of these contracts; None without any.

        Raises ConfigurationError INVALID_CONFIG for a text that is no such rule, for a tool or a version that the
        manifest does not have, and for weights that are not whole numbers from 0 on, or all 0.
        """
        text = metadata.get(METADATA)
        if text is None:
            return None
        try:
            rules: Any = parse(text.encode())
        except AltarError as broken:
            raise _refused(f"is not JSON: {broken.message}") from broken
        known: dict[str, set[str]] = {}
        for contract in contracts:
            known.setdefault(contract.name, set()).add(contract.version)
        if not isinstance(rules, dict):
            raise _refused("is not an object of tools")
        for name, rule in rules.items():
            _require_rule(name, rule, known.get(name, ()))
        return cls(rules)

    def __contains__(self, name: str) -> bool:
        """Whether there is a rule for a tool."""
        return name in self._rules

    def find(self, contracts: Versions[C], invocation: Invocation) -> C:
        """The contract that a call means among those it may use; ``route`` says why, when a rule chose it.

        Whoever knows one of the contracts among which the rule chooses, knows the one that is chosen.
        Raises as the contracts do when they have none.
        """
        name, asked = invocation.name, invocation.version
        rule = self._rules.get(name)
        if rule is None or (asked and contracts.get(name, asked) is not None):
            return contracts.find(name, asked)
        wanted = Range.parse(asked) if asked else None
        among: list[tuple[C, int]] = []
        for version, weight in rule:
            contract = contracts.get(name, version) if wanted is None or Version.parse(version) in wanted else None
            if contract is not None:
                among.append((contract, weight))
        total = sum(weight for _, weight in among)
        if not total or (asked and len(among) == 1):
            return contracts.find(name, asked)
        chosen, weight = _at(drawn(invocation.session_id or invocation.principal, name, total), among)
        invocation.route = f"weights:{weight}/{total}"
        if any(invocation.known_digest == one.digest for one, _ in among):
            invocation.known_digest = chosen.digest
        return chosen


def drawn(who: str, tool: str, total: int) -> int:
    """A number from 0 up to ``total`` that is always the same for one session and tool, and even over sessions."""
    hashed = blake2b(f"{tool}\0{who}".encode(), digest_size=8, person=b"altar.weights").digest()
    return int.from_bytes(hashed, "big") * total >> 64


def _at(point: int, among: list[tuple[C, int]]) -> tuple[C, int]:
    """What stands at a point, when each takes as much room as its weight."""
    at = 0
    while point >= among[at][1]:
        point -= among[at][1]
        at += 1
    return among[at]


def _require_rule(name: str, rule: object, versions: Collection[str]) -> None:
    if not isinstance(rule, dict) or not rule:
        raise _refused(f"says nothing for {name!r}")
    for version, weight in rule.items():
        if version not in versions:
            raise _refused(f"names {name!r} at {version!r}, which the manifest does not have")
        if type(weight) is not int or not 0 <= weight <= LARGEST:
            raise _refused(f"gives {name!r} at {version!r} no whole number from 0 to {LARGEST}")
    if not any(rule.values()):
        raise _refused(f"gives every version of {name!r} the weight 0")


def _refused(what: str) -> ConfigurationError:
    return ConfigurationError(
        "INVALID_CONFIG",
        f"The {METADATA!r} of the manifest {what}",
        hint='write the metadata as a text such as {"charge": {"1.0.0": 95, "1.1.0": 5}}',
    )
