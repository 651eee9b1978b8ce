"""The optional members of intents and outcomes: what they may say, and that they say nothing by being there empty."""

from __future__ import annotations

from typing import Any

import pytest

from altar.verify.entries import EntryError, read_entry
from tests.unit.verify.building import canonical, digest

INTENT: dict[str, Any] = {
    "arguments": digest("a"),
    "call": "c-1",
    "contract": digest("c"),
    "correlation": "k",
    "invocation": "i-1",
    "kind": "intent",
    "principal": "alice",
    "session": "s",
    "tenant": "acme",
    "time": 1,
    "tool": "pay",
    "v": 1,
    "version": "1.0.0",
}
OUTCOME: dict[str, Any] = {
    "attempts": 1,
    "code": "",
    "intent": 1,
    "invocation": "i-1",
    "kind": "outcome",
    "ran": "yes",
    "result": digest("r"),
    "runtime": "r-1",
    "status": "SUCCESS",
    "time": 1,
    "v": 1,
}
PARTIAL = OUTCOME | {"status": "PARTIAL", "code": "TIMEOUT", "ran": "unknown", "chunks": 3, "bytes": 7}
FAILED = OUTCOME | {"status": "ERROR", "code": "TIMEOUT", "result": ""}


@pytest.mark.parametrize(
    "entry",
    [
        INTENT,
        INTENT | {"parent": "i-0", "route": "weights:5/100", "where": "caller", "key": "once"},
        INTENT | {"where": "fallback"},
        OUTCOME,
        OUTCOME | {"chunks": 3, "bytes": 7},
        OUTCOME | {"chunks": 0, "bytes": 2},
        OUTCOME | {"reported": "laptop-1:7"},
        PARTIAL,
        FAILED | {"chunks": 0, "bytes": 2},
    ],
)
def test_what_the_format_allows_is_read(entry: dict[str, Any]) -> None:
    assert entry == read_entry(canonical(entry))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (INTENT | {"parent": ""}, "has an impossible 'parent': ''"),
        (INTENT | {"route": ""}, "has an impossible 'route': ''"),
        (INTENT | {"where": ""}, "has an impossible 'where': ''"),
        (INTENT | {"where": "host"}, "has an impossible 'where': 'host'"),
        (INTENT | {"key": "twice"}, "has an impossible 'key': 'twice'"),
        (INTENT | {"chunks": 1}, "lacks, or has too much: chunks"),
        (OUTCOME | {"parent": "i-0"}, "lacks, or has too much: parent"),
        (OUTCOME | {"chunks": -1, "bytes": -1}, "has an impossible"),
        (OUTCOME | {"chunks": 1}, "has chunks without bytes"),
        (OUTCOME | {"bytes": 1}, "has chunks without bytes"),
        (OUTCOME | {"chunks": 1, "bytes": 3, "result": ""}, "has chunks and no digest of them"),
        (OUTCOME | {"reported": "laptop-1"}, "has an impossible 'reported'"),
        (OUTCOME | {"reported": "laptop-1:0"}, "has an impossible 'reported'"),
        (PARTIAL | {"code": ""}, "has a code that contradicts its status"),
        (PARTIAL | {"result": ""}, "has chunks and no digest of them"),
        (PARTIAL | {"chunks": 0}, "is PARTIAL, and no chunk was passed on"),
        ({name: value for name, value in PARTIAL.items() if name not in {"chunks", "bytes"}}, "is PARTIAL"),
        (FAILED | {"chunks": 1, "bytes": 3}, "is an ERROR after chunks, which is PARTIAL"),
    ],
)
def test_what_the_format_does_not_allow_is_told(entry: dict[str, Any], words: str) -> None:
    with pytest.raises(EntryError, match=words):
        read_entry(canonical(entry))
