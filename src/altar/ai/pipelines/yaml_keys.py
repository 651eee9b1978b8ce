"""The keys of a pipeline in YAML, and the JSON Schema of it, by which an editor completes and checks them."""

from __future__ import annotations

from typing import Any, Final

from altar.adm.ranges import SEMVER
from altar.adm.reader import NAME

__all__ = ["KINDS", "NEEDED", "ON_EACH", "PIPELINE", "RETRY", "json_schema"]

Keys = dict[str, dict[str, Any]]

_TEXT: Final = {"type": "string", "minLength": 1}
_NAME: Final = {"type": "string", "pattern": f"^(?:{NAME.pattern})$"}
_VERSION: Final = {"type": "string", "pattern": f"^(?:{SEMVER.pattern})$"}
_FIELD: Final = {"type": "string", "minLength": 1, "maxLength": 64}
_FIELDS: Final = {"type": "array", "items": _FIELD, "uniqueItems": True}
_STEP: Final = {"$ref": "#/$defs/step"}
_STEPS: Final = {"type": "array", "items": _STEP, "minItems": 1}
_TEXTS: Final = {"type": "object", "additionalProperties": {"type": "string"}}
_AT_A_TIME: Final = {"type": "integer", "minimum": 1, "maximum": 1000, "description": "So many run at a time."}
_SECONDS: Final = {"type": "number", "exclusiveMinimum": 0}

PIPELINE: Final[Keys] = {
    "pipeline": {**_NAME, "description": "The name of the pipeline."},
    "version": {**_VERSION, "description": "Its version, such as 1.2.0."},
    "description": {"type": "string", "description": "What it does."},
    "inputs": {
        "type": ["object", "string"],
        "description": "What a run begins with: a type or a JSON Schema for each, or a text such as `topic: str`.",
    },
    "outputs": {
        "type": "array",
        "items": _TEXT,
        "minItems": 1,
        "description": "The fields that a run answers; without it what the last step gives.",
    },
    "timeout": {**_SECONDS, "description": "Seconds for a whole run."},
    "steps": {**_STEPS, "description": "What is done, in this order."},
    "pipelines": {
        "type": "object",
        "propertyNames": _NAME,
        "additionalProperties": _STEPS,
        "description": "Steps by a name, where branches go on.",
    },
}

ON_EACH: Final[Keys] = {
    "name": {**_NAME, "description": "What the step is called; no other beside it is called so."},
    "timeout": {**_SECONDS, "description": "Seconds for this step."},
    "retry": {
        "anyOf": [{"type": "integer", "minimum": 1, "maximum": 100}, {"$ref": "#/$defs/retry"}],
        "description": "How often it is tried, the first time included.",
    },
    "fallback": {**_STEP, "description": "A step that runs in its place when it fails, and gives the same fields."},
    "compensate": {**_STEP, "description": "A step that undoes it when a later step fails."},
}

RETRY: Final[Keys] = {
    "attempts": {"type": "integer", "minimum": 1, "maximum": 100},
    "base": {"type": "number", "minimum": 0, "description": "Seconds before the second attempt."},
    "cap": {"type": "number", "minimum": 0, "description": "The longest wait, in seconds."},
    "jitter": {"type": "number", "minimum": 0, "maximum": 1},
}

_OUTPUT: Final = {**_FIELD, "description": "The field that takes the whole result."}
_INPUTS: Final = {**_TEXTS, "description": "The field that a parameter takes, where it is not the one of its own name."}
_FIXED: Final = {"type": "object", "description": "Arguments that are the same in each run."}

_FUNCTION: Final = {
    "type": "object",
    "properties": {"function": _TEXT},
    "required": ["function"],
    "additionalProperties": False,
}

KINDS: Final[dict[str, Keys]] = {
    "tool": {
        "tool": {**_TEXT, "description": "The tool that is called: its name, or `name@range`."},
        "arguments": _FIXED,
        "inputs": _INPUTS,
        "output": _OUTPUT,
        "program": {**_TEXTS, "description": "What a module was made of that a text cannot make."},
    },
    "module": {
        "module": {**_TEXT, "description": "A signature of DSPy, such as `question -> answer`."},
        "kind": {**_TEXT, "description": "The module that is made of it, such as ChainOfThought; else Predict."},
        "version": {**_VERSION, "description": "The version of the tool that is made of it."},
        "as": {**_TEXT, "description": "The name of that tool, where it is not the name of the step."},
        "arguments": _FIXED,
        "inputs": _INPUTS,
        "output": _OUTPUT,
    },
    "parallel": {
        "parallel": {
            "anyOf": [_STEPS, {"type": "object", "additionalProperties": _STEP, "minProperties": 1}],
            "description": "Steps that run at the same time; a key takes the whole result of its step.",
        },
        "concurrency": _AT_A_TIME,
    },
    "map": {
        "map": {**_STEP, "description": "The step that runs for each value of a list."},
        "over": {**_FIELD, "description": "The field with the list."},
        "item": {**_FIELD, "description": "The field that has one value of it, for the step."},
        "output": {**_FIELD, "description": "The field that takes the list of results."},
        "concurrency": _AT_A_TIME,
    },
    "branch": {
        "branch": {
            "anyOf": [{"type": "string"}, _FUNCTION],
            "description": "The field that decides, or `{function: name}`.",
        },
        "cases": {**_TEXTS, "minProperties": 1, "description": "The pipeline for each value."},
        "default": {**_TEXT, "description": "The pipeline for every other value."},
    },
    "sub": {"sub": {**_TEXT, "description": "The pipeline whose steps stand here."}},
    "transform": {
        "transform": {**_TEXT, "description": "A function, by the name under which it was given."},
        "takes": {**_FIELDS, "description": "The fields that it takes, in the order of its parameters."},
        "gives": {**_FIELDS, "description": "The fields that it gives."},
    },
}

NEEDED: Final[dict[str, tuple[str, ...]]] = {"map": ("over", "item", "output"), "branch": ("cases",)}
"""The keys that a kind of step cannot do without."""

_NOT_ON: Final = {"transform": {"timeout", "retry"}}
"""What a kind of step does not take of the keys of each: a plain function is neither stopped nor tried again."""


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a pipeline in YAML."""
    kinds = [_object(_keys_of(kind), [kind, *NEEDED.get(kind, ())]) for kind in KINDS]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A pipeline of ALTAR",
        **_object(PIPELINE, ["pipeline", "steps"]),
        "$defs": {"step": {"anyOf": [_TEXT, *kinds]}, "retry": _object(RETRY, [])},
    }


def _keys_of(kind: str) -> Keys:
    return KINDS[kind] | {key: held for key, held in ON_EACH.items() if key not in _NOT_ON.get(kind, ())}


def _object(keys: Keys, required: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "object", "properties": keys, "additionalProperties": False}
    return {**found, "required": required} if required else found
