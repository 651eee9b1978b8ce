"""Which calls a tool may make of other tools: those its contract names, none that waits for itself, none too deep."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest

import altar
from altar.adm.errors import AuthorizationError, DeclarationError
from altar.later.invocation import Invocation
from altar.later.nesting import CALLS, MAX_DEPTH, require_nestable


def contract(digest: str, **metadata: Any) -> Any:
    return SimpleNamespace(digest=digest, declaration=SimpleNamespace(metadata=metadata))


def chain(*calls: tuple[str, bytes, Any]) -> Invocation:
    """Calls inside of each other, outermost first; gives the innermost."""
    inner: Invocation | None = None
    for name, arguments, found in calls:
        depth = 0 if inner is None else inner.depth + 1
        inner = Invocation(name, arguments, contract=found, parent=inner, depth=depth)
    assert inner is not None
    return inner


A, B = contract("sha256:a"), contract("sha256:b")


def test_a_call_of_no_parent_is_none_of_its_business() -> None:
    require_nestable(chain(("a", b"{}", A)))


def test_a_tool_that_calls_itself_with_other_arguments_may_come_to_an_end() -> None:
    require_nestable(chain(("a", b'{"n":2}', A), ("a", b'{"n":1}', A)))


def test_a_call_that_waits_for_itself_is_refused_with_the_way_it_came() -> None:
    with pytest.raises(AuthorizationError) as refused:
        require_nestable(chain(("a", b"{}", A), ("b", b"{}", B), ("a", b"{}", A)))

    assert refused.value.code == "POLICY_VIOLATION"
    assert refused.value.message.endswith("waits for itself: a → b → a")


def test_another_version_of_a_tool_with_the_same_arguments_is_another_tool() -> None:
    require_nestable(chain(("a", b"{}", A), ("a", b"{}", B)))


def test_what_the_host_alone_knows_is_left_to_it() -> None:
    unknown = contract("")
    above = Invocation("", b"", depth=MAX_DEPTH)
    running = Invocation("a", b"{}", contract=unknown, parent=above, depth=MAX_DEPTH + 1)
    require_nestable(Invocation("a", b"{}", contract=unknown, parent=running, depth=MAX_DEPTH + 2))


def test_the_way_of_a_long_chain_is_cut_at_its_beginning() -> None:
    calls = [("a", str(n).encode(), A) for n in range(MAX_DEPTH + 1)]

    with pytest.raises(AuthorizationError) as refused:
        require_nestable(chain(*calls))

    assert refused.value.message == f"Tools call tools {MAX_DEPTH} calls deep, and no deeper: … → a → a → a → a"


@pytest.mark.parametrize("calls", [[], ["c"], None, "b", 7, {"b": True}])
def test_a_contract_that_does_not_name_a_tool_in_a_list_refuses_it(calls: object) -> None:
    caller = contract("sha256:a", **{CALLS: calls})

    with pytest.raises(AuthorizationError) as refused:
        require_nestable(chain(("a", b"{}", caller), ("b", b"{}", B)))

    assert (refused.value.code, refused.value.ran) == ("PERMISSION_DENIED", "no")


def test_a_contract_that_names_a_tool_lets_it_be_called() -> None:
    require_nestable(chain(("a", b"{}", contract("sha256:a", **{CALLS: ["b"]})), ("b", b"{}", B)))


@pytest.mark.parametrize(("calls", "said"), [(["b", "a", "b"], ["a", "b"]), ([], []), (("a",), ["a"])])
def test_a_declaration_says_which_tools_are_called(calls: Iterable[str], said: list[str]) -> None:
    @altar.tool(calls=calls, register=False)
    def caller() -> None:
        """Call others."""

    assert caller.declaration.metadata[CALLS] == said


def test_a_declaration_that_does_not_say_it_has_no_such_member() -> None:
    @altar.tool(register=False)
    def caller() -> None:
        """Call others."""

    assert CALLS not in caller.declaration.metadata


@pytest.mark.parametrize("calls", ["search", [""], ["x" * 65], [7], ["a"] * 257])
def test_calls_that_are_no_list_of_names_are_refused(calls: Any) -> None:
    with pytest.raises(DeclarationError) as refused:

        @altar.tool(calls=calls, register=False)
        def caller() -> None:
            """Call others."""

    assert refused.value.code == "INVALID_DECLARATION"
