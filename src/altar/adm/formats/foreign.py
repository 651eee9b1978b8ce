"""A declaration made from what a foreign document says.

In: the name, the texts and the schemas of a foreign document, each with its place there.
Out: a declaration, and what of the document it does not hold.
What only the foreign format knows is kept in an extension of the declaration, so that writing it in the same
format again brings it back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from altar.adm.declaration import FunctionDeclaration
from altar.adm.defect import Defect, Kind, pointer, quoted
from altar.adm.errors import DeclarationError
from altar.adm.formats.format import Format, Loss, Read
from altar.adm.formats.names import fitting
from altar.adm.schema import Schema, read_schema

OWN_MEMBERS: Final = frozenset(
    "name description parameters returns version annotations metadata"
    " is_read_only is_idempotent is_stateful is_deprecated".split()
)
"""The members of a declaration that no extension can stand for."""


class Reading:
    """A declaration in the making; `read` ends it.

    Every method takes the place in the foreign document, as a JSON Pointer, that a defect or a loss names.
    """

    def __init__(self, format: Format) -> None:
        """Begin to read a document of `format`."""
        self._format = format
        self._document: dict[str, Any] = {}
        self._extensions: dict[str, Any] = {}
        self._losses: list[Loss] = []
        self.kept: dict[str, Any] = {}

    def name(self, held: object, *, at: str) -> None:
        """Take the name; one that ADM does not allow is replaced, and kept for the way back."""
        if not isinstance(held, str) or not held:
            raise refused(at, "TYPE", f"A tool of {self._format.title} needs a name, not {quoted(held)}")
        name = fitting(held)
        if name != held:
            self.kept["name"] = held
        self._document["name"] = name

    def description(self, *texts: object, at: str) -> None:
        """Take the first text that is not blank; without one, say in words that there is none."""
        for index, held in enumerate(texts):
            if isinstance(held, str) and held.strip():
                self._document["description"] = held
                if index:
                    self._losses.append(Loss(at, "taken from the title", "ADM asks for a description"))
                return
        name = self.kept.get("name", self._document["name"])
        self._document["description"] = f"The tool {name}, of which no description is known."
        self._losses.append(Loss(at, "made up from the name", "ADM asks for a description"))

    def parameters(self, held: object, *, at: str) -> Schema:
        """Take the schema of the arguments; None stands for a function without any."""
        schema = self.schema({"type": "object", "properties": {}} if held is None else held, at=at, is_object=True)
        self._document["parameters"] = schema.to_adm()
        return schema

    def returns(self, held: object, *, at: str) -> None:
        """Take the schema of the result, if there is one."""
        if held is not None:
            self._document["returns"] = self.schema(held, at=at).to_adm()

    def member(self, name: str, held: object) -> None:
        """Take a member of the ADM document as it is, unless it is None; reading checks it."""
        if held is not None:
            self._document[name] = held

    def extensions(self, held: object, *, at: str) -> None:
        """Take further members, none of which may stand for one of a declaration's own."""
        if held is None:
            return
        if not isinstance(held, Mapping):
            raise refused(at, "TYPE", f"The extensions must be an object, not {quoted(held)}")
        for name in held:
            if name in OWN_MEMBERS or name == self._format.own:
                raise refused(at + pointer(name), "FORBIDDEN", f"{name!r} cannot be an extension")
        self._extensions = dict(held)

    def lose(self, at: str, what: str, why: str) -> None:
        """Record that a place of the foreign document is not held."""
        self._losses.append(Loss(at, what, why))

    def schema(self, held: object, *, at: str, is_object: bool = False) -> Schema:
        """Return a schema of the document; unknown keywords, and defaults that do not fit, are kept."""
        document = held
        if is_object and isinstance(held, Mapping) and "type" not in held:
            document = {"type": "object", **held}
            self.lose(at + "/type", "read as an object", "arguments are always an object")
        schema, found = read_schema(document, spelling="json_schema", mode="lenient")
        if schema is None:
            raise DeclarationError.from_defects("INVALID_DECLARATION", [defect.under(at) for defect in found])
        return schema

    def read(self) -> Read:
        """Return the declaration; raises INVALID_DECLARATION for members that are not what ADM takes."""
        document = self._extensions | self._document
        if self.kept:
            document[self._format.own] = self.kept
        declaration, found = FunctionDeclaration.read(document, mode="lenient")
        if declaration is None:
            raise DeclarationError.from_defects("INVALID_DECLARATION", found)
        return Read(declaration, tuple(self._losses))


def refused(at: str, kind: Kind, message: str) -> DeclarationError:
    """Return the error for a foreign document that is wrong at a place."""
    return DeclarationError.from_defects("INVALID_DECLARATION", [Defect(at, kind, message)])


def required(document: object, *, at: str, what: str) -> Mapping[str, Any]:
    """Return a document that is an object; raise INVALID_DECLARATION for any other."""
    if not isinstance(document, Mapping):
        raise refused(at, "TYPE", f"{what} must be an object, not {quoted(document)}")
    return document
