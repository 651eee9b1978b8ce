"""One JSON Schema document for a function: what its arguments look like.

In: a declaration; or a JSON Schema document with a `title`.
Out: the other one.
The title of the document is the name of the function, its description that of the function; this is the form
in which frameworks take a schema for a structured output.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from altar.adm.declaration import FunctionDeclaration
from altar.adm.defect import pointer
from altar.adm.formats.foreign import Reading, required
from altar.adm.formats.format import Format, Loss, Read, Written, abroad, unheld

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class JsonSchema(Format):
    """A JSON Schema 2020-12 document of the arguments."""

    name: ClassVar = "json_schema"
    title: ClassVar = "JSON Schema"
    own: ClassVar = "x_json_schema"

    def write(self, declaration: FunctionDeclaration) -> Written:
        """Return the document; a title or description of the parameters themselves gives way."""
        parameters = declaration.parameters.json_schema
        why = "the root tells the name and the description of the function"
        losses = [
            Loss(f"/parameters/{name}", "left out", why) for name in ("title", "description") if name in parameters
        ]
        there = abroad(declaration, format=self, known=())
        losses += [*there.losses, *(Loss(pointer(self.own, name), "left out", why) for name in there.members)]
        head = {"$schema": DIALECT, "title": there.name, "description": declaration.description}
        losses += unheld(declaration, title=self.title, own=self.own)
        return Written(head | {name: held for name, held in parameters.items() if name not in head}, tuple(losses))

    def read(self, document: Mapping[str, Any]) -> Read:
        """Return the declaration of a document; its `title` is the name."""
        schema = dict(required(document, at="", what="A JSON Schema of a function"))
        reading = Reading(self)
        reading.name(schema.pop("title", None), at="/title")
        reading.description(schema.pop("description", None), at="/description")
        reading.parameters(schema, at="")
        return reading.read()
