"""Pipelines written as YAML, with what is not a default; reading it gives the same pipeline.

The text is plain YAML 1.2 that readers of YAML 1.1 understand alike: what they would take for something else than a
text stands in quotes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from altar.ai.pipelines.steps import (
    BranchStep,
    MapStep,
    ParallelStep,
    PipelineStep,
    Retry,
    Step,
    ToolStep,
    TransformStep,
)

if TYPE_CHECKING:
    from altar.ai.pipelines.shape import Shape

__all__ = ["name_of", "to_yaml"]


def to_yaml(pipeline: Shape) -> str:
    """The YAML text of a pipeline; each line ends with a line break.

    A function is named by its module and its own name; a tool or module that was given itself by its contract's name.
    """
    document: dict[str, Any] = {"pipeline": pipeline.name}
    if pipeline.version != "1.0.0":
        document["version"] = pipeline.version
    if pipeline.description:
        document["description"] = pipeline.description
    if pipeline.inputs is not None:
        document["inputs"] = _inputs(pipeline.inputs)
    if pipeline.outputs is not None:
        document["outputs"] = list(pipeline.outputs)
    if pipeline.timeout is not None:
        document["timeout"] = pipeline.timeout
    document["steps"] = [_step(step) for step in pipeline.steps]
    if pipeline.pipelines:
        document["pipelines"] = {name: [_step(step) for step in steps] for name, steps in pipeline.pipelines.items()}
    return "\n".join(_lines(document, "")) + "\n"


def name_of(function: Callable[..., Any] | str) -> str:
    """What a function is called in a pipeline's digest: its module, and its name in it."""
    if isinstance(function, str):
        return function
    module = getattr(function, "__module__", "")
    return f"{module}:{getattr(function, '__qualname__', type(function).__name__)}"


def _inputs(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs by name: the name of a type, or a schema with the definitions that it refers to."""
    defs = schema.get("$defs")
    found: dict[str, Any] = {}
    for name, one in schema.get("properties", {}).items():
        if one.keys() == {"type"} and isinstance(one["type"], str) and one["type"] != "null":
            found[name] = one["type"]
        else:
            found[name] = {**one, "$defs": defs} if defs and '"$ref"' in json.dumps(one) else one
    return found


def _step(step: Step) -> dict[str, Any]:
    written = {**_of_kind(step), "name": step.name}
    if step.timeout is not None:
        written["timeout"] = step.timeout
    if step.retry.attempts > 1:
        written["retry"] = _retry(step.retry)
    if step.fallback is not None:
        written["fallback"] = _step(step.fallback)
    if step.compensate is not None:
        written["compensate"] = _step(step.compensate)
    return written


def _retry(retry: Retry) -> Any:
    usual = Retry(attempts=retry.attempts)
    if retry == usual:
        return retry.attempts
    other = [name for name in ("base", "cap", "jitter") if getattr(retry, name) != getattr(usual, name)]
    return {name: getattr(retry, name) for name in ("attempts", *other)}


def _of_kind(step: Step) -> dict[str, Any]:
    match step:
        case ToolStep():
            return _tool(step)
        case ParallelStep():
            most = {} if step.concurrency is None else {"concurrency": step.concurrency}
            return {"parallel": [_step(one) for one in step.steps], **most}
        case MapStep():
            words = {"over": step.over, "item": step.item, "output": step.output, "concurrency": step.concurrency}
            return {"map": _step(step.step), **words}
        case BranchStep():
            on = step.on if isinstance(step.on, str) else {"function": name_of(step.on)}
            default = {} if step.default is None else {"default": step.default}
            return {"branch": on, "cases": dict(step.cases), **default}
        case PipelineStep():
            return {"sub": step.pipeline}
        case TransformStep():
            words = {"takes": list(step.takes), "gives": list(step.gives)}
            return {"transform": name_of(step.function), **words}
        case _:
            raise TypeError(f"{type(step).__name__} is no step")


def _tool(step: ToolStep) -> dict[str, Any]:
    program = dict(step.program or {})
    written: dict[str, Any]
    if "signature" in program:
        name, _, version = step.tool.partition("@")
        written = {"module": program["signature"]}
        if program["kind"] != "Predict":
            written["kind"] = program["kind"]
        if version not in {"", "1.0.0"}:
            written["version"] = version
        if name != step.name:
            written["as"] = name
    else:
        written = {"tool": step.tool} | ({"program": program} if program else {})
    if step.arguments:
        written["arguments"] = dict(step.arguments)
    if step.inputs:
        written["inputs"] = dict(step.inputs)
    if step.output is not None:
        written["output"] = step.output
    return written


# ---------------------------------------------------------------------------------------------------------- as text


def _lines(value: Any, indent: str) -> Iterable[str]:
    """The lines of a mapping or a list that is not empty."""
    if isinstance(value, Mapping):
        for key, held in value.items():
            yield from _entry(f"{indent}{_scalar(key)}:", held, indent + "  ")
    else:
        for held in value:
            if isinstance(held, (Mapping, list, tuple)) and held:
                first, *rest = _lines(held, indent + "  ")
                yield f"{indent}- {first.strip()}"
                yield from rest
            else:
                yield f"{indent}- {_scalar(held)}"


def _entry(start: str, held: Any, indent: str) -> Iterable[str]:
    if isinstance(held, (list, tuple)) and all(not isinstance(one, (Mapping, list, tuple)) for one in held):
        yield f"{start} [{', '.join(_scalar(one) for one in held)}]"
    elif isinstance(held, (Mapping, list, tuple)) and held:
        yield start
        yield from _lines(held, indent)
    else:
        yield f"{start} {_scalar(held)}"


def _scalar(value: Any) -> str:
    """One value on its line; JSON is YAML, but for what stands without quotes more nicely."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and not _OTHER.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=False).translate(_BREAKS)


_PLAIN: Final = re.compile(r"[^\W\d][\w./@^<>=~-]*(?: [\w./@^<>=~(-][\w./@^<>=~()-]*)*", re.ASCII)
_OTHER: Final = re.compile(r"(?i:y|n|yes|no|on|off|true|false|null|~)")
"""What YAML 1.1 or 1.2 takes for something else than a text."""
_BREAKS: Final = {one: f"\\u{one:04x}" for one in (*range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF)}
