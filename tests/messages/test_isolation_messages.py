"""Wrong uses of isolated tools, and the exact words they are answered with."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import pytest

from altar.adm.errors import AltarError, DeclarationError
from altar.later.invocation import Invocation
from altar.later.isolation.processes import Processes
from altar.later.tool import ToolFunction, tool
from tests.messages.conftest import Told


def crash() -> None:
    """End the process."""
    os._exit(5)


def double(number: int) -> int:
    """Twice."""
    return 2 * number


def inside() -> Callable[..., Any]:
    def local() -> None:
        """Stand where no other process looks."""

    return local


def of_error(error: AltarError) -> str:
    parts = {"code": error.code, "message": error.message, "hint": error.hint, "ran": error.ran}
    return "".join(f"{name}: {value}\n" for name, value in parts.items() if value is not None)


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("isolated_inside_of_a_function", lambda: tool(inside(), isolate="process", register=False)),
        ("isolated_in_another_way", lambda: tool(double, isolate="fiber", register=False)),  # type: ignore[call-overload]  # the wrong use
    ],
)
def test_what_cannot_be_declared_isolated(name: str, made: Callable[[], object], told: Told) -> None:
    with pytest.raises(DeclarationError) as refused:
        made()

    told(name, of_error(refused.value))


CALLED: dict[str, ToolFunction[..., Any]] = {
    "isolated_crash": tool(crash, isolate="process", register=False),
    "isolated_partial": tool(functools.partial(double, 2), name="four", isolate="process", register=False),
}


@pytest.mark.parametrize("name", CALLED)
def test_what_fails_when_it_is_called(name: str, told: Told) -> None:
    pool = Processes(1)

    error = pool.run(CALLED[name], Invocation(CALLED[name].name, b"{}")).error
    pool.close()

    assert error is not None
    told(name, of_error(error))
