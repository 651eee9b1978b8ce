"""Documents of ours in the hands of the libraries they are for: `make peers`.

Each document is given to the client library of its provider, and what the library passes on is read back.
So nothing that we read again is a member that the library would drop.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from altar.adm.call import FunctionCall, ToolResult
from altar.adm.declaration import FunctionDeclaration
from altar.adm.formats import CALL_FORMATS, FORMATS, OPENAPI
from altar.adm.schema import Schema
from tests.unit.adm.formats.declarations import calls, declarations, results
from tests.unit.adm.formats.places import differences, unreported

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-peers" / "bin" / "python"
JUDGE = Path(__file__).with_name("judge.py")
REAL = [name for name in FORMATS if name != "json_schema"]
QUIET = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

pytestmark = [
    pytest.mark.peers,
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.exists(), reason="the libraries of the providers are not installed: make peers"),
]


class Judge:
    """The libraries, in a process of their own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [str(PYTHON), "-W", "ignore", str(JUDGE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def keep(self, format: str, kind: str, document: Any) -> Any:
        """Return what the library keeps of a document; an AssertionError says what it finds wrong."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"format": format, "kind": kind, "document": document}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert [] == answer["defects"], json.dumps(document)
        return answer["kept"]

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    judge = Judge()
    yield judge
    judge.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", REAL)
@QUIET
@given(declaration=declarations())
def test_a_library_takes_the_tool_and_keeps_all_that_is_read_again(
    judge: Judge, name: str, declaration: FunctionDeclaration
) -> None:
    written = FORMATS[name].write(declaration)

    back = FORMATS[name].read(judge.keep(name, "tool", written.document)).declaration

    assert set() == unreported(declaration, back, written.losses)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", CALL_FORMATS)
@QUIET
@given(call=calls())
def test_a_library_takes_the_call_and_keeps_all_that_is_read_again(judge: Judge, name: str, call: FunctionCall) -> None:
    written = CALL_FORMATS[name].write_call(call)

    back = CALL_FORMATS[name].read_call(judge.keep(name, "call", written.document))

    changed = differences(call.to_adm(), back.to_adm())
    assert {loss.path for loss in written.losses} == {"/" + path.split("/")[1] for path in changed}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", CALL_FORMATS)
@QUIET
@given(data=st.data())
def test_a_library_takes_the_result_and_keeps_all_that_is_read_again(
    judge: Judge, name: str, data: st.DataObject
) -> None:
    call = data.draw(calls())
    result: ToolResult = data.draw(results(call=call))
    written = CALL_FORMATS[name].write_result(result)

    back = CALL_FORMATS[name].read_result(judge.keep(name, "result", written.document), call=call)

    changed = differences(result.to_adm(), back.to_adm())
    assert {loss.path for loss in written.losses} == {"/" + path.split("/")[1] for path in changed}


@pytest.mark.parametrize(
    ("returns", "content"),
    [
        ({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"a": 1}),
        ({"type": "array", "items": {"$ref": "#/$defs/n"}, "$defs": {"n": {"type": "number"}}}, [1, 2.5]),
        ({"type": ["string", "null"]}, None),
        ({"anyOf": [{"type": "object"}, {"type": "null"}]}, {"a": 1}),
        ({"type": "array", "items": {"$ref": "#"}}, [[], [[]]]),
        (None, "plain text"),
    ],
)
def test_a_real_client_of_mcp_lists_the_tool_calls_it_and_finds_the_result_as_promised(
    judge: Judge, returns: dict[str, Any] | None, content: Any
) -> None:
    declaration = FunctionDeclaration(
        "ask",
        "Ask.",
        Schema.from_json_schema({"type": "object", "properties": {"q": {"type": "string"}}}),
        None if returns is None else Schema.from_json_schema(returns),
    )
    mcp = CALL_FORMATS["mcp"]
    call = FunctionCall("c1", "ask", {"q": "why"})
    result = ToolResult.success(call, content)

    kept = judge.keep(
        "mcp",
        "session",
        {
            "tool": mcp.write(declaration).document,
            "arguments": dict(call.args),
            "result": mcp.write_result(result, declaration=declaration).document,
        },
    )

    assert declaration == mcp.read(kept["tool"]).declaration
    assert result == mcp.read_result(kept["result"], call=call)


def test_an_openapi_document_of_many_tools_is_valid(judge: Judge) -> None:
    anchored = {"type": "object", "properties": {"n": {"$ref": "#node"}}, "$defs": {"n": {"$anchor": "node"}}}
    tools = [
        FunctionDeclaration(name, f"Do {name}.", Schema.from_json_schema(anchored), version="2.0.0")
        for name in ("first", "second")
    ]

    written = OPENAPI.write_all(tools, title="Shop", servers=["https://shop.example"])

    judge.keep("openapi", "tool", written.document)
    assert ["/0/parameters/properties/n/$ref", "/1/parameters/properties/n/$ref"] == [
        one.path for one in written.losses
    ]
    reads = OPENAPI.read_all(written.document)
    assert ["first", "second"] == [read.declaration.name for read in reads]
    assert {"$ref": "#/$defs/n"} == reads[0].declaration.parameters.json_schema["properties"]["n"]


def test_the_judge_finds_a_document_that_is_wrong() -> None:
    judge = Judge()
    try:
        with pytest.raises(AssertionError):
            judge.keep("mcp", "tool", {"name": "a"})
        with pytest.raises(AssertionError):
            judge.keep(
                "openai_strict",
                "tool",
                {
                    "type": "function",
                    "function": {
                        "name": "a",
                        "strict": True,
                        "parameters": {"type": "object", "properties": {"a": {}}},
                    },
                },
            )
    finally:
        judge.close()
    assert sys.executable != str(PYTHON)
