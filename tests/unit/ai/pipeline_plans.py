"""Pipelines whose fields flow, drawn at random with every kind of step inside of every other, and how to break one.

A plan is a tree of nodes; each tool says what it takes from those before it, and gives fields of types of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st

from altar.adm.declaration import Annotations, FunctionDeclaration
from altar.ai.pipelines import (
    Pipeline,
    Retry,
    Step,
    branch,
    map,  # noqa: A004 - its name
    parallel,
    pipeline,
    sub,
    tool,
    transform,
)
from altar.later.imported import imported
from altar.later.registry import REGISTRY
from altar.later.tool import ToolFunction

__all__ = ["KINDS", "Plan", "ToolNode", "declared", "plans", "registered"]

VALUES: dict[str, Any] = {"string": "text", "integer": 3, "boolean": True, "array": [1, 2], "object": {"deep": 1}}
KINDS = sorted(VALUES)
CASES = ("x", "y", "z")

Fields = dict[str, str]
"""Fields and their types; ``any`` for one that only a run shows."""


@dataclass
class ToolNode:
    """A call: ``takes`` says for each parameter which field it takes and of which type the parameter is.

    ``whole`` is the field for the whole result. One that ``fails`` has a fallback.
    """

    name: str
    takes: dict[str, tuple[str, str]]
    gives: Fields
    whole: str | None = None
    fallback: ToolNode | None = None
    compensate: ToolNode | None = None
    fails: bool = False

    def step(self, _: dict[str, Any]) -> Step:
        """The step, with a tool of its own."""
        made = declared(self.name, {one: kind for one, (_, kind) in self.takes.items()}, self.gives, fails=self.fails)
        return tool(
            made,
            inputs={parameter: taken for parameter, (taken, _) in self.takes.items() if parameter != taken},
            output=self.whole,
            retry=Retry(attempts=2, base=0.0) if self.fails else None,
            fallback=None if self.fallback is None else self.fallback.step({}),
            compensate=None if self.compensate is None else self.compensate.step({}),
        )


@dataclass
class TransformNode:
    """A function of fields that gives one."""

    name: str
    takes: list[str]
    gives: str
    kind: str

    def step(self, _: dict[str, Any]) -> Step:
        """The step."""
        return transform(_constant(VALUES[self.kind]), takes=self.takes, gives=[self.gives], name=self.name)


@dataclass
class ParallelNode:
    """Nodes at the same time."""

    name: str
    nodes: list[Node]

    def step(self, named: dict[str, Any]) -> Step:
        """The step."""
        return parallel(*(one.step(named) for one in self.nodes), name=self.name, concurrency=2)


@dataclass
class MapNode:
    """A node for each value of a list; its name is its output."""

    name: str
    over: str
    item: str
    node: Node

    def step(self, named: dict[str, Any]) -> Step:
        """The step."""
        return map(self.node.step(named), over=self.over, item=self.item, output=self.name)


@dataclass
class BranchNode:
    """One of several lists of nodes, by a field with the cases, or by a function."""

    name: str
    on: str | None
    ways: dict[str, list[Node]]

    def step(self, named: dict[str, Any]) -> Step:
        """The step; its pipelines are put among those that are named."""
        for way, nodes in self.ways.items():
            named[f"{self.name}_{way}"] = [one.step(named) for one in nodes]
        cases = {way: f"{self.name}_{way}" for way in list(self.ways)[1:]}
        on: Any = self.on if self.on is not None else _constant("y")
        return branch(on, cases or {"y": f"{self.name}_x"}, default=f"{self.name}_x", name=self.name)


@dataclass
class SubNode:
    """The nodes of a pipeline that is named as the step is."""

    name: str
    nodes: list[Node]

    def step(self, named: dict[str, Any]) -> Step:
        """The step; its pipeline is put among those that are named."""
        named[self.name] = [one.step(named) for one in self.nodes]
        return sub(self.name)


Node = ToolNode | TransformNode | ParallelNode | MapNode | BranchNode | SubNode


@dataclass
class Plan:
    """A pipeline before it is made."""

    inputs: Fields
    nodes: list[Node]
    outputs: list[str] | None = None
    known: Fields = field(default_factory=dict)

    def made(self) -> Pipeline:
        """The pipeline; refused if it is broken."""
        named: dict[str, Any] = {}
        inputs = {name: {"type": kind} for name, kind in self.inputs.items()} | {"case": {"enum": list(CASES)}}
        steps = [one.step(named) for one in self.nodes]
        return pipeline("made", steps, inputs=inputs, outputs=self.outputs, pipelines=named)

    def values(self) -> dict[str, Any]:
        """Inputs for a run."""
        return {name: "y" if name == "case" else VALUES[kind] for name, kind in self.inputs.items()}

    def tools(self) -> list[tuple[str, ToolNode]]:
        """Every tool, wherever it stands, by its path."""
        return list(_tools(self.nodes, ""))

    def branches(self) -> list[BranchNode]:
        """Every branch, wherever it stands."""
        return [one for one in _walked(self.nodes) if isinstance(one, BranchNode)]


def declared(name: str, takes: Fields, gives: Fields, *, fails: bool = False) -> ToolFunction[..., Any]:
    """A tool that takes and gives fields of these types."""
    document = {
        "name": name,
        "description": "Gives what it says.",
        "parameters": {
            "type": "OBJECT",
            "properties": {each: {"type": kind.upper()} for each, kind in takes.items()},
            "required": list(takes),
        },
        "returns": {
            "type": "OBJECT",
            "properties": {each: {"type": kind.upper()} for each, kind in gives.items()},
            "required": list(gives),
        },
    }
    declaration, found = FunctionDeclaration.read(document)
    assert declaration is not None, found

    async def run(arguments: Any, _: Any) -> dict[str, Any]:
        if fails:
            raise ValueError(arguments)
        return {each: VALUES[kind] for each, kind in gives.items()}

    return imported(replace(declaration, annotations=Annotations(read_only=True)), run, origin="test")


@contextmanager
def registered(made: Pipeline) -> Iterator[None]:
    """The tools of a pipeline are in the registry for the time of the block."""
    tools = [step.made for step in made.tool_steps if step.made is not None]
    for one in tools:
        REGISTRY.register(one, replace=True)
    try:
        yield
    finally:
        for one in tools:
            REGISTRY.unregister(one.name)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """A plan that works, with up to five steps in a row and three levels of them; the last one is a tool."""
    growing = _Growing(draw)
    inputs = growing.fields() | {"case": "string", "list_in": "array"}
    nodes, known = growing.nodes(inputs, depth=2, most=4)
    last, given = growing.tool(inputs | known)
    nodes.append(last)
    everything = inputs | known | given
    outputs = draw(st.none() | st.lists(st.sampled_from(sorted(everything)), min_size=1, max_size=3, unique=True))
    return Plan(inputs, nodes, outputs, everything)


class _Growing:
    """One plan as it is drawn; no name is used twice."""

    def __init__(self, draw: Callable[[Any], Any]) -> None:
        self.draw = draw
        self.count = 0

    def name(self, start: str) -> str:
        self.count += 1
        return f"{start}_{self.count}"

    def fields(self) -> Fields:
        """New fields of drawn types, at least one: an object without members may have any."""
        kinds = self.draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=2))
        return {self.name("field"): kind for kind in kinds}

    def nodes(self, known: Fields, *, depth: int, most: int) -> tuple[list[Node], Fields]:
        """Nodes one after the other, and all that they surely give."""
        nodes: list[Node] = []
        given: Fields = {}
        for _ in range(self.draw(st.integers(1, most))):
            node, gives = self.node(known | given, depth)
            nodes.append(node)
            given |= gives
        return nodes, given

    def node(self, known: Fields, depth: int) -> tuple[Node, Fields]:
        kinds = ["tool", "tool", "transform", *(["parallel", "map", "branch", "sub"] if depth else [])]
        match self.draw(st.sampled_from(kinds)):
            case "transform":
                gives, kind = self.name("field"), self.draw(st.sampled_from(KINDS))
                return TransformNode(self.name("shaped"), list(self.taken(known)), gives, kind), {gives: "any"}
            case "parallel":
                parts = [self.node(known, depth - 1) for _ in range(self.draw(st.integers(1, 3)))]
                merged = {name: kind for _, gives in parts for name, kind in gives.items()}
                return ParallelNode(self.name("beside"), [one for one, _ in parts]), merged
            case "map":
                over = self.draw(st.sampled_from([name for name, kind in known.items() if kind == "array"]))
                item = self.name("item")
                inner, _ = self.node(known | {item: "any"}, depth - 1)
                output = self.name("each")
                return MapNode(output, over, item, inner), {output: "array"}
            case "branch":
                return self.branch(known, depth)
            case "sub":
                nodes, given = self.nodes(known, depth=depth - 1, most=2)
                return SubNode(self.name("inline"), nodes), given
            case _:
                return self.tool(known)

    def branch(self, known: Fields, depth: int) -> tuple[Node, Fields]:
        """A branch whose ways all end with a tool that gives the same fields."""
        common = self.fields()
        ways: dict[str, list[Node]] = {}
        for case in CASES[: self.draw(st.integers(1, 3))]:
            nodes, given = self.nodes(known, depth=depth - 1, most=2)
            ways[case] = [*nodes, ToolNode(self.name("tool"), self.taken_by(known | given), common)]
        return BranchNode(self.name("branch"), self.draw(st.sampled_from(["case", None])), ways), common

    def tool(self, known: Fields) -> tuple[ToolNode, Fields]:
        gives, whole = self.fields(), None
        given: Fields = dict(gives)
        if self.draw(st.booleans()):
            whole = self.name("whole")
            given = {whole: "object"}
        node = ToolNode(self.name("tool"), self.taken_by(known), gives, whole)
        if self.draw(st.booleans()):
            node.fallback = ToolNode(self.name("tool"), self.taken_by(known), gives, whole)
            node.fails = self.draw(st.booleans())
        if self.draw(st.booleans()):
            node.compensate = ToolNode(self.name("tool"), self.taken_by(known | given), self.fields())
        return node, given

    def taken(self, known: Fields) -> set[str]:
        drawn: set[str] = self.draw(st.sets(st.sampled_from(sorted(known)), max_size=3))
        return drawn

    def taken_by(self, known: Fields) -> dict[str, tuple[str, str]]:
        """Parameters for drawn fields, some of them under a name of their own; none for what nobody knows."""
        names = sorted(name for name in self.taken(known) if known[name] != "any")
        return {self.draw(st.sampled_from([name, f"of_{name}"])): (name, known[name]) for name in names}


def _tools(nodes: list[Node], at: str) -> Iterator[tuple[str, ToolNode]]:
    for one in nodes:
        yield from _tools_of(one, f"{at}/{one.name}" if at else one.name)


def _tools_of(node: Node, path: str) -> Iterator[tuple[str, ToolNode]]:
    match node:
        case ToolNode():
            yield path, node
            if node.fallback is not None:
                yield f"{path} (fallback)", node.fallback
            if node.compensate is not None:
                yield f"{path} (compensation)", node.compensate
        case MapNode():
            yield from _tools_of(node.node, f"{path}[]")
        case BranchNode():
            for way, nodes in node.ways.items():
                yield from _tools(nodes, f"{path}/{node.name}_{way}")
        case ParallelNode() | SubNode():
            yield from _tools(node.nodes, path)


def _walked(nodes: list[Node]) -> Iterator[Node]:
    for one in nodes:
        yield one
        match one:
            case MapNode():
                yield from _walked([one.node])
            case BranchNode():
                yield from (inner for way in one.ways.values() for inner in _walked(way))
            case ParallelNode() | SubNode():
                yield from _walked(one.nodes)


def _constant(value: Any) -> Callable[..., Any]:
    def constant(*_: Any) -> Any:
        return value

    return constant
