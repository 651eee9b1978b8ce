"""What is the same for each run of a pipeline in sessions with the same contracts, worked out once: :class:`Plan`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from altar.adm.declaration import FunctionDeclaration
from altar.adm.schema import Schema
from altar.ai.pipelines.flow import Flow, require_flow
from altar.later.contracts import unknown_tool
from altar.later.registry import REGISTRY

if TYPE_CHECKING:
    from altar.ai.pipelines.shape import Shape
    from altar.later.front import SyncSession
    from altar.later.session import Session

__all__ = ["Plan", "known_contract", "plan_for"]

_MOST_PLANS = 64


@dataclass(frozen=True, slots=True)
class Plan:
    """The flow of a pipeline with certain contracts, and the declaration of the whole as a tool would have it.

    ``takes`` has the parameters and fields of each step by its path, ready to be gone through.
    ``contracts`` are those of its tools, by what a step calls them; None for one that is not known here.
    """

    flow: Flow
    declaration: FunctionDeclaration
    takes: Mapping[str, tuple[tuple[str, str], ...]]
    contracts: Mapping[str, FunctionDeclaration | None]


def plan_for(pipeline: Shape, session: Session | SyncSession) -> Plan:
    """The plan with the contracts of a session, made once for the same contracts.

    Raises UNSUPPORTED_TOOL for a tool that is not in the session, INVALID_PIPELINE when the fields do not flow.
    """
    contracts = _contracts(pipeline, session)
    key = tuple([None if each is None else each.digest for each in contracts.values()])
    plan: Plan | None = pipeline.plans.get(key)
    if plan is None:
        plan = _planned(pipeline, contracts)
        if len(pipeline.plans) >= _MOST_PLANS:
            pipeline.plans.clear()
        pipeline.plans[key] = plan
    return plan


def known_contract(
    pipeline: Shape, session: Session | SyncSession | None
) -> Callable[[str], FunctionDeclaration | None]:
    """What tells the contract of a tool of a pipeline: a session, else the tools that were given, else the registry."""
    made = {step.tool: step.made.declaration for step in pipeline.tool_steps if step.made is not None}

    def contract(called: str) -> FunctionDeclaration | None:
        if session is not None:
            return session.declaration(called)
        if called in made:
            return made[called]
        name, _, asked = called.partition("@")
        found = REGISTRY.get(name, asked)
        return None if found is None else found.declaration

    return contract


def require_there(session: Session | SyncSession, called: str) -> None:
    """Raise UNSUPPORTED_TOOL for a tool that a session does not have, in the words of a call."""
    name = called.partition("@")[0]
    if name not in session.tools:
        raise unknown_tool(name, session.tools)


# ---------------------------------------------------------------------------------------------------------- inside


def _contracts(pipeline: Shape, session: Session | SyncSession) -> dict[str, FunctionDeclaration | None]:
    """The contracts of the tools, by what steps call them: those of the session, else those that this process knows.

    None is for one that nobody knows yet; it may be known for the next run.
    """
    found: dict[str, FunctionDeclaration | None] = {}
    here: Callable[[str], FunctionDeclaration | None] | None = None
    for step in pipeline.tool_steps:
        called = step.tool
        if called in found:
            continue
        contract = session.declaration(called)
        if contract is None:
            require_there(session, called)
            here = here or known_contract(pipeline, None)
            contract = here(called)
        found[called] = contract
    return found


def _planned(pipeline: Shape, contracts: Mapping[str, FunctionDeclaration | None]) -> Plan:
    flow = require_flow(pipeline, contracts.get)
    declaration = FunctionDeclaration(
        name=pipeline.name,
        description=pipeline.description or f"The pipeline {pipeline.name}.",
        parameters=Schema.from_json_schema(dict(flow.inputs)),
        version=pipeline.version,
    )
    takes = {path: tuple(held.items()) for path, held in flow.takes.items()}
    return Plan(flow, declaration, takes, contracts)
