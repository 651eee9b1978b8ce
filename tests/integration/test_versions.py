"""Several versions of one tool, served by several processes: a range means the same wherever the tool runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import altar
from altar.later.session import Options, Session, tools_of
from altar.testing import LocalGrid
from tests.integration.auditing import stop_and_audit
from tests.integration.versions import newer, older

pytestmark = pytest.mark.timeout(180)

Opener = Callable[..., Session]
ALL = "there is 3.0.0-rc.1, 2.0.0, 1.4.0+build.7, 1.0.0"


@pytest.fixture(scope="module")
def grid() -> Iterator[LocalGrid]:
    with LocalGrid([older.__file__, newer.__file__], runtimes=0) as running:
        running.start_runtime(1, modules=[older.__file__])
        running.start_runtime(2, modules=[newer.__file__])
        yield running
        stop_and_audit(running)


@pytest.fixture(params=["later", "grid"])
def opener(request: pytest.FixtureRequest) -> Opener:
    if request.param == "grid":
        started: LocalGrid = request.getfixturevalue("grid")
        return started.session
    return lambda tools=(): Session(Options(tuple(tools)))


def called(session: Session, how: str, tool: Any, **arguments: Any) -> altar.ToolResult:
    if how == "front":
        with session as front:
            return front.call(tool, **arguments)

    async def call() -> altar.ToolResult:
        async with session as opened:
            return await opened.call(tool, **arguments)

    return asyncio.run(call())


@pytest.mark.parametrize("how", ["awaited", "front"])
@pytest.mark.parametrize(
    ("tool", "by"),
    [
        ("quote@^1", "1.4.0"),
        ("quote@1", "1.4.0"),
        ("quote@1.4.0", "1.4.0"),
        ("quote@~1.0", "1.0.0"),
        ("quote@1.0.0", "1.0.0"),
        (older.quote_first, "1.0.0"),
        ("quote", "2.0.0"),
        ("quote@*", "2.0.0"),
        ("quote@2", "2.0.0"),
        ("quote@>1.4,<3", "2.0.0"),
        (newer.quote, "2.0.0"),
        ("quote@^3.0.0-rc", "3.0.0-rc.1"),
        (newer.quote_early, "3.0.0-rc.1"),
    ],
    ids=str,
)
def test_a_call_reaches_the_highest_version_it_asks_for(opener: Opener, how: str, tool: Any, by: str) -> None:
    arguments = {"article": "tea"} if by.startswith("1") else {"items": ["tea"]}

    result = called(opener(["quote"]), how, tool, **arguments)

    assert result.name == "quote"
    assert (result.unwrap()["article"], result.unwrap()["by"]) == ("tea", by)


@pytest.mark.parametrize("tool", [older.quote_first, older.quote, newer.quote, newer.quote_early], ids=str)
def test_a_session_of_a_tool_itself_has_exactly_its_version(opener: Opener, tool: altar.ToolFunction[..., Any]) -> None:
    with opener(tools_of([tool])) as session:
        meant = session.declaration("quote")
        other = session.call("quote@1.0.0" if tool is not older.quote_first else "quote@2.0.0")

    assert meant is not None
    assert meant.version == tool.version
    assert other.error is not None
    assert other.error.type == "VERSION_MISMATCH"


def test_the_arguments_are_checked_against_the_version_that_is_meant(opener: Opener) -> None:
    with opener(["quote"]) as session:
        first = session.call("quote@^1", items=["tea"]).error
        second = session.call("quote@^2", article="tea").error

    assert first is not None
    assert second is not None
    assert (first.type, first.hint) == ("INVALID_TOOL_ARGS", "quote(article: string, count: integer = 1)")
    assert (second.type, second.hint) == ("INVALID_TOOL_ARGS", "quote(items: string[])")


@pytest.mark.parametrize(
    ("tool", "message", "hint"),
    [
        ("quote@^4", "Tool 'quote' has no version '^4' here", ALL),
        (
            "quote@3",
            "Tool 'quote' has no version '3' here",
            f"{ALL}; ask for the pre-release itself: quote@3.0.0-rc.1",
        ),
        ("quote@1.4.1", "Tool 'quote' has no version '1.4.1' here", ALL),
        (
            "quote@newest",
            "'newest' is not a version or a range of versions",
            "write 1.2.3, ^1.2, ~1.2.0, 1.x, or >=1.2,<2 with commas between",
        ),
        (
            "quote@",
            "'@' is not a version or a range of versions",
            "write 1.2.3, ^1.2, ~1.2.0, 1.x, or >=1.2,<2 with commas between",
        ),
    ],
)
def test_a_version_there_is_not_is_refused_in_the_same_words(
    opener: Opener, tool: str, message: str, hint: str
) -> None:
    with opener(["quote"]) as session:
        result = session.call(tool, article="tea")
        assert session.declaration(tool) is None

    assert result.error is not None
    assert (result.name, result.error.type, result.error.ran) == ("quote", "VERSION_MISMATCH", "no")
    assert (result.error.message, result.error.hint) == (message, hint)


def test_a_call_in_the_words_of_the_adm_names_no_version(opener: Opener) -> None:
    with opener(["quote"]) as session:
        found = session.call(altar.FunctionCall("c-1", "quote", {"items": ["tea"]}))

    assert found.unwrap()["by"] == "2.0.0"


def test_a_session_holds_the_versions_it_was_opened_with(opener: Opener) -> None:
    with opener(["quote@^1"]) as session:
        contract = session.declaration("quote")
        first, second = session.call("quote", article="tea"), session.call("quote@2", items=["tea"])
        tools = session.tools

    assert tools == ["quote"]
    assert contract is not None
    assert contract.version == "1.4.0+build.7"
    assert first.unwrap()["by"] == "1.4.0"
    assert second.error is not None
    assert (second.error.type, second.error.hint) == ("VERSION_MISMATCH", "there is 1.4.0+build.7, 1.0.0")


def test_a_session_may_hold_two_ranges_of_one_tool(opener: Opener) -> None:
    with opener(["quote@~1.0", "quote@2"]) as session:
        assert session.call("quote@1", article="tea").unwrap()["by"] == "1.0.0"
        assert session.call("quote", items=["tea"]).unwrap()["by"] == "2.0.0"


@pytest.mark.parametrize(
    ("tool", "code", "message"),
    [
        ("quote@^4", "VERSION_MISMATCH", "Tool 'quote' has no version '^4' here"),
        ("quote@", "VERSION_MISMATCH", "'' is not a version or a range of versions"),
        ("quot@^1", "UNSUPPORTED_TOOL", "Tool 'quot' is not in this session"),
    ],
)
def test_a_session_with_a_version_there_is_not_is_not_opened(
    opener: Opener, tool: str, code: str, message: str
) -> None:
    with pytest.raises(altar.ValidationError) as refused, opener([tool]):
        pytest.fail("it was opened")
    assert (refused.value.code, refused.value.message) == (code, message)


def test_a_deprecated_version_is_said_once_in_the_log_of_the_caller(
    opener: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="altar"), opener(["quote"]) as session:
        for _ in range(2):
            session.call("quote@1.0.0", article="tea").unwrap()
            session.call("quote@2", items=["tea"]).unwrap()

    said = [record for record in caplog.records if record.message == "tool is deprecated"]
    assert [(record.__dict__["tool"], record.__dict__["version"]) for record in said] == [("quote", "1.0.0")]


def test_the_log_names_the_exact_version_and_the_runtime_that_serves_it(grid: LocalGrid) -> None:
    with grid.session() as session:
        asked = {tool: session.call(tool, **arguments) for tool, arguments in _ASKED.items()}

    entries = grid.entries()
    intents = {entry["call"]: entry for entry in entries if entry["kind"] == "intent"}
    outcomes = {entry["invocation"]: entry for entry in entries if entry["kind"] == "outcome"}
    recorded = []
    for result in asked.values():
        intent = intents[result.call_id]
        recorded.append((intent["tool"], intent["version"], outcomes[intent["invocation"]]["runtime"]))
    assert recorded == [("quote", "1.4.0+build.7", "runtime-1"), ("quote", "2.0.0", "runtime-2")]


_ASKED: dict[str, dict[str, Any]] = {"quote@^1": {"article": "tea"}, "quote": {"items": ["tea"]}}
