"""Schemas between a declaration and the components of an OpenAPI document.

In: a schema that stands for itself, with references that count from its own root.
Out: the same schema as a component, with references that count from the root of the document; and back.
Back, every component that the schema needs comes along in its `$defs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from altar.adm.defect import pointer
from altar.adm.formats.format import Loss
from altar.adm.formats.references import by_place, changed, found, rebased

COMPONENTS: Final = "#/components/schemas/"


def attached(
    schema: Mapping[str, Any], components: dict[str, Any], *, name: str, part: str
) -> tuple[dict[str, Any], list[Loss]]:
    """Put a schema among the components; return the reference to it and the losses, with their places in it.

    References by anchor become references by place, and the `$id` of the root is left out: few tools for OpenAPI
    follow either, and the anchors of two functions could meet.
    """
    key = f"{name}.{part}"
    losses = [Loss("/$id", "left out", _BY_PLACE)] if "$id" in schema else []
    alone, places = by_place({word: held for word, held in schema.items() if word != "$id"})
    losses += [Loss(f"{path}/$ref", "written as a pointer", _BY_PLACE) for path in places]
    components[key] = rebased(alone, old="#", new=COMPONENTS + key)
    return {"$ref": COMPONENTS + key}, losses


def detached(schema: Any, document: Mapping[str, Any], *, is_part: bool = False) -> Any:
    """Return a schema of a document as one that stands for itself, or for a part of a schema to be made.

    A part brings its definitions along for the root of that schema.
    """
    base = ""
    if (
        not is_part
        and isinstance(schema, Mapping)
        and schema.keys() == {"$ref"}
        and str(schema["$ref"]).startswith(COMPONENTS)
    ):
        base = schema["$ref"]
        schema = found(document, base)
    if not isinstance(schema, Mapping):
        return schema
    if "$id" in schema:
        return dict(schema)  # a resource of its own, whose references count from itself
    moving = _Moving(document, base, taken=frozenset(schema.get("$defs", {})))
    root = changed(schema, moving.reference)
    places = moving.definitions()
    return root | ({"$defs": {**root.get("$defs", {}), **places}} if places else {})


_BY_PLACE: Final = "a schema of an OpenAPI document is found by its place"


class _Moving:
    """References on their way from a document into a schema of its own; notes which components they need."""

    def __init__(self, document: Mapping[str, Any], base: str, *, taken: frozenset[str]) -> None:
        self._document = document
        self._base = base
        self._taken = taken
        self._names: dict[str, str] = {}

    def reference(self, reference: str) -> str:
        """Return a reference as it reads in the schema."""
        if self._base and (reference == self._base or reference.startswith(f"{self._base}/")):
            return "#" + reference[len(self._base) :]
        if not reference.startswith(COMPONENTS):
            return reference
        key, slash, rest = reference.removeprefix(COMPONENTS).partition("/")
        return f"#{pointer('$defs', self._name(key))}{slash}{rest}"

    def definitions(self) -> dict[str, Any]:
        """Return the components that were needed, and those that they need in turn."""
        made: dict[str, Any] = {}
        while len(made) < len(self._names):
            for key, name in list(self._names.items()):
                if name not in made:
                    made[name] = changed(found(self._document, COMPONENTS + key), self.reference)
        return made

    def _name(self, key: str) -> str:
        if key not in self._names:
            name = key.replace("~1", "/").replace("~0", "~")
            while name in self._taken or name in self._names.values():
                name += "_"
            self._names[key] = name
        return self._names[key]
