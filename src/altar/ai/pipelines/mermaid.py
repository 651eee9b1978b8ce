"""The picture of a pipeline, as a flowchart of Mermaid.

A pipeline comes in; text goes out that begins with ``flowchart TD``.
Tools are boxes, modules boxes with a double border, transforms leaning boxes, branches diamonds with a case at each
way out; steps that run at the same time, the steps of a map and those of a named pipeline stand in a frame.
What only runs when something fails is dashed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from altar.ai.pipelines.flow import require_flow
from altar.ai.pipelines.plan import known_contract
from altar.ai.pipelines.steps import BranchStep, MapStep, ParallelStep, PipelineStep, Step, ToolStep, TransformStep

if TYPE_CHECKING:
    from altar.ai.pipelines.shape import Shape

__all__ = ["mermaid", "ways_of"]

_LONGEST: Final = 60
_MOST: Final = 400
"""So many steps are drawn one by one; a named pipeline that would go beyond is one box."""


def mermaid(pipeline: Shape) -> str:
    """The flowchart of a pipeline; each line ends with a line break."""
    return _Picture(pipeline).text()


def ways_of(step: BranchStep) -> dict[str, list[str]]:
    """The pipelines that a branch leads to, each with the cases that lead there; ``otherwise`` is the default."""
    ways: dict[str, list[str]] = {}
    for case, pipeline in step.cases.items():
        ways.setdefault(pipeline, []).append(case)
    if step.default is not None:
        ways.setdefault(step.default, []).append("otherwise")
    return ways


class _Picture:
    """One flowchart as it is drawn, line by line.

    A part that is drawn gives the names of the nodes that it is left by.
    """

    def __init__(self, pipeline: Shape) -> None:
        self.pipeline = pipeline
        self.lines = ["flowchart TD"]
        self.depth = 1
        self.count = 0
        self.dashed: list[str] = []

    def text(self) -> str:
        """Draw it."""
        flow = require_flow(self.pipeline, known_contract(self.pipeline, None))
        begin = self._node('(["{}"])', _listed(flow.inputs["properties"], "no inputs"))
        ends = self._steps(self.pipeline.steps, [begin])
        end = self._node('(["{}"])', _listed(flow.outputs["properties"], "no outputs"))
        self._join(ends, end)
        if self.dashed:
            self._line("classDef dashed stroke-dasharray: 5 5")
            self._line(f"class {','.join(self.dashed)} dashed")
        return "\n".join(self.lines) + "\n"

    def _steps(self, steps: Sequence[Step], before: list[str]) -> list[str]:
        """Draw steps one after the other; ``before`` are left for the first of them."""
        for step in steps:
            _, before = self._step(step, before)
        return before

    def _step(self, step: Step, before: Iterable[str]) -> tuple[str, list[str]]:
        """Draw one step, and what runs when it fails; return its node and what it is left by."""
        if isinstance(step, BranchStep):
            node, ends = self._branch(step, before)
        else:
            node = self._body(step)
            self._join(before, node)
            ends = [node]
        if step.fallback is not None:
            instead, others = self._aside(step.fallback)
            self._line(f'{node} -. "if it fails" .-> {instead}')
            ends = [*ends, *others]
        if step.compensate is not None:
            undone, _ = self._aside(step.compensate)
            self._line(f'{node} -. "undone by" .-> {undone}')
        return node, ends

    def _aside(self, step: Step) -> tuple[str, list[str]]:
        node, ends = self._step(step, ())
        self.dashed.append(node)
        return node, ends

    def _body(self, step: Step) -> str:
        match step:
            case ToolStep():
                return self._tool(step)
            case TransformStep():
                return self._node('[/"{}"/]', _text(step.name))
            case ParallelStep():
                most = "" if step.concurrency is None else f", {step.concurrency} at a time"
                return self._frame(f"{step.name}: at the same time{most}", step.steps, is_sequence=False)
            case MapStep():
                title = f"{step.output}: for each {step.item} of {step.over}, {step.concurrency} at a time"
                return self._frame(title, [step.step])
            case PipelineStep():
                return self._named(step.pipeline)
            case _:
                return self._node('["{}"]', _text(step.name))

    def _tool(self, step: ToolStep) -> str:
        made_of = (step.program or {}).get("kind")
        name = step.tool.partition("@")[0]
        more = made_of or (name if name != step.name else "")
        label = _text(step.name) + (f"<br>{_text(more)}" if more else "")
        return self._node('[["{}"]]' if step.program else '["{}"]', label)

    def _branch(self, step: BranchStep, before: Iterable[str]) -> tuple[str, list[str]]:
        on = step.on if isinstance(step.on, str) else f"{getattr(step.on, '__name__', 'a function')}(…)"
        node = self._node('{{"{}"}}', _text(f"{on}?"))
        self._join(before, node)
        ends = []
        for pipeline, cases in ways_of(step).items():
            way = self._named(pipeline)
            self._line(f'{node} -- "{" or ".join(map(_text, cases))}" --> {way}')
            ends.append(way)
        return node, ends

    def _named(self, pipeline: str) -> str:
        if self.count > _MOST:
            return self._node('["{}"]', f"{_text(pipeline)}<br>…")
        return self._frame(pipeline, self.pipeline.pipelines[pipeline])

    def _frame(self, title: str, steps: Sequence[Step], *, is_sequence: bool = True) -> str:
        self.count += 1
        node = f"s{self.count}"
        self._line(f'subgraph {node}["{_text(title)}"]')
        self.depth += 1
        self._line("direction TB")
        if is_sequence:
            self._steps(steps, [])
        else:
            for step in steps:
                self._step(step, ())
        self.depth -= 1
        self._line("end")
        return node

    def _node(self, shape: str, label: str) -> str:
        self.count += 1
        node = f"s{self.count}"
        self._line(node + shape.format(label))
        return node

    def _join(self, before: Iterable[str], node: str) -> None:
        for one in before:
            self._line(f"{one} --> {node}")

    def _line(self, text: str) -> None:
        self.lines.append("  " * self.depth + text)


def _listed(names: Iterable[str], nothing: str) -> str:
    return "<br>".join(map(_text, names)) or nothing


def _text(words: str) -> str:
    """Words as they stand between the quotes of a label: nothing in them is a sign of Mermaid, Markdown or HTML."""
    plain = " ".join(words.split())
    plain = plain if len(plain) <= _LONGEST else plain[: _LONGEST - 1] + "…"
    found = _SIGNS.sub(lambda sign: f"#{ord(sign[0])};", plain)
    return _LIST.sub(lambda mark: "".join(f"#{ord(one)};" for one in mark[0]), found)


_SIGNS: Final = re.compile(r"""["#&<>`*~\\;$%{}|\x00-\x1f\x7f-\x9f]""")
_LIST: Final = re.compile(r"^(?:[-+]|\d+[.)])(?=\s|$)")
