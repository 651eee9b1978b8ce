"""What runs of a pipeline share: one plan for sessions with the same contracts, and none for others."""

from __future__ import annotations

import pytest

import altar
from altar.adm.declaration import FunctionDeclaration
from altar.adm.errors import AltarError
from altar.ai.pipelines import pipeline, tool
from altar.ai.pipelines.plan import plan_for
from altar.later.session import Options, Session


@altar.tool
def plan_known(amount: int) -> str:
    """Take a number."""
    return str(amount)


class Blind(Session):
    """A session that has tools, and does not know the contract of any, as inside of a tool on a grid."""

    def __init__(self, *names: str) -> None:
        super().__init__(Options())
        self._names = [*names]

    @property
    def tools(self) -> list[str]:
        """The names of its tools."""
        return self._names

    def declaration(self, name: str) -> FunctionDeclaration | None:
        """Nothing."""
        return None


def test_sessions_with_the_same_contracts_have_the_same_plan() -> None:
    made = pipeline("planned", [tool("plan_known")], inputs={"amount": int})
    one, other = altar.session(["plan_known"], source="later:"), altar.session(source="later:")

    assert plan_for(made, one) is plan_for(made, other)
    assert plan_for(made, Blind("plan_known")) is plan_for(made, one), "this process knows the contract as well"


def test_a_session_that_lacks_a_tool_is_not_given_the_plan_of_one_that_has_it() -> None:
    made = pipeline("planned", [tool("plan_of_nobody", inputs={"amount": "amount"})], inputs={"amount": int})

    assert plan_for(made, Blind("plan_of_nobody")).contracts == {"plan_of_nobody": None}
    with pytest.raises(AltarError) as refused:
        plan_for(made, Blind("plan_known"))
    assert "UNSUPPORTED_TOOL" == refused.value.code


def test_a_contract_that_becomes_known_later_is_seen_by_the_next_run() -> None:
    made = pipeline("planned", [tool("plan_later", inputs={"amount": "amount"})], inputs={"amount": int})
    session = Blind("plan_later")
    assert plan_for(made, session).contracts == {"plan_later": None}

    @altar.tool
    def plan_later(amount: str) -> str:
        """Take a text."""
        return amount

    with pytest.raises(altar.DeclarationError, match="it is a number, and a text is taken"):
        plan_for(made, session)
    assert "plan_later" == plan_later.name
