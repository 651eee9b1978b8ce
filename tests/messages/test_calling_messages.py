"""What a user is answered who names no tool, gives arguments in another way, or has a session without tools."""

from __future__ import annotations

from typing import Any

import pytest

import altar
from altar.later.registry import Registry
from tests.messages.conftest import Told
from tests.messages.test_wrong_use import of_error, of_result


@pytest.fixture
def shop(altar_registry: Registry) -> Registry:
    def price_of(article: str) -> int:
        """Say what an article costs."""
        return 250

    for name in ("price_of", "articles", "order"):
        altar.tool(price_of, name=name)
    return altar_registry


CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "call_of_a_plain_function": ((len, {"article": "tea"}), {}),
    "call_of_nothing": ((None,), {}),
    "call_with_a_text_of_arguments": (("price_of", "tea"), {}),
    "call_with_arguments_in_both_ways": (("price_of", {"article": "tea"}), {"count": 2}),
    "call_with_arguments_beside_its_own": ((altar.FunctionCall("c-1", "price_of", {"article": "tea"}),), {"count": 2}),
}


@pytest.mark.parametrize("case", CALLS)
def test_a_call_of_no_tool_or_with_no_arguments(shop: Registry, told: Told, case: str) -> None:
    positional, named = CALLS[case]
    with altar.session(source="later:") as session, pytest.raises(altar.AltarError) as refused:
        session.call(*positional, **named)
    told(case, of_error(refused.value))


def test_a_batch_of_a_plain_function(shop: Registry, told: Told) -> None:
    wrong: Any = [(len, {"article": "tea"})]
    with altar.session(source="later:") as session, pytest.raises(altar.AltarError) as refused:
        session.batch(wrong)
    told("batch_of_a_plain_function", of_error(refused.value))


@pytest.mark.parametrize(
    ("case", "tools"),
    [("session_of_one_text", "price_of"), ("session_of_a_plain_function", [len]), ("session_of_nothing", None)],
)
def test_a_session_of_what_is_no_list_of_tools(shop: Registry, told: Told, case: str, tools: Any) -> None:
    with pytest.raises(altar.AltarError) as refused:
        altar.session(tools, source="later:")
    told(case, of_error(refused.value))


def test_a_tool_that_is_like_no_other(shop: Registry, told: Told) -> None:
    with altar.session(["order", "articles"], source="later:") as session:
        told("unknown_tool_like_no_other", of_result(session.call("zzz")))


def test_a_session_where_nothing_is_declared(altar_registry: Registry, told: Told) -> None:
    with altar.session(source="later:") as session:
        told("unknown_tool_where_nothing_is_declared", of_result(session.call("price_of", article="tea")))
