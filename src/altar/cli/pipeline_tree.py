"""A pipeline as a tree for a person at a terminal: its steps, what each takes and gives, and what happens if it fails.

A pipeline and its flow come in; lines of text go out, without colour.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import BytesIO, TextIOWrapper
from typing import TYPE_CHECKING, Any

from altar.ai.pipelines.flow import below, compensation_of, fallback_of
from altar.ai.pipelines.mermaid import ways_of
from altar.ai.pipelines.plan import known_contract
from altar.ai.pipelines.steps import (
    BranchStep,
    MapStep,
    ParallelStep,
    PipelineStep,
    Retry,
    Step,
    ToolStep,
)
from altar.ai.pipelines.yaml_writing import name_of
from altar.cli import output

if TYPE_CHECKING:
    from rich.tree import Tree

    from altar.ai.pipelines.flow import Flow
    from altar.ai.pipelines.shape import Shape

__all__ = ["members_of", "tree_of"]

_WIDEST = 10_000


def tree_of(pipeline: Shape, flow: Flow, *, width: int | None = None, encoding: str = "utf-8") -> str:
    """The tree of a pipeline in lines of at most ``width`` characters; of any length for None.

    What ``encoding`` cannot write becomes a question mark; its lines are drawn with what it has.
    The steps of a named pipeline are shown where it is named first.
    """
    from rich.console import Console

    drawn = _Drawing(pipeline, flow).tree()
    nowhere = TextIOWrapper(BytesIO(), encoding=encoding)
    console = Console(file=nowhere, width=width or _WIDEST, color_system=None, legacy_windows=False)
    with console.capture() as text:
        console.print(drawn, highlight=False)
    lines = "\n".join(line.rstrip() for line in text.get().splitlines())
    return lines.encode(encoding, "replace").decode(encoding)


def members_of(schema: Any) -> str:
    """The members of an object's schema with their types; those that may be missing with a question mark."""
    required = set(schema.get("required", ()))
    found = [
        f"{name}{'' if name in required else '?'}" + (f": {one['type']}" if isinstance(one.get("type"), str) else "")
        for name, one in schema.get("properties", {}).items()
    ]
    more = ["what its last step gives"] if schema.get("additionalProperties") is True else []
    return output.one_line(", ".join([*found, *more])) or "nothing"


class _Drawing:
    """One tree as it grows."""

    def __init__(self, pipeline: Shape, flow: Flow) -> None:
        self.pipeline = pipeline
        self.flow = flow
        self.contract = known_contract(pipeline, None)
        self.shown: set[str] = set()

    def tree(self) -> Tree:
        """Draw it."""
        from rich.tree import Tree

        root = Tree(_plain(f"takes {members_of(self.flow.inputs)}"))
        self._steps(root, self.pipeline.steps, "")
        limit = [] if self.pipeline.timeout is None else [f"at most {self.pipeline.timeout:g} s"]
        root.add(_plain(_joined([f"answers {members_of(self.flow.outputs)}", *limit])))
        return root

    def _steps(self, to: Tree, steps: Sequence[Step], path: str) -> None:
        for step in steps:
            self._step(to, step, below(path, step.name))

    def _step(self, to: Tree, step: Step, path: str, says: str = "") -> None:
        told = [f"{says}{step.name}  {self._kind(step)}", *self._fields(step, path), *_limits(step)]
        node = to.add(_plain(_joined(told)))
        match step:
            case ParallelStep():
                self._steps(node, step.steps, path)
            case MapStep():
                self._step(node, step.step, f"{path}[]")
            case BranchStep():
                for target, cases in ways_of(step).items():
                    self._named(node, target, below(path, target), f"{' or '.join(cases)}: {target}")
            case PipelineStep():
                self._named(node, step.pipeline, path, "")
        if step.fallback is not None:
            self._step(node, step.fallback, fallback_of(path), "if it fails: ")
        if step.compensate is not None:
            self._step(node, step.compensate, compensation_of(path), "undone by: ")

    def _named(self, to: Tree, name: str, path: str, title: str) -> None:
        """The steps of a named pipeline, in the node itself or under a title."""
        is_shown = name in self.shown
        self.shown.add(name)
        if title:
            to = to.add(_plain(title + ("  (its steps are above)" if is_shown else "")))
        elif is_shown:
            to.add(_plain("(its steps are above)"))
        if not is_shown:
            self._steps(to, self.pipeline.pipelines[name], path)

    def _kind(self, step: Step) -> str:
        match step:
            case ToolStep() if step.program is not None:
                made_of = step.program.get("signature")
                kind = step.program.get("kind") or step.program.get("class", "module")
                return f"module {kind}" + (f' "{made_of}"' if made_of else "")
            case ToolStep():
                return "tool" if step.tool.partition("@")[0] == step.name else f"tool {step.tool}"
            case ParallelStep():
                return "at the same time" + ("" if step.concurrency is None else f", {step.concurrency} at a time")
            case MapStep():
                return f"for each {step.item} of {step.over}, {step.concurrency} at a time"
            case BranchStep():
                return f"by {step.on if isinstance(step.on, str) else f'{name_of(step.on)}(…)'}"
            case PipelineStep():
                return f"the steps of {step.pipeline}"
            case _:
                return f"transform {name_of(getattr(step, 'function', ''))}"

    def _fields(self, step: Step, path: str) -> list[str]:
        """What a step takes and gives; for a step made of steps, theirs say it."""
        found = []
        taken = self.flow.takes.get(path)
        if taken is not None:
            words = [one if one == field else f"{one} from {field}" for one, field in taken.items()]
            if isinstance(step, ToolStep) and self.contract(step.tool) is None:
                words.append("what is not known here")
            found.append(f"takes {', '.join(words) or 'nothing'}")
        fixed = step.arguments if isinstance(step, ToolStep) else {}
        if fixed:
            found.append(f"with {', '.join(f'{name}={_short(value)}' for name, value in fixed.items())}")
        if taken is not None or isinstance(step, MapStep):
            found.append(f"gives {', '.join(self.flow.gives.get(path, ())) or 'what its tool answers'}")
        return found


def _limits(step: Step) -> list[str]:
    found = [] if step.timeout is None else [f"at most {step.timeout:g} s"]
    if step.retry != Retry(attempts=1):
        found.append(f"{step.retry.attempts} attempts")
    return found


def _short(value: object) -> str:
    import json

    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _joined(parts: Iterable[str]) -> str:
    return "; ".join(parts)


def _plain(words: str) -> Any:
    """Words as rich shows them, without marks of its own language."""
    from rich.text import Text

    return Text(output.one_line(words))
