"""What policies together decide, where some of them may not be known: the order of effects, in one place.

DENY wins, then REQUIRE_APPROVAL; AUDIT marks the record; ALLOW matters where the bundle denies by default.
A condition that has an error denies.
What is not known leaves the whole undecidable, unless another policy denies anyway.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from altar.aesp.policy.conditions import Known
from altar.aesp.policy.policy import Effect, Policy

__all__ = ["Concluded", "Conclusion", "conclude"]

Concluded = Literal["allow", "audit", "pending", "denied", "undecidable"]
"""What becomes of a call; ``pending`` until it is approved."""


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What is decided, with the code of a refusal, and the policies that it comes from.

    For ``undecidable`` those are the policies whose conditions are not known.
    """

    verdict: Concluded
    code: str = ""
    policies: tuple[Policy, ...] = ()


def conclude(known: Iterable[tuple[Policy, Known]], *, default: Effect, approved: bool = False) -> Conclusion:
    """Say what policies that apply to a call decide together.

    ``known`` has each with what its condition is, in the order of the bundle; ``default`` is that of the bundle.
    ``approved`` calls need no further approval.
    """
    binding = [(policy, value) for policy, value in known if not policy.dry_run]
    denying = _of(binding, "true", Effect.DENY)
    if denying:
        return Conclusion("denied", "POLICY_VIOLATION", denying)
    broken = tuple(policy for policy, value in binding if value == "error")
    if broken:
        return Conclusion("denied", "POLICY_ERROR", broken)
    unknown = tuple(policy for policy, value in binding if value == "unknown")
    allowing = _of(binding, "true", Effect.ALLOW)
    if unknown:  # be it what it may: a condition that is not known may also have an error, which denies
        return Conclusion("undecidable", "", unknown)
    if default is Effect.DENY and not allowing:
        return Conclusion("denied", "POLICY_VIOLATION")
    asking = _of(binding, "true", Effect.REQUIRE_APPROVAL)
    if asking and not approved:
        return Conclusion("pending", "APPROVAL_PENDING", asking)
    marking = _of(binding, "true", Effect.AUDIT)
    return Conclusion("audit", "", marking) if marking else Conclusion("allow", "", asking or allowing)


def _of(known: list[tuple[Policy, Known]], value: Known, effect: Effect) -> tuple[Policy, ...]:
    return tuple(policy for policy, found in known if found == value and policy.effect is effect)
