"""What a session accepts as its tools, as what is called and as its arguments, and how it refuses everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest

import altar
from altar.later.registry import Registry


@pytest.fixture(autouse=True)
def shop(altar_registry: Registry) -> dict[str, altar.ToolFunction[..., Any]]:
    """Three versions of a price, a context that asks for it, and numbers."""

    def price(article: str, count: int = 1) -> int:
        """Say what an article costs."""
        return 250 * count

    def numbers(to: int) -> Iterator[int]:
        """Count."""
        yield from range(to)

    async def total(article: str, context: altar.ToolContext) -> Any:
        """Ask for the price of two."""
        return (await context.call("price", {"article": article, "count": 2})).unwrap()

    tools = {version: altar.tool(price, version=version) for version in ("1.0.0", "1.4.0+b.7", "2.0.0-rc.1")}
    return {**tools, "numbers": altar.tool(numbers), "total": altar.tool(total)}


# -------------------------------------------------------------------------------------------- the tools of a session


@pytest.mark.parametrize("version", ["1.0.0", "1.4.0+b.7", "2.0.0-rc.1"])
def test_a_tool_itself_means_exactly_its_version(shop: dict[str, altar.ToolFunction[..., Any]], version: str) -> None:
    with altar.session(tools=[shop[version], "numbers"], source="later:") as session:
        declaration = session.declaration("price")

        assert session.tools == ["numbers", "price"]
        assert declaration is not None
        assert declaration.version == version
        assert session.call(shop[version], article="tea").unwrap() == 250


def test_tools_may_come_from_any_iterable(shop: dict[str, altar.ToolFunction[..., Any]]) -> None:
    with altar.session((tool for tool in shop.values()), source="later:") as session:
        assert session.tools == ["numbers", "price", "total"]


def test_a_session_of_a_tool_that_is_not_registered_is_refused() -> None:
    hidden = altar.tool(lambda: 1, name="hidden", description="Say one.", register=False)

    with pytest.raises(altar.ValidationError, match="Tool 'hidden' is not in this session"):
        altar.session(tools=[hidden], source="later:")


@pytest.mark.parametrize(
    ("tools", "message", "hint"),
    [
        ("price", "The tools are the one text 'price', and must be a list", "write tools=['price']"),
        ("", "The tools are the one text '', and must be a list", "write tools=['']"),
        (None, "The tools are of type 'NoneType', and must be a list", "leave them out for all there are"),
        (3, "The tools are of type 'int', and must be a list", "leave them out for all there are"),
        (["price", len], "Item 1 of the tools: The function 'len' is not a tool", "declare it with @altar.tool"),
        (
            [None],
            "Item 0 of the tools: A value of type 'NoneType' names no tool",
            "give the name of a tool, or what @altar.tool made",
        ),
    ],
)
def test_what_is_no_list_of_tools_is_refused_in_one_sentence(tools: Any, message: str, hint: str) -> None:
    with pytest.raises(altar.ConfigurationError) as refused:
        altar.session(tools=tools, source="later:")

    assert (refused.value.code, refused.value.message, refused.value.hint) == ("INVALID_CONFIG", message, hint)


def test_one_tool_alone_is_no_list(shop: dict[str, altar.ToolFunction[..., Any]]) -> None:
    wrong: Any = shop["numbers"]

    with pytest.raises(altar.ConfigurationError, match=r"<tool numbers 1\.0\.0> alone, and must be a list") as refused:
        altar.session(tools=wrong, source="later:")
    assert refused.value.hint == "write tools=[numbers]"


# ---------------------------------------------------------------------------------------------------- the arguments


@pytest.mark.parametrize("kind", [dict, MappingProxyType])
async def test_arguments_may_be_given_as_one_mapping(kind: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
    arguments = kind({"article": "tea", "count": 3})
    with altar.session(source="later:") as session:
        assert session.call("price@^1", arguments).unwrap() == 750
        assert session.options(timeout=5).call("price@^1", arguments).unwrap() == 750  # in another thread
    async with altar.session(source="later:") as awaited:
        assert (await awaited.call("price@^1", arguments)).unwrap() == 750


async def test_a_stream_takes_one_mapping_too() -> None:
    given = {"to": 3}
    with altar.session(source="later:") as session:
        assert [*session.stream("numbers", given)] == [0, 1, 2]
        assert [*session.options(timeout=5).stream("numbers", given)] == [0, 1, 2]
    async with altar.session(source="later:") as awaited:
        stream = awaited.stream("numbers", given)
        given["to"] = 9
        assert [number async for number in stream] == [0, 1, 2]


def test_a_context_calls_with_one_mapping_too() -> None:
    with altar.session(source="later:") as session:
        assert session.call("total", {"article": "tea"}).unwrap() == 500


def test_a_key_that_is_no_text_is_written_as_text_as_it_is_inside_of_a_value() -> None:
    wrong: Any = {"article": "tea", 3: 4}
    with altar.session(source="later:") as session:
        results = [session.call("price", wrong), session.options(timeout=5).call("price", wrong)]

    assert ["/3", "/3"] == [result.error.field_path for result in results if result.error]


# -------------------------------------------------------------------------------------------------------- wrong use

CALL = altar.FunctionCall("mine", "price", {"article": "tea"})

WRONG: dict[str, tuple[tuple[Any, ...], dict[str, Any], str]] = {
    "a function": ((len,), {}, "The function 'len' is not a tool"),
    "a function and arguments": ((len, {"a": 1}), {}, "The function 'len' is not a tool"),
    "nothing": ((None,), {}, "A value of type 'NoneType' names no tool"),
    "a list": ((["price"],), {}, "A value of type 'list' names no tool"),
    "a text of arguments": (
        ("price", "tea"),
        {},
        "The arguments of 'price' are of type 'str', and must be a mapping",
    ),
    "both": (
        ("price", {"article": "tea"}),
        {"count": 2},
        "The arguments of 'price' are given in a mapping and by name",
    ),
    "an empty mapping and a name": (("price", {}), {"article": "tea"}, "The arguments of 'price' are given in a …"),
    "a call and names": ((CALL,), {"count": 2}, "The call of 'price' has its own arguments, and is given others"),
    "a call and a mapping": ((CALL, {"count": 2}), {}, "The call of 'price' has its own arguments, and is …"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_wrong_use_is_refused_in_the_same_words_by_both_fronts_at_once(case: str) -> None:
    positional, named, message = WRONG[case]
    with altar.session(source="later:") as session:
        limited = session.options(timeout=5)
        async with altar.session(source="later:") as awaited:
            for refusing in (session.call, session.stream, limited.call, limited.stream, awaited.call, awaited.stream):
                with pytest.raises(altar.ValidationError) as refused:
                    await _called(refusing, positional, named)
                assert refused.value.code == "MALFORMED_REQUEST"
                assert refused.value.message.startswith(message.rstrip("…"))
                assert refused.value.hint
                assert refused.value.ran == "no"


async def _called(refusing: Callable[..., Any], positional: tuple[Any, ...], named: dict[str, Any]) -> None:
    made = refusing(*positional, **named)
    assert refusing.__name__ == "call", "a stream must be refused where it is asked for"
    await made


async def test_a_pair_of_a_batch_that_names_no_tool_is_refused_in_these_words_too() -> None:
    wrong: Any = [(len, {})]
    with altar.session(source="later:") as session:
        with pytest.raises(altar.ValidationError, match="Item 0 of the batch: The function 'len' is not a tool"):
            session.batch(wrong)
        async with altar.session(source="later:") as awaited:
            with pytest.raises(altar.ValidationError, match="Item 0 of the batch: The function 'len' is not a tool"):
                await awaited.batch(wrong)


def test_a_conflict_of_variables_has_a_public_name() -> None:
    with altar.session(source="later:") as session:
        session.variables.declare("count", int, value=1)
        session.variables.set("count", 2)
        with pytest.raises(altar.VariableConflictError) as conflict:
            session.variables.set("count", 3, expected_version=1)
    assert conflict.value.current == {"count": 2}
