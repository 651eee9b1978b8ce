"""Why a call was decided on as it was, or would be: one value, told as a text for people or as JSON.

An `Explanation` walks through the checks of the control plane in their order.
Nothing is decided here and nothing is looked up: whoever makes one has done that.
What is not known is said to be so; it is never filled in.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Literal

from altar.adm.canonical import canonical
from altar.aesp.policy.conditions import Known, Part, Turn

__all__ = ["CHECKS", "Explained", "Explanation", "PolicyStep", "Step", "Verdict", "needed_words", "shown"]

CHECKS = ("authenticated", "active", "visible", "arguments", "permitted", "quota", "policy", "approval")
"""The names of the steps, in the order in which a host takes them."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_LONGEST_VALUE = 120
_LONGEST_TEXT = 400


class Verdict(StrEnum):
    """What became of the call, or would; ``undecidable`` where that depends on what was not recorded."""

    ALLOWED = "allowed"
    DENIED = "denied"
    APPROVAL = "needs approval"
    UNDECIDABLE = "undecidable"


Explained = Literal["passed", "refused", "asks", "not reached", "not recorded", "not known"]
"""What a check says: ``asks`` for an approval; ``not recorded`` of a past call, ``not known`` without a host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyStep:
    """One policy that applies to the tool: what its condition is, what it read, and what would turn it.

    ``result`` is what its condition is; ``decides`` says that it is one of those the verdict comes from.
    ``facts`` are the values that it read, by their path; ``missing`` the paths whose values are not known.
    ``hidden`` says that the condition is not shown to this asker, because it speaks of roles.
    ``dry_run`` policies decide nothing.
    ``error`` says why a condition could not be evaluated.
    """

    name: str
    effect: str
    line: int
    condition: str
    result: Known
    message: str = ""
    decides: bool = False
    dry_run: bool = False
    parts: tuple[Part, ...] = ()
    turns: tuple[Turn, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    missing: tuple[str, ...] = ()
    hidden: bool = False
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        """Give its members as JSON has them; those that say nothing are left out."""
        told: dict[str, Any] = {
            "name": self.name,
            "effect": self.effect,
            "line": self.line,
            "result": self.result,
            "decides": self.decides,
        }
        more: dict[str, Any] = {
            "condition": self.condition,
            "message": self.message,
            "dry_run": self.dry_run,
            "parts": [_part(each) for each in self.parts],
            "would_turn": [[_part(each) for each in turn] for turn in self.turns],
            "facts": dict(self.facts),
            "missing": list(self.missing),
            "hidden": self.hidden,
            "error": self.error,
        }
        return told | {name: value for name, value in more.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One check: what it says, and why.

    ``code`` is that of its refusal; ``needed`` says in sentences what would have had to differ for it to pass.
    """

    check: str
    result: Explained
    code: str = ""
    reasons: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    policies: tuple[PolicyStep, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Give its members as JSON has them; those that say nothing are left out."""
        more: dict[str, Any] = {
            "code": self.code,
            "reasons": list(self.reasons),
            "needed": list(self.needed),
            "policies": [each.as_json() for each in self.policies],
        }
        return {"check": self.check, "result": self.result} | {name: value for name, value in more.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One call and how it was decided on.

    ``kind`` says whether it was made or is only thought of.
    ``time_ms`` is when, in milliseconds since 1970; ``place`` where it stands in the log, "" for one that does not.
    ``bundle`` names the bundle of policies and its digest, "" where none was in force.
    """

    kind: Literal["recorded", "hypothetical"]
    tenant: str
    principal: str
    tool: str
    version: str
    time_ms: int
    steps: tuple[Step, ...]
    verdict: Verdict
    code: str = ""
    bundle: str = ""
    place: str = ""
    notes: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        """Tell whether the call runs, or ran."""
        return self.verdict == Verdict.ALLOWED

    @property
    def decided(self) -> Step | None:
        """Give the first check that did not let the call pass."""
        return next((step for step in self.steps if step.result in {"refused", "asks"}), None)

    @property
    def deciding(self) -> tuple[PolicyStep, ...]:
        """Give the policies that the verdict comes from."""
        return tuple(each for step in self.steps for each in step.policies if each.decides)

    def as_json(self) -> dict[str, Any]:
        """Give everything as one JSON value; the same that the text says."""
        decided = self.decided
        told: dict[str, Any] = {
            "kind": self.kind,
            "verdict": str(self.verdict),
            "allowed": self.allowed,
            "tenant": self.tenant,
            "principal": self.principal,
            "tool": self.tool,
            "time_ms": self.time_ms,
            "checks": [step.as_json() for step in self.steps],
        }
        more: dict[str, Any] = {
            "version": self.version,
            "code": self.code,
            "decided_by": decided.check if decided is not None else "",
            "policies": [{"name": each.name, "line": each.line} for each in self.deciding],
            "bundle": self.bundle,
            "place": self.place,
            "needed": [each for step in self.steps for each in step.needed],
            "notes": list(self.notes),
        }
        return told | {name: value for name, value in more.items() if value}

    def to_json(self) -> bytes:
        """Give `as_json` as canonical JSON (RFC 8785)."""
        return canonical(self.as_json())

    def to_text(self) -> str:
        """Give all of it as lines of text, the verdict first; without a newline at the end."""
        return "\n".join(_lines(self))


def shown(value: Any) -> str:
    """Give a value as a line of text: JSON, cut with an ellipsis where it is long."""
    try:
        text = canonical(value).decode()
    except (TypeError, ValueError):
        text = _moment(value) if isinstance(value, datetime) else str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def _lines(told: Explanation) -> Iterator[str]:
    yield _headline(told)
    yield ""
    version = f"@{told.version}" if told.version else ""
    when = _moment(datetime.fromtimestamp(told.time_ms / 1000, UTC))
    made = "made" if told.kind == "recorded" else "thought of"
    who = f"{told.principal or 'nobody'} in {told.tenant or 'no tenant'}"
    yield f"call    {told.tool}{version}, {made} by {who}, {when}"
    if told.place:
        yield f"record  {told.place}"
    if told.bundle:
        yield f"bundle  {told.bundle}"
    yield ""
    width = max(len(step.check) for step in told.steps)
    for number, step in enumerate(told.steps, start=1):
        yield f"{number}. {step.check.ljust(width)}  {step.result}{f' ({step.code})' if step.code else ''}"
        yield from (f"   {each}" for each in step.reasons)
        for policy in step.policies:
            yield from (f"   {each}" for each in _policy(policy))
    needed = [each for step in told.steps for each in step.needed]
    if needed:
        yield ""
        yield "For the call to run:" if not told.allowed else "It would not run without:"
        yield from (f"- {each}" for each in needed)
    for note in told.notes:
        yield ""
        yield note


def _headline(told: Explanation) -> str:
    step = told.decided
    head = f"{told.verdict}"
    if told.code:
        head += f" ({told.code})"
    if step is None:
        return head
    policies = [f"policy {each.name!r}, line {each.line}" for each in told.deciding]
    return f"{head}: by the check {step.check!r}" + (f", {' and '.join(policies)}" if policies else "")


def _policy(policy: PolicyStep) -> Iterator[str]:
    effect = f"{policy.effect}, dry run" if policy.dry_run else policy.effect
    mark = "  <- decides" if policy.decides else ""
    yield f"- {policy.name} (line {policy.line}, {effect}): {policy.result}{mark}"
    if policy.hidden:
        yield "    its condition speaks of roles or groups and is shown to whoever may explain policies"
    else:
        yield f"    if {_one_line(policy.condition)}"
        if len(policy.parts) > 1:
            yield from (f"       {part.value:7} {_one_line(part.text)}" for part in policy.parts)
    yield from (f"    read {path} = {shown(value)}" for path, value in sorted(policy.facts.items()))
    if policy.missing:
        yield f"    not recorded: {', '.join(policy.missing)}"
    if policy.error:
        yield f"    error: {_one_line(policy.error)}"
    if policy.message and policy.result == "true":
        yield f"    says: {_one_line(policy.message)}"


def needed_words(turns: Iterable[Turn]) -> str:
    """Say what would turn a condition: the parts of one way joined by "and", the ways by "or"."""
    ways = [" and ".join(f"`{_one_line(part.text)}` were {part.value}" for part in turn) for turn in turns]
    return ", or ".join(ways)


def _one_line(text: str) -> str:
    return textwrap.shorten(" ".join(text.split("\n")), _LONGEST_TEXT, placeholder=" …")


def _part(part: Part) -> dict[str, str]:
    return {"text": part.text, "value": part.value}


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
