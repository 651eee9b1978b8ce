"""What a replay found, told as a text for people or as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from altar.aesp.policy.replay import Change, Replayed

__all__ = ["replay_json", "replay_text"]

_WORDS: Mapping[str, str] = {
    "allow": "allowed",
    "audit": "allowed and marked",
    "pending": "needs approval",
    "denied": "denied",
}


def replay_json(found: Replayed, *, tenant: str) -> dict[str, Any]:
    """Give it as one JSON value; times are in milliseconds since 1970."""
    return {
        "tenant": tenant,
        "first_ms": found.since_ms,
        "last_ms": found.until_ms,
        "calls": found.calls,
        "same": found.same,
        "changed": found.changed,
        "undecidable": found.undecidable,
        "elsewhere": found.elsewhere,
        "changes": [{"was": was, "becomes": becomes, "calls": n} for (was, becomes), n in found.changes.items()],
        "by_policy": dict(found.by_policy),
        "changed_by": dict(found.changed_by),
        "missing": dict(found.missing),
        "recounted": list(found.recounted),
        "problems": dict(found.problems),
        "samples": [each._asdict() | {"policies": list(each.policies)} for each in found.samples],
    }


def replay_text(found: Replayed) -> str:
    """Give it as lines of text, the numbers first; without a newline at the end."""
    return "\n".join(_lines(found))


def _lines(found: Replayed) -> Iterator[str]:
    if not found.calls:
        yield "no calls are recorded in that time"
        return
    yield f"{found.calls} calls from {_moment(found.since_ms)} to {_moment(found.until_ms)}"
    yield f"{found.same:>10}  decided the same"
    yield f"{found.changed:>10}  decided otherwise"
    yield f"{found.undecidable:>10}  undecidable: the record does not hold what the policies read"
    if found.elsewhere:
        yield f"{found.elsewhere:>10}  refused by another check than the policies, and would be again"
    if found.changes:
        yield ""
        yield "changes"
        for (was, becomes), number in found.changes.items():
            yield f"{number:>10}  {_WORDS[was]} -> {_WORDS[becomes]}"
            yield from (f"            {_sample(each)}" for each in _some(found, was, becomes))
    yield from _counts("changed by", found.changed_by)
    yield from _counts("decided by", found.by_policy)
    yield from _counts("not recorded", found.missing)
    if found.recounted:
        yield ""
        yield f"counted again from the record, under this bundle: {', '.join(found.recounted)}"
    for tool, problem in found.problems.items():
        yield ""
        yield f"{tool}: {problem}"


def _counts(title: str, counts: Mapping[str, int]) -> Iterator[str]:
    if counts:
        yield ""
        yield title
        yield from (f"{number:>10}  {name}" for name, number in counts.items())


_SHOWN = 5


def _some(found: Replayed, was: str, becomes: str) -> list[Change]:
    return [each for each in found.samples if (each.was, each.becomes) == (was, becomes)][:_SHOWN]


def _sample(change: Change) -> str:
    by = f" by {', '.join(map(repr, change.policies))}" if change.policies else ""
    return f"position {change.position}, {_moment(change.time_ms)}, {change.tool}, {change.principal}{by}"


def _moment(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
