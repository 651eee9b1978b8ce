"""`FunctionDeclaration`: what a function is called, what it does, takes and returns.

In: an ADM document, or the parts themselves, as an introspecting layer finds them.
Out: a declaration that can check arguments and results, its ADM document and its digest.
Above it stand the containers: `Tool` (functions offered together), `ToolContract` (a named group that a
runtime fulfils) and `ToolManifest` (what a host trusts).
ADM 1.0 knows name, description and parameters; ADM 1.1 adds returns, version, annotations and metadata.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import Any, ClassVar, Final, Self

from altar.adm.blobs import Places
from altar.adm.canonical import canonical
from altar.adm.canonical import digest as digest_of
from altar.adm.defect import Defect, pointer
from altar.adm.errors import DeclarationError, ValidationError
from altar.adm.findings import Wording
from altar.adm.ranges import SEMVER
from altar.adm.ranges import Version as Semver
from altar.adm.reader import NAME, NAME_RULE, Members, Mode, Structure, Version
from altar.adm.schema import Schema, read_schema
from altar.adm.signature import signature_of

ANNOTATIONS: Final = ("read_only", "idempotent", "destructive", "open_world", "stateful", "deprecated")
"""The statements that a declaration may make about its function; each is false unless made."""

MAX_DOCUMENT_DEPTH: Final = 200
"""The deepest nesting of a declaration or manifest as JSON; read its text with this as `max_depth`."""


@dataclass(frozen=True, slots=True)
class Annotations:
    """What a function says of itself; binding only where the host's own manifest says it.

    `read_only`: changes nothing.
    `idempotent`: calling twice has the effect of calling once.
    `destructive`: may delete or overwrite.
    `open_world`: reaches systems outside.
    `stateful`: depends on the calls before in its session.
    `deprecated`: still works, and will go.
    """

    read_only: bool = False
    idempotent: bool = False
    destructive: bool = False
    open_world: bool = False
    stateful: bool = False
    deprecated: bool = False
    extensions: Mapping[str, Any] = field(default_factory=dict)

    def to_adm(self) -> dict[str, Any]:
        """Return the document, which holds only what is true, and the extensions."""
        return {name: True for name in ANNOTATIONS if getattr(self, name)} | dict(self.extensions)


class _Declared(Structure):
    """What declares functions; a document that is not one is a wrong declaration."""

    __slots__ = ()

    refused_with: ClassVar = (DeclarationError, "INVALID_DECLARATION")


@dataclass(frozen=True)
class FunctionDeclaration(_Declared):
    """One function as a contract; immutable, and sound from the moment it is made.

    Making one with a bad name, a blank description or parameters that are not an OBJECT raises
    INVALID_DECLARATION.
    `extensions` holds further members of the document, which are kept and never looked at.
    """

    name: str
    description: str
    parameters: Schema
    returns: Schema | None = None
    version: str = "1.0.0"
    annotations: Annotations = Annotations()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    extensions: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what cannot be a declaration."""
        found = list(_defects_of(self))
        if found:
            raise DeclarationError.from_defects("INVALID_DECLARATION", found)

    @classmethod
    def read(
        cls, document: object, *, version: Version = "1.1", mode: Mode = "strict"
    ) -> tuple[Self | None, list[Defect]]:
        """Return the declaration of a document, or None and everything that is wrong with it."""
        members = Members(document, what="A function declaration", mode=mode)
        name = members.name()
        description = members.text("description", required=True)
        parameters = _schema(members, "parameters", version, required=True)
        if parameters is not None:
            members.found += [defect.under("/parameters") for defect in _not_an_object(parameters)]
        returns = semver = annotations = metadata = None
        if version != "1.0":
            returns = _schema(members, "returns", version)
            semver = members.matching("version", SEMVER, "a version such as 1.2.0")
            annotations = _annotations(members, mode)
            metadata = members.get("metadata", dict)
        extensions = members.extensions()
        if members.found or name is None or description is None or parameters is None:
            return None, members.found
        made = cls(
            name,
            description,
            parameters,
            returns,
            semver or "1.0.0",
            annotations or Annotations(),
            dict(metadata or {}),
            extensions,
        )
        return made, []

    def to_adm(self) -> dict[str, Any]:
        """Return the ADM document; what has its default value is left out."""
        document: dict[str, Any] = {
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters.to_adm(),
        }
        if self.returns is not None:
            document["returns"] = self.returns.to_adm()
        if self.version != "1.0.0":
            document["version"] = self.version
        annotations = self.annotations.to_adm()
        if annotations:
            document["annotations"] = annotations
        if self.metadata:
            document["metadata"] = dict(self.metadata)
        return document | dict(self.extensions)

    @cached_property
    def digest(self) -> str:
        """The SHA-256 digest of the canonical ADM document, by which two sides compare contracts."""
        return digest_of(canonical(self.to_adm(), max_depth=MAX_DOCUMENT_DEPTH))

    @cached_property
    def timeout(self) -> timedelta | None:
        """The tool's own limit for a call, `timeout_ms` of the metadata; None when it does not say."""
        limit = self.metadata.get("timeout_ms")
        return timedelta(milliseconds=limit) if type(limit) is int and limit > 0 else None

    @cached_property
    def signature(self) -> str:
        """The call in one line, such as `get_weather(city: string, unit: "c" | "f" = "c")`."""
        return signature_of(self.name, self.parameters.json_schema)

    @cached_property
    def arguments(self) -> Schema:
        """What the arguments of a call must look like: the parameters, undeclared arguments refused at the root."""
        return self.parameters.closed()

    @cached_property
    def takes(self) -> Places | None:
        """Where the arguments are bytes, which may then travel beside the JSON; None where they never are."""
        return Places.of(self.parameters)

    @cached_property
    def gives(self) -> Places | None:
        """Where the result is bytes, as `takes` has it for the arguments."""
        return Places.of(self.returns)

    def check_arguments(self, value: object) -> None:
        """Return if `value` fits the parameters, undeclared arguments refused at the root.

        Raises INVALID_TOOL_ARGS: the path leads from the arguments, the message names the first defect and
        how many more, and the hint is the signature.
        """
        if self.arguments.accepts(value):
            return
        found = self.arguments.defects(value, wording=_ARGUMENTS)
        raise ValidationError.from_defects("INVALID_TOOL_ARGS", found, hint=self.signature)

    def check_result(self, value: object) -> None:
        """Return if `value` fits `returns`, or if there is none; else raise SCHEMA_VIOLATION with `ran` yes.

        The message never quotes the result.
        """
        if self.returns is None or self.returns.accepts(value):
            return
        found = self.returns.defects(value, wording=_RESULT)
        raise ValidationError.from_defects("SCHEMA_VIOLATION", found, ran="yes")


@dataclass(frozen=True, slots=True)
class Tool(_Declared):
    """Functions that are offered together; at least one, and their names differ."""

    function_declarations: tuple[FunctionDeclaration, ...]
    extensions: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(
        cls, document: object, *, version: Version = "1.1", mode: Mode = "strict"
    ) -> tuple[Self | None, list[Defect]]:
        """Return the tool of a document, or None and everything that is wrong with it."""
        members = Members(document, what="A tool", mode=mode)
        functions = _functions(members, version, mode)
        extensions = members.extensions()
        return (None, members.found) if members.found else (cls(functions, extensions), [])

    def find(self, name: str) -> FunctionDeclaration | None:
        """Return the declaration of a function by its exact name, or None."""
        return next((found for found in self.function_declarations if found.name == name), None)

    def to_adm(self) -> dict[str, Any]:
        """Return the ADM document."""
        listed = [function.to_adm() for function in self.function_declarations]
        return {"function_declarations": listed} | dict(self.extensions)


@dataclass(frozen=True, slots=True)
class ToolContract(_Declared):
    """A named group of functions: a runtime fulfils the group, a call names one function.

    A function may be in it in several versions.
    """

    name: str
    description: str
    function_declarations: tuple[FunctionDeclaration, ...]
    version: str = "1.0.0"
    extensions: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(
        cls, document: object, *, version: Version = "1.1", mode: Mode = "strict"
    ) -> tuple[Self | None, list[Defect]]:
        """Return the contract of a document, or None and everything that is wrong with it."""
        members = Members(document, what="A tool contract", mode=mode)
        name = members.text("name", required=True)
        description = members.text("description", required=True)
        semver = None
        if version != "1.0":
            semver = members.matching("version", SEMVER, "a version such as 1.2.0")
        functions = _functions(members, version, mode, versions=True)
        extensions = members.extensions()
        if members.found or name is None or description is None:
            return None, members.found
        return cls(name, description, functions, semver or "1.0.0", extensions), []

    def to_adm(self) -> dict[str, Any]:
        """Return the ADM document; a version of 1.0.0 is left out."""
        document: dict[str, Any] = {"name": self.name, "description": self.description}
        if self.version != "1.0.0":
            document["version"] = self.version
        document["function_declarations"] = [function.to_adm() for function in self.function_declarations]
        return document | dict(self.extensions)


@dataclass(frozen=True, slots=True)
class ToolManifest(_Declared):
    """The contracts that a host trusts.

    Names are unique in all of it, those of contracts and those of functions, each version of a name for itself.
    Versions that differ in build metadata only are one version.
    """

    manifest_version: str
    contracts: tuple[ToolContract, ...]
    global_metadata: Mapping[str, str] = field(default_factory=dict)
    extensions: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(
        cls, document: object, *, version: Version = "1.1", mode: Mode = "strict"
    ) -> tuple[Self | None, list[Defect]]:
        """Return the manifest of a document, or None and everything that is wrong with it."""
        members = Members(document, what="A tool manifest", mode=mode)
        wanted = "three numbers such as 1.0.0"
        manifest_version = members.matching("manifest_version", _MANIFEST_VERSION, wanted, required=True)
        contracts = _contracts(members, version, mode)
        metadata = members.strings("global_metadata")
        extensions = members.extensions()
        if members.found or manifest_version is None:
            return None, members.found
        return cls(manifest_version, contracts, metadata, extensions), []

    def to_adm(self) -> dict[str, Any]:
        """Return the ADM document."""
        document: dict[str, Any] = {
            "manifest_version": self.manifest_version,
            "contracts": [contract.to_adm() for contract in self.contracts],
        }
        if self.global_metadata:
            document["global_metadata"] = dict(self.global_metadata)
        return document | dict(self.extensions)


_ARGUMENTS: Final = Wording(root="The arguments", member="Argument")
_RESULT: Final = Wording(root="The result", member="The result's member", quote=False)

_NUMBER: Final = "(?:0|[1-9][0-9]*)"
_MANIFEST_VERSION: Final = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}")
_OLD_ANNOTATIONS: Final[Mapping[str, str]] = {
    "is_read_only": "read_only",
    "is_idempotent": "idempotent",
    "is_stateful": "stateful",
    "is_deprecated": "deprecated",
}


def _defects_of(declaration: FunctionDeclaration) -> Iterator[Defect]:
    if not NAME.fullmatch(declaration.name):
        yield Defect("/name", "PATTERN", f"The name {declaration.name!r} is not {NAME_RULE}")
    if not declaration.description.strip():
        yield Defect("/description", "LENGTH", f"The description of {declaration.name!r} is blank")
    if not SEMVER.fullmatch(declaration.version):
        yield Defect("/version", "PATTERN", f"`version` is {declaration.version!r}, not a version such as 1.2.0")
    yield from (defect.under("/parameters") for defect in _not_an_object(declaration.parameters))


def _not_an_object(parameters: Schema) -> Iterator[Defect]:
    """Arguments are always an object, so no other root can ever be satisfied (ADM decision D26)."""
    kind = parameters.root_type
    if kind is None:
        yield Defect("/type", "REQUIRED", "The parameters need the type OBJECT")
    elif kind != "object":
        yield Defect("/type", "KEYWORD", "The parameters must have the type OBJECT at their root")


def _schema(members: Members, name: str, version: Version, *, required: bool = False) -> Schema | None:
    held = members.payload(name)
    if name not in members.members:
        members.get(name, dict, required=required)
        return None
    schema, found = read_schema(held, version=version, mode=members.mode)
    members.found += [defect.under(pointer(name)) for defect in found]
    return schema


def _annotations(members: Members, mode: Mode) -> Annotations:
    """Read `annotations`, and the four members that stood for some of them before ADM 1.1."""
    made: dict[str, Any] = {}
    for old, name in _OLD_ANNOTATIONS.items():
        made[name] = bool(members.get(old, bool))
    document = members.get("annotations", dict)
    if document is None:
        return Annotations(**made)
    inner = Members(document, what="The annotations", mode=mode, path="/annotations")
    for name in ANNOTATIONS:
        made[name] = bool(inner.get(name, bool)) or made.get(name, False)
    extensions = inner.extensions()
    members.found += inner.found
    return replace(Annotations(**made), extensions=extensions)


def _functions(
    members: Members, version: Version, mode: Mode, *, versions: bool = False
) -> tuple[FunctionDeclaration, ...]:
    """Read functions whose names differ, or with ``versions`` whose names and versions together do."""
    made: list[FunctionDeclaration] = []
    names: set[tuple[str, Semver | None]] = set()
    for index, document in enumerate(members.items("function_declarations", required=True)):
        declaration, found = FunctionDeclaration.read(document, version=version, mode=mode)
        members.found += [defect.under(pointer("function_declarations", index)) for defect in found]
        if declaration is None:
            continue
        key = (declaration.name, Semver.parse(declaration.version) if versions else None)
        if key in names:
            message = f"The function {declaration.name!r} is declared more than once"
            members.say("DUPLICATE", message, "function_declarations", index, "name")
        names.add(key)
        made.append(declaration)
    return tuple(made)


def _contracts(members: Members, version: Version, mode: Mode) -> tuple[ToolContract, ...]:
    made: list[ToolContract] = []
    names: set[tuple[str, Semver]] = set()
    functions: dict[tuple[str, Semver], int] = {}
    for index, document in enumerate(members.items("contracts", required=True)):
        contract, found = ToolContract.read(document, version=version, mode=mode)
        members.found += [defect.under(pointer("contracts", index)) for defect in found]
        if contract is None:
            continue
        key = (contract.name, Semver.parse(contract.version))
        if key in names:
            message = f"The contract {contract.name!r} is given more than once"
            members.say("DUPLICATE", message, "contracts", index, "name")
        names.add(key)
        for place, function in enumerate(contract.function_declarations):
            owner = functions.setdefault((function.name, Semver.parse(function.version)), index)
            if owner != index:
                # ADM decision D19: a call names only the function, and a version of it.
                said = members.members["contracts"][owner].get("name")
                message = f"The function {function.name!r} is already declared by the contract {said!r}"
                steps = ("contracts", index, "function_declarations", place, "name")
                members.say("DUPLICATE", message, *steps)
        made.append(contract)
    return tuple(made)
