"""The calls of a tenant as its log has them: each with what was decided, by which bundle, and the facts of that.

In come the entries of one log, from the log itself or from an export of it; out comes one `RecordedCall` for each
intent and for each refusal (``call.denied``).
Nothing is proved by reading: `altar audit verify` does that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from altar.adm.errors import ConfigurationError

__all__ = [
    "DAY_MS",
    "EXPORT_HEAD",
    "OF_POLICY",
    "Entries",
    "RecordedCall",
    "calls_in",
    "entries_of_export",
    "read_call",
    "tenant_of_export",
]

EXPORT_HEAD = b'{"altar_audit_export":'
"""What a file begins with that is an export of a log."""
OF_POLICY = frozenset({"POLICY_VIOLATION", "POLICY_ERROR", "APPROVAL_PENDING"})
"""Codes of refusals that policies decide on; what came with an approval is decided by that."""
DAY_MS = 86_400_000
"""The milliseconds of a day, from midnight to midnight UTC."""
_LONGEST_LINE = 64 * 1024
_TOLD_EVERY = 10_000

Entries = Iterable[tuple[int, bytes]]
"""Positions in the log and the bytes that stand there, in order."""


class RecordedCall(NamedTuple):
    """One call, or one refusal that may stand for several (``times``).

    ``was`` is ``allow``, ``audit``, ``approved`` or ``break_glass`` for a call that was let pass, ``denied`` for one
    that was refused, with its ``code``, and ``pending`` for one that was refused until somebody approves it.
    ``facts`` is canonical JSON text, "" where none were recorded; ``bundle`` the digest of the bundle that decided.
    ``rule`` names the policy that decided, where that is recorded.
    ``principal`` is its pseudonym where the log has those.
    """

    position: int
    time_ms: int
    tool: str
    version: str
    principal: str
    was: str
    code: str = ""
    facts: str = ""
    bundle: str = ""
    rule: str = ""
    times: int = 1
    invocation: str = ""
    call: str = ""
    session: str = ""
    correlation: str = ""
    approval: str = ""
    tenant: str = ""


def calls_in(
    entries: Entries,
    *,
    since_ms: int | None = None,
    until_ms: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[RecordedCall]:
    """Give the calls among entries, from ``since_ms`` on and before ``until_ms`` (milliseconds since 1970).

    ``progress`` is told now and then how many entries have been read.
    Raises ConfigurationError LOG_DAMAGED for what is no entry.
    """
    low, high = since_ms or 0, until_ms if until_ms is not None else 1 << 63
    count = 0
    for position, body in entries:
        count += 1
        if progress is not None and count % _TOLD_EVERY == 0:
            progress(count)
        if body.startswith(_OUTCOME) or not body:
            continue
        found = read_call(position, body)
        if found is not None and low <= found.time_ms < high:
            yield found
    if progress is not None:
        progress(count)


def read_call(position: int, body: bytes) -> RecordedCall | None:
    """Read an intent or a refusal; None for any other entry. Raises ConfigurationError LOG_DAMAGED."""
    try:
        entry = orjson.loads(body)
        kind = entry["kind"]
        if kind == "intent":
            return _intent(position, entry)
        if kind == "event" and entry["event"] == "call.denied":
            return _refusal(position, entry)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            "LOG_DAMAGED",
            f"Entry {position} of the log is no entry",
            hint="`altar audit verify` names what is damaged",
            detail=repr(error),
        ) from error
    return None


def entries_of_export(path: Path) -> Iterator[tuple[int, bytes]]:
    """Give the entries of an export, or of an archive of a segment.

    Raises ConfigurationError LOG_DAMAGED for a line that is none; OSError when the file cannot be read.
    """
    with path.open("rb") as file:
        while line := file.readline(_LONGEST_LINE):
            if not line.startswith(b'{"entry":'):
                continue
            if line.startswith(_EXPORTED_OUTCOME):
                yield -1, _OUTCOME
                continue
            try:
                told = orjson.loads(line)
                yield int(told.get("seq", -1)), told["entry"].encode()
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ConfigurationError(
                    "LOG_DAMAGED",
                    f"{str(path)!r} has a line that is no entry",
                    hint="`altar audit verify` names what is damaged",
                    detail=repr(error),
                ) from error


def tenant_of_export(path: Path) -> tuple[str, int]:
    """Give the tenant of an export and how many entries it says it has.

    Raises ConfigurationError INVALID_CONFIG for a file that is no export; OSError when it cannot be read.
    """
    with path.open("rb") as file:
        first = file.readline(_LONGEST_LINE)
    try:
        head: Any = orjson.loads(first)
        return str(head["tenant"]), int(head["size"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"{str(path)!r} is no export of a log",
            hint="write one with `altar audit export`",
            detail=repr(error),
        ) from error


_OUTCOME = b'{"attempts"'  # the first member of every outcome, in canonical order; no other entry has it
_EXPORTED_OUTCOME = b'{"entry":"{\\"attempts\\"'


def _intent(position: int, entry: dict[str, Any]) -> RecordedCall:
    said = entry.get
    return RecordedCall(
        position,
        entry["time"],
        entry["tool"],
        entry["version"],
        entry["principal"],
        said("verdict", "") or "allow",
        "",
        said("facts", ""),
        said("policy", ""),
        "",
        1,
        entry["invocation"],
        entry["call"],
        entry["session"],
        entry["correlation"],
        said("approval", ""),
        entry["tenant"],
    )


def _refusal(position: int, entry: dict[str, Any]) -> RecordedCall | None:
    data: dict[str, Any] = orjson.loads(entry["data"]) if entry.get("data") else {}
    facts = data.get("facts", "")
    code = entry.get("code", "")
    return RecordedCall(
        position,
        entry["time"],
        entry.get("resource", "").removeprefix("tools/") or entry.get("subject", "").removeprefix("tools/"),
        str(data.get("version", "")),
        entry.get("principal", ""),
        "pending" if code == "APPROVAL_PENDING" else "denied",
        code,
        facts if isinstance(facts, str) else orjson.dumps(facts, option=orjson.OPT_SORT_KEYS).decode(),
        str(data.get("policy", "")),
        str(data.get("rule", "")),
        entry.get("count", 0) or 1,
        str(data.get("invocation", "")),
        str(data.get("call", "")),
        entry.get("session", ""),
        entry.get("correlation", ""),
        str(data.get("approval", "")),
    )
