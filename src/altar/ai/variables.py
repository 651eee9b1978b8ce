"""Variables of a session that a module follows: settings of the language model, instructions, demos, thresholds.

A contract declares each one, with what it binds to and which values it may have, and nothing else is ever bound::

    tool_from_module(module, variables={"warmth": bound("lm.temperature", minimum=0, maximum=1)})

A change is seen by the next call.
A variable that the session does not have leaves the module as it is; a value that the contract does not allow refuses
the call.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from altar.adm.errors import DeclarationError, ValidationError
from altar.adm.schema import Schema

__all__ = ["Bound", "bound"]

_LM_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "temperature": {"type": "number", "minimum": 0, "maximum": 2},
    "top_p": {"type": "number", "minimum": 0, "maximum": 1},
    "max_tokens": {"type": "integer", "minimum": 1, "maximum": 1_000_000},
    "presence_penalty": {"type": "number", "minimum": -2, "maximum": 2},
    "frequency_penalty": {"type": "number", "minimum": -2, "maximum": 2},
    "seed": {"type": "integer"},
    "n": {"type": "integer", "minimum": 1, "maximum": 20},
}
"""The settings of a language model that a session may change, each with what it can be at all."""
_LONGEST_INSTRUCTIONS = 20_000
_MOST_DEMOS = 64
_TYPES: Mapping[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}


@dataclass(frozen=True, slots=True)
class Bound:
    """What a variable binds to, and the schema of its values.

    ``to`` is ``lm`` (which model, of those that the schema lists), ``lm.<setting>``, ``instructions`` or ``demos``, of
    one predictor as ``<predictor>.instructions``, or the name of an attribute of the module, such as ``threshold``.
    """

    to: str
    schema: Schema = field(compare=False)

    def to_json(self) -> dict[str, Any]:
        """What the contract says of it."""
        return {"binds": self.to, "schema": self.schema.to_adm()}

    def check(self, name: str, value: object) -> None:
        """Raise ValidationError SCHEMA_VIOLATION, ``ran`` no, for a value that the contract does not allow."""
        found = self.schema.defects(value)
        if found:
            raise ValidationError(
                "SCHEMA_VIOLATION",
                f"The variable {name!r} of this session has a value that its tool does not take: {found[0].message}",
                ran="no",
                hint=f"the contract says what {name!r} may be, in its metadata 'variables'",
            )

    def require_target(self, name: str, module: Any) -> None:
        """Raise DeclarationError INVALID_DECLARATION unless the module has what this binds to."""
        if self.to == "lm" or self.to.startswith("lm."):
            self._require_listed()
            return
        place, kind = self._place()
        if kind is None:
            held = getattr(module, self.to, None)
            if type(held) not in _TYPES or self.to.startswith("_"):
                raise _refused(
                    f"The variable {name!r} binds to {self.to!r}, which is no number and no text of the module",
                    "bind to 'lm.temperature', 'instructions', 'demos', or an attribute such as 'threshold'",
                )
        elif place and place not in dict(module.named_predictors()):
            known = ", ".join(repr(each) for each, _ in module.named_predictors())
            raise _refused(
                f"The variable {name!r} binds to {self.to!r}, and the module has no predictor {place!r}",
                f"its predictors are {known}",
            )

    def _require_listed(self) -> None:
        """Refuse a language model that is not listed, and a setting that is none of those a session may change."""
        document = self.schema.json_schema
        if self.to == "lm" and not ("enum" in document or "const" in document):
            raise _unlisted()
        if self.to != "lm" and self.to.removeprefix("lm.") not in _LM_SETTINGS:
            raise _unchangeable(self.to)

    def apply(self, module: Any, value: Any, *, original: Any, is_set: bool) -> None:
        """Give the module this value, or what ``original`` has where the variable is not set."""
        place, kind = self._place()
        if kind is None and self.to != "lm" and not self.to.startswith("lm."):
            setattr(module, self.to, value if is_set else getattr(original, self.to))
            return
        originals = dict(original.named_predictors())
        for name, predictor in module.named_predictors():
            if place and name != place:
                continue
            self._apply(predictor, value, originals[name], kind, is_set=is_set)

    def _apply(self, predictor: Any, value: Any, original: Any, kind: str | None, *, is_set: bool) -> None:
        if self.to == "lm":
            predictor.lm = None if is_set else original.lm  # its own would be asked first
        elif kind == "instructions":
            text = value if is_set else original.signature.instructions
            predictor.signature = predictor.signature.with_instructions(text)
        elif kind == "demos":
            predictor.demos = [_demo(each) for each in value] if is_set else copy.deepcopy(original.demos)
        else:
            setting = self.to.removeprefix("lm.")
            config = {key: each for key, each in predictor.config.items() if key != setting}
            if is_set:
                config[setting] = value
            elif setting in original.config:
                config[setting] = original.config[setting]
            predictor.config = config

    def _place(self) -> tuple[str, str | None]:
        """The predictor it is about, "" for all, and what of it; None for what is no part of predictors."""
        place, _, kind = self.to.rpartition(".")
        return (place, kind) if kind in {"instructions", "demos"} else ("", None)


def bound(
    to: str,
    *,
    one_of: Sequence[Any] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    type: type | None = None,
) -> Bound:
    """What a variable of the session binds to, with the values it may have.

    ``to`` is one of ``lm``, ``lm.<setting>``, ``instructions``, ``demos``, or an attribute of the module.
    ``one_of`` lists the values; ``minimum`` and ``maximum`` bound a number, and are the length of a text.
    ``type`` is that of an attribute: float unless something else is said.
    Raises DeclarationError INVALID_DECLARATION for a binding without a range, or to what a session must not change.
    """
    setting = to.removeprefix("lm.") if to.startswith("lm.") else ""
    if setting and setting not in _LM_SETTINGS:
        raise _unchangeable(to)
    if to == "lm" and not one_of:
        raise _unlisted()
    document: dict[str, Any] = dict(_LM_SETTINGS.get(setting, {}))
    kind = to.rpartition(".")[2]
    if kind == "instructions":
        document = {"type": "string", "minLength": 1, "maxLength": int(maximum or _LONGEST_INSTRUCTIONS)}
    elif kind == "demos":
        items = {"type": "object", "minProperties": 1, "maxProperties": 100}
        document = {"type": "array", "items": items, "maxItems": int(maximum or _MOST_DEMOS)}
    elif not setting and to != "lm":
        document = _of_attribute(to, type, one_of, minimum, maximum)
    if kind not in {"instructions", "demos"}:
        least, most = ("minLength", "maxLength") if document.get("type") == "string" else ("minimum", "maximum")
        document |= {} if minimum is None else {least: minimum}
        document |= {} if maximum is None else {most: maximum}
    if one_of is not None:
        document = {"enum": list(one_of)} | ({"type": document["type"]} if "type" in document else {})
    return Bound(to, Schema.from_json_schema(document))


def _of_attribute(
    to: str, kind: type | None, one_of: Sequence[Any] | None, minimum: float | None, maximum: float | None
) -> dict[str, Any]:
    made = kind or float
    if made not in _TYPES:
        raise _refused(f"An attribute of the type {made.__name__!r} cannot follow a variable", "bind numbers or texts")
    if made is not bool and one_of is None and None in (minimum, maximum):
        raise _refused(
            f"The values that {to!r} may have must be bounded",
            f"bound({to!r}, minimum=0, maximum=1), or one_of=[…]",
        )
    return {"type": _TYPES[made]}


def _demo(fields: Mapping[str, Any]) -> Any:
    import dspy

    return dspy.Example(dict(fields))  # not by name: a field may be called as one of its parameters


def _unlisted() -> DeclarationError:
    return _refused("The language models that a session may choose from must be listed", "bound('lm', one_of=[…])")


def _unchangeable(to: str) -> DeclarationError:
    return _refused(
        f"A session cannot change {to!r}",
        f"it can change {', '.join(f'lm.{each}' for each in _LM_SETTINGS)}; keys and addresses belong to the host",
    )


def _refused(message: str, hint: str) -> DeclarationError:
    return DeclarationError("INVALID_DECLARATION", message, hint=hint)
