"""What is odd about a bundle, although it can be in force: what can never matter, and what nobody could follow later.

In: a bundle and the contracts it is for. Out: findings, each with the rule it breaks.
Nothing here refuses a bundle; a finding of the severity ``error`` is made where compiling refuses one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal

from altar.adm.errors import AltarError
from altar.aesp.policy.policy import Bundle, Effect, Policy

if TYPE_CHECKING:
    from altar.aesp.policy.cel import Expression
    from altar.aesp.policy.checked import Node
    from altar.grid.manifests.manifest import HostContract

__all__ = ["RULES", "Finding", "Holders", "lint"]

Holders = Callable[[str], int]
"""How many people hold a role now; -1 for a role that is not there."""

RULES: Mapping[str, str] = {
    "does-not-fit": "A policy reads what a contract that it governs does not have.",
    "no-such-tool": "The patterns of a policy match no contract.",
    "never-fires": "The condition of a policy is never true.",
    "always-fires": "The condition of a policy that speaks about every tool is always true, and denies all.",
    "shadowed": "Another policy denies whatever this one is about.",
    "same-condition": "Two policies have the same condition, and one of them changes nothing.",
    "pointless-allow": "A policy allows what is allowed anyway.",
    "denies-all": "Without a policy that allows something, a bundle that denies by default denies all.",
    "unrecorded": "A policy reads an argument that the log will not hold, so that it cannot be explained or replayed.",
    "unreachable-approvers": "Nobody, or too few, could approve.",
}
"""The rules, and what each is about."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was found: how bad, by which rule, in which policy ("" for the bundle) and line (0 for none)."""

    severity: Literal["error", "warning"]
    rule: str
    policy: str
    line: int
    message: str

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        whose = f"policy {self.policy!r}: " if self.policy and repr(self.policy) not in self.message else ""
        return f"{where}{whose}{self.message}"


def lint(
    bundle: Bundle,
    contracts: Sequence[HostContract],
    expressions: Mapping[str, Expression],
    *,
    holders: Holders | None = None,
) -> list[Finding]:
    """Give what is odd, by the order of the policies.

    ``expressions`` are the compiled conditions by the names of policies, without those that could not be compiled.
    Without ``holders`` nothing is said about who could approve.
    """
    governed = {
        policy.name: frozenset(one.key for one in contracts if policy.governs(one.name)) for policy in bundle.policies
    }
    constant = {name: _constant(expression) for name, expression in expressions.items()}
    found = [
        finding
        for policy in bundle.policies
        for finding in _of_policy(bundle, policy, governed[policy.name], constant, expressions, holders)
    ]
    found += _between(bundle, governed, constant, expressions)
    if bundle.default is Effect.DENY and not any(
        policy.effect is Effect.ALLOW and not policy.dry_run for policy in bundle.policies
    ):
        found.append(_warning("denies-all", None, "The default is DENY and no policy allows anything"))
    order = {policy.name: at for at, policy in enumerate(bundle.policies)}
    return sorted(found, key=lambda one: order.get(one.policy, len(order)))


def _of_policy(
    bundle: Bundle,
    policy: Policy,
    governed: frozenset[object],
    constant: Mapping[str, bool | None],
    expressions: Mapping[str, Expression],
    holders: Holders | None,
) -> Iterator[Finding]:
    if not governed:
        patterns = ", ".join(map(repr, policy.tools))
        yield _warning("no-such-tool", policy, f"No contract matches {patterns}")
    always = constant.get(policy.name)
    expression = expressions.get(policy.name)
    if always is False or (expression is not None and _contradicts_itself(expression.tree)):
        yield _warning("never-fires", policy, "Its condition is never true")
    if always is True and policy.effect is Effect.DENY and "*" in policy.tools and not policy.dry_run:
        yield _warning("always-fires", policy, "It denies every call of every tool")
    if policy.effect is Effect.ALLOW and bundle.default is Effect.ALLOW:
        yield _warning("pointless-allow", policy, "It allows what is allowed anyway, because the default is ALLOW")
    if expression is not None:
        unrecorded = sorted(_unrecorded(expression, bundle.record))
        if unrecorded:
            names = ", ".join(unrecorded)
            words = f'It reads {names}, which the log will not hold; put it into `record = ["{unrecorded[0]}"]`'
            yield _warning("unrecorded", policy, words)
    if holders is not None and policy.effect is Effect.REQUIRE_APPROVAL:
        yield from _unreachable(policy, holders)


def _unrecorded(expression: Expression, record: Sequence[str]) -> set[str]:
    recorded = tuple(record)
    read = {".".join(path) for path in expression.reads if path[0] == "args"}
    return {path for path in read if not any(path == each or path.startswith(f"{each}.") for each in recorded)}


def _unreachable(policy: Policy, holders: Holders) -> Iterator[Finding]:
    if not policy.approvers:  # whoever has a permission approves, which any role may hold
        return
    counts = {role: holders(role) for role in policy.approvers}
    for role in (role for role, count in counts.items() if count < 0):
        yield _warning("unreachable-approvers", policy, f"There is no role {role!r}")
    most = sum(max(count, 0) for count in counts.values())
    if most < policy.quorum:
        who = "nobody" if most == 0 else f"{most} at most"
        roles = ", ".join(policy.approvers)
        yield _warning(
            "unreachable-approvers", policy, f"It asks for {policy.quorum} who hold {roles}, and {who} could approve"
        )


def _between(
    bundle: Bundle,
    governed: Mapping[str, frozenset[object]],
    constant: Mapping[str, bool | None],
    expressions: Mapping[str, Expression],
) -> Iterator[Finding]:
    """What one policy makes of another, wherever they stand: DENY wins whatever the order."""
    deciding = [policy for policy in bundle.policies if not policy.dry_run]
    deniers = [one for one in deciding if one.effect is Effect.DENY and constant.get(one.name) is True]
    for policy in deciding:
        for denier in deniers:
            if denier is not policy and _covers(denier, policy, governed) and constant.get(policy.name) is not False:
                if denier.effect is policy.effect and constant.get(policy.name) is True and _is_first(policy, denier):
                    continue
                yield _warning("shadowed", policy, f"{denier.name!r} denies every call of what it is about")
                break
    for one, other in combinations(deciding, 2):
        if {one.name, other.name} <= expressions.keys() and _same(one, other):
            weaker, stronger = (one, other) if _strength(other) > _strength(one) else (other, one)
            if _covers(stronger, weaker, governed) and constant.get(weaker.name) is None:
                yield _warning("same-condition", weaker, f"{stronger.name!r} has the same condition, and decides")


def _is_first(policy: Policy, other: Policy) -> bool:
    return policy.line < other.line


def _same(one: Policy, other: Policy) -> bool:
    return "".join(one.condition.split()) == "".join(other.condition.split())


def _strength(policy: Policy) -> int:
    return (Effect.ALLOW, Effect.AUDIT, Effect.REQUIRE_APPROVAL, Effect.DENY).index(policy.effect)


def _covers(wide: Policy, narrow: Policy, governed: Mapping[str, frozenset[object]]) -> bool:
    """Tell whether one policy is about everything that another one is about."""
    if "*" in wide.tools or set(narrow.tools) <= set(wide.tools):
        return True
    return bool(governed[narrow.name]) and governed[narrow.name] <= governed[wide.name]


def _constant(expression: Expression) -> bool | None:
    """Give the value of a condition that does not depend on the call, None for one that does."""
    if not expression.needs:
        try:
            value = expression.evaluate({})
        except AltarError:
            return None
        return value if isinstance(value, bool) else None
    return _known(expression.tree)


def _known(node: Node) -> bool | None:
    """What a part is by its logic alone: ``x && false`` is false whatever x is."""
    if node.kind == "constant":
        return node.value if isinstance(node.value, bool) else None
    if node.kind != "call" or node.name not in {"_&&_", "_||_", "!_"}:
        return None
    values = [_known(child) for child in node.children]
    if node.name == "!_":
        return None if values[0] is None else not values[0]
    decides = node.name == "_||_"
    if decides in values:
        return decides
    return None if None in values else not decides


def _contradicts_itself(node: Node) -> bool:
    """Tell whether a conjunction wants one thing to be equal to two different constants."""
    wanted: dict[str, object] = {}
    for part in _conjunction(node):
        if part.kind == "call" and part.name == "_==_" and len(part.children) == 2:
            left, right = part.children
            if left.kind == "constant":
                left, right = right, left
            if right.kind == "constant" and right.value is not None and left.kind in {"ident", "select"}:
                name = _text(left)
                if name in wanted and wanted[name] != right.value:
                    return True
                wanted[name] = right.value
    return False


def _conjunction(node: Node) -> Iterator[Node]:
    if node.kind == "call" and node.name == "_&&_":
        for child in node.children:
            yield from _conjunction(child)
    else:
        yield node


def _text(node: Node) -> str:
    return node.name if node.kind == "ident" else f"{_text(node.children[0])}.{node.name}" if node.children else ""


def _warning(rule: str, policy: Policy | None, message: str) -> Finding:
    return Finding("warning", rule, policy.name if policy else "", policy.line if policy else 0, message)
