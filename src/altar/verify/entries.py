"""One entry of the log, read strictly, and the Merkle tree over all of them.

`read_entry` turns the bytes of a leaf into its members, or says what is wrong with them.
`Tree` is the RFC 6962 / RFC 9162 SHA-256 tree, kept as the roots along its right edge.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

LONGEST_ENTRY = 2048
"""The most bytes that an entry may have."""

EVENTS = (  # of format 1
    "runtime.attached",
    "runtime.detached",
    "session.opened",
    "session.extended",
    "session.closed",
    "manifest.activated",
    "tools.registered",
    "tools.refused",
    "breaker.opened",
    "breaker.closed",
    "permit.unclosed",
    "call.replayed",
    "report.rejected",
    "journal.gap",
)

Members: TypeAlias = Mapping[str, str | int]
Plain: TypeAlias = tuple[int, str, int]


class EntryError(ValueError):
    """The bytes are not an entry; the message says why."""


def read_entry(body: bytes, version: int = 1) -> Members:
    """Return the members of an entry of this version of the format.

    The bytes must be one canonical JSON object (RFC 8785) with exactly the members of its kind, and of the optional
    ones of that kind those that say something.
    Raises EntryError otherwise.
    """
    if len(body) > LONGEST_ENTRY:
        raise EntryError(_said(f"has {len(body)} bytes, more than {LONGEST_ENTRY}"))
    members = read_canonical(body)
    if not isinstance(members, dict):
        raise EntryError(_said("is not a JSON object"))
    kind = members.get("kind")
    required, optionals = _RULES[version]
    rules = required.get(kind) if isinstance(kind, str) else None
    if rules is None:
        raise EntryError(_said(f"is of unknown kind {kind!r}"))
    optional = optionals.get(str(kind), {})
    if odd := (members.keys() - optional.keys()) ^ rules.keys():
        raise EntryError(_said(f"of kind {kind!r} lacks, or has too much: {', '.join(sorted(odd))}"))
    for name, value in members.items():
        if not (rules.get(name) or optional[name])(value):
            raise EntryError(_said(f"has an impossible {name!r}: {value!r}"))
    if kind == "outcome":
        _check_outcome(members)
    if "data" in members and not isinstance(read_canonical(str(members["data"]).encode()), dict):
        raise EntryError(_said("has data that are no JSON object"))
    return members


def read_plain(body: bytes, version: int) -> Plain | None:
    """Return (intent it answers, or -1 for an intent; invocation; time) of a plain intent or outcome; None for others.

    Plain is what nearly all entries are: no optional members, printable ASCII without quotes and backslashes.
    Such bytes are canonical if they match, so that nothing needs to be written again to see it.
    """
    if version != 2 or len(body) > LONGEST_ENTRY:
        return None
    found = _PLAIN_OUTCOME.fullmatch(body)
    if found is not None:
        intent, invocation, time = found.groups()
        return int(intent), invocation.decode(), int(time)
    found = _PLAIN_INTENT.fullmatch(body)
    if found is not None:
        invocation, time = found.groups()
        return -1, invocation.decode(), int(time)
    return None


def _check_outcome(members: Members) -> None:
    """Raise EntryError unless the members of an outcome fit together."""
    status, chunks = members["status"], members.get("chunks")
    if (members["code"] == "") != (status == "SUCCESS"):
        raise EntryError(_said("has a code that contradicts its status"))
    if (chunks is None) != ("bytes" not in members):
        raise EntryError(_said("has chunks without bytes, or bytes without chunks"))
    if status == "PARTIAL" and not chunks:
        raise EntryError(_said("is PARTIAL, and no chunk was passed on"))
    if status == "ERROR" and chunks:
        raise EntryError(_said("is an ERROR after chunks, which is PARTIAL"))
    if members["result"] == "" and chunks is not None and status != "ERROR":
        raise EntryError(_said("has chunks and no digest of them"))


def read_canonical(body: bytes) -> object:
    """Return the JSON value of `body` if these are its canonical bytes; EntryError otherwise.

    Members sorted, no blanks, one spelling for each string and integer.
    Floats are told by their type later: no value that the log or its export holds is one.
    """
    try:
        value: object = _DECODER.decode(body.decode("utf-8"))
        again = _ENCODER.encode(value).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise EntryError(_said("is not JSON")) from error
    if again != body:
        raise EntryError(_said("is not in canonical form"))
    return value


def leaf_hash(body: bytes) -> bytes:
    """Return the hash of a leaf: SHA-256 over 0x00 and the bytes of the entry."""
    return hashlib.sha256(b"\x00" + body).digest()


class Tree:
    """A growing Merkle tree, held as the roots of its full subtrees, largest first."""

    def __init__(self) -> None:
        """Start empty."""
        self.size = 0
        self._roots: list[bytes] = []

    def append(self, leaf: bytes) -> bytes:
        """Add one leaf hash at the right; return it and the roots of the subtrees that it completes, lowest first."""
        rest = self.size
        self.size += 1
        if not rest & 1:
            self._roots.append(leaf)
            return leaf
        hashes = leaf
        while rest & 1:
            leaf = hashlib.sha256(b"\x01" + self._roots.pop() + leaf).digest()
            hashes += leaf
            rest >>= 1
        self._roots.append(leaf)
        return hashes

    def root(self) -> bytes:
        """Return the root of all leaves so far."""
        if not self._roots:
            return hashlib.sha256().digest()
        right = self._roots[-1]
        for left in reversed(self._roots[:-1]):
            right = hashlib.sha256(b"\x01" + left + right).digest()
        return right

    def frontier(self) -> bytes:
        """Return the roots along the right edge, largest first, 32 bytes each."""
        return b"".join(self._roots)

    def copy(self) -> Tree:
        """Return a tree that goes on from here by itself."""
        other = Tree()
        other.size = self.size
        other._roots = list(self._roots)
        return other


_DECODER = json.JSONDecoder()
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, check_circular=False)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_COMMITMENT = re.compile(r"(?:hmac-)?sha256:[0-9a-f]{64}")
_EVENT = re.compile(r"[a-z]+(?:\.[a-z_]+)+")
_REPORTED = re.compile(r"[\x21-\x7e]+:[1-9][0-9]{0,18}")
_T, _N = rb"[ !#-\[\]-~]", rb"(?:0|[1-9][0-9]{0,17})"
_C, _S = rb"(?:hmac-)?sha256:[0-9a-f]{64}", rb"sha256:[0-9a-f]{64}"
_PLAIN_OUTCOME = re.compile(
    rb'\{"attempts":%(n)b,"code":"(?:","intent":(?=[^{}]*"status":"SUCCESS")|%(t)b+","intent":(?=[^{}]*"status":"ERROR"))'
    rb'(%(n)b),"invocation":"(%(t)b+)","kind":"outcome",'
    rb'"ran":"(?:yes|no|unknown)","result":"(?:%(c)b)?","runtime":"%(t)b*","status":"(?:SUCCESS|ERROR)",'
    rb'"time":(%(n)b),"v":2\}' % {b"n": _N, b"t": _T, b"c": _C}
)
_PLAIN_INTENT = re.compile(
    rb'\{"arguments":"%(c)b","call":"%(t)b*","contract":"%(s)b","correlation":"%(t)b*",'
    rb'"invocation":"(%(t)b+)","kind":"intent","principal":"%(t)b*","session":"%(t)b*","tenant":"%(t)b*",'
    rb'"time":(%(n)b),"tool":"%(t)b*","v":2,"version":"%(t)b*"\}' % {b"n": _N, b"t": _T, b"c": _C, b"s": _S}
)
_INT64 = 2**63


def _text(value: object) -> bool:
    return isinstance(value, str)


def _name(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _count(value: object) -> bool:
    return type(value) is int and 0 <= value < _INT64


def _from_one(value: object) -> bool:
    return type(value) is int and 1 <= value < _INT64


def _digest(value: object) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _digest_or_empty(value: object) -> bool:
    return value == "" or _digest(value)


def _one_of(*choices: str) -> Callable[[object], bool]:
    known = frozenset(choices)
    return lambda value: isinstance(value, str) and value in known


def _reported(value: object) -> bool:
    return isinstance(value, str) and _REPORTED.fullmatch(value) is not None


def _commitment(value: object) -> bool:
    return isinstance(value, str) and _COMMITMENT.fullmatch(value) is not None


def _commitment_or_empty(value: object) -> bool:
    return value == "" or _commitment(value)


def _event_name(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 64 and _EVENT.fullmatch(value) is not None


def _data(value: object) -> bool:
    return isinstance(value, str) and len(value.encode("utf-8", "surrogatepass")) <= 1024


def _format_one(value: object) -> bool:
    return type(value) is int and value == 1


def _format_two(value: object) -> bool:
    return type(value) is int and value == 2


_EVERY: dict[str, Callable[[object], bool]] = {"kind": _name, "time": _count, "v": _format_one}
_KINDS: dict[str, dict[str, Callable[[object], bool]]] = {
    "start": _EVERY | {"epoch": _from_one, "host": _text, "log": _name, "software": _text, "sqlite": _from_one},
    "stop": _EVERY | {"epoch": _from_one},
    "intent": _EVERY
    | {
        "arguments": _digest,
        "call": _text,
        "contract": _digest,
        "correlation": _text,
        "invocation": _name,
        "principal": _text,
        "session": _text,
        "tenant": _text,
        "tool": _text,
        "version": _text,
    },
    "outcome": _EVERY
    | {
        "attempts": _count,
        "code": _text,
        "intent": _count,
        "invocation": _name,
        "ran": _one_of("yes", "no", "unknown"),
        "result": _digest_or_empty,
        "runtime": _text,
        "status": _one_of("SUCCESS", "ERROR", "PARTIAL"),
    },
    "event": _EVERY | {"event": _one_of(*EVENTS), "note": _text, "subject": _text},
}
_OPTIONAL: dict[str, dict[str, Callable[[object], bool]]] = {
    "intent": {
        "key": _one_of("once"),
        "parent": _name,
        "route": _name,
        "where": _one_of("caller", "fallback"),
    },
    "outcome": {"bytes": _count, "chunks": _count, "reported": _reported},
}


_KINDS_2 = {kind: rules | {"v": _format_two} for kind, rules in _KINDS.items()}
_KINDS_2["intent"] |= {"arguments": _commitment}
_KINDS_2["outcome"] |= {"result": _commitment_or_empty}
_KINDS_2["event"] |= {"event": _event_name}
_OPTIONAL_2 = _OPTIONAL | {
    "intent": _OPTIONAL["intent"]
    | {
        "approval": _name,
        "facts": _data,
        "policy": _digest,
        "variables": _commitment,
        "verdict": _one_of("allow", "audit", "approved", "break_glass"),
    },
    "event": {
        "action": _name,
        "code": _name,
        "correlation": _name,
        "count": _from_one,
        "data": _data,
        "outcome": _one_of("SUCCESS", "DENIED", "FAILURE"),
        "principal": _name,
        "resource": _name,
        "session": _name,
    },
}
_RULES = {1: (_KINDS, _OPTIONAL), 2: (_KINDS_2, _OPTIONAL_2)}


def _said(what: str) -> str:
    return f"the entry {what}"
