"""Answering conformance cases: what this implementation says to a document or a value.

In: one case of spec/cases, as a mapping: id, structure, input, and perhaps mode and adm_version.
Out: a `Verdict`: valid or not, and the place and kind of the first defect.
This is no second validator: each structure is read by the same code that serves calls, and its defects are
only put into the form of a verdict.
Cases that run a function (LocalExecution) are handed to `local_execution`, which a later layer supplies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, cast

from altar.adm.call import ErrorObject, FunctionCall, ToolResult
from altar.adm.canonical import canonical, parse
from altar.adm.context import SecurityContext, ToolConfig
from altar.adm.declaration import MAX_DOCUMENT_DEPTH, FunctionDeclaration, Tool, ToolContract, ToolManifest
from altar.adm.defect import Defect
from altar.adm.enterprise import EnterpriseSecurityContext, EnterpriseToolContract, Governance, governed
from altar.adm.errors import AltarError
from altar.adm.reader import Mode, Version
from altar.adm.schema import read_schema
from altar.adm.version import agree


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one case; `error_path` and `error_category` are None when it is valid."""

    id: str
    valid: bool
    error_path: str | None = None
    error_category: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the members of the line that answers the case."""
        return asdict(self)


LocalExecution = Callable[[Mapping[str, Any]], Verdict]
"""Runs the case of a local call through the real executor and says how it ended."""


def judge(case: Mapping[str, Any], *, local_execution: LocalExecution | None = None) -> Verdict:
    """Return the verdict on one case; never raises.

    A case that cannot be read, or of a structure not known here, is answered as not valid, PARSE.
    """
    name = ""
    try:
        name = str(case["id"])
        if case["structure"] == "LocalExecution" and local_execution is not None:
            return local_execution(case)
        found = _READERS[case["structure"]](case["input"], _Way.of(case))
    except AltarError as error:
        found = list(error.defects) or [Defect(error.path, "PARSE", error.message)]
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        found = [Defect(None, "PARSE", f"The case cannot be read: {error!r}")]
    if not found:
        return Verdict(name, valid=True)
    return Verdict(name, valid=False, error_path=found[0].path, error_category=found[0].category)


@dataclass(frozen=True, slots=True)
class _Way:
    """How the documents of a case are read."""

    version: Version
    mode: Mode

    @classmethod
    def of(cls, case: Mapping[str, Any]) -> _Way:
        version, mode = case.get("adm_version") or "1.1", case.get("mode") or "strict"
        if version not in {"1.0", "1.1"} or mode not in {"strict", "lenient"}:
            raise ValueError(f"{version!r} or {mode!r} is not known")
        return cls(cast("Version", version), cast("Mode", mode))


_Reader = Callable[[Any, _Way], Sequence[Defect]]


def _document(kind: Any, *, versioned: bool = True) -> _Reader:
    """Return the reader of a structure that has `read`."""

    def read(document: Any, way: _Way) -> Sequence[Defect]:
        parts = {"version": way.version} if versioned else {}
        found: list[Defect] = kind.read(document, mode=way.mode, **parts)[1]
        return found

    return read


def _schema(document: Any, way: _Way) -> Sequence[Defect]:
    return read_schema(document, version=way.version, mode=way.mode)[1]


def _schema_value(held: Any, way: _Way) -> Sequence[Defect]:
    schema, found = read_schema(held["schema"], version=way.version, mode=way.mode)
    if schema is None:
        return _under("/schema", found)
    value = parse(held["value_text"]) if "value_text" in held else held["value"]
    return _under("/value", schema.defects(value))


def _call_for_tool(held: Any, way: _Way) -> Sequence[Defect]:
    tool, found = Tool.read(held["tool"], version=way.version, mode=way.mode)
    if tool is None:
        return _under("/tool", found)
    call, found = FunctionCall.read(held["call"], mode=way.mode)
    if call is None:
        return _under("/call", found)
    declaration = tool.find(call.name)
    if declaration is None:
        return [Defect("/call/name", "REFERENCE", f"The tool has no function {call.name!r}")]
    try:
        declaration.check_arguments(call.args)
    except AltarError as error:
        return _under("/call/args", error.defects)
    return []


def _result_for_call(held: Any, way: _Way) -> Sequence[Defect]:
    call, found = FunctionCall.read(held["call"], mode=way.mode)
    if call is None:
        return _under("/call", found)
    result, found = ToolResult.read(held["result"], version=way.version, mode=way.mode)
    return _under("/result", found if result is None else result.answers(call))


def _governed(document: Any, way: _Way) -> Sequence[Defect]:
    """A contract group with the governance of its functions beside them."""
    contract, found = ToolContract.read(document, version=way.version, mode=way.mode)
    if contract is None:
        return found
    try:
        governed(contract)
    except AltarError as error:
        return error.defects or [Defect(error.path, "REFERENCE", error.message)]
    return []


def _json_text(held: Any, way: _Way) -> Sequence[Defect]:
    """A place inside a text has no pointer, so the path of every defect is left open."""
    read = _READERS[held["as"]]
    deep = held["as"] in {"Schema", "FunctionDeclaration", "Tool", "ToolContract", "ToolManifest"}
    document = parse(held["text"], max_depth=MAX_DOCUMENT_DEPTH) if deep else parse(held["text"])
    return [Defect(None, defect.category, defect.message) for defect in read(document, way)]


def _canonical(held: Any, _: _Way) -> Sequence[Defect]:
    try:
        written = canonical(parse(held["value_text"])).decode("utf-8")
    except AltarError as error:
        return [Defect(None, defect.category, defect.message) for defect in error.defects]
    if written == held["canonical"]:
        return []
    return [Defect("/canonical", "MISMATCH", f"The canonical form is {written}")]


def _negotiation(held: Any, _: _Way) -> Sequence[Defect]:
    try:
        agreed = agree(held["ours"], held["theirs"])
    except AltarError as error:
        return [Defect(None, "VERSION", error.message)]
    if held.get("agreed", agreed) == agreed:
        return []
    return [Defect("/agreed", "VERSION", f"The two sides agree on {agreed}")]


def _under(prefix: str, found: Sequence[Defect]) -> list[Defect]:
    return [defect.under(prefix) for defect in found]


_READERS: Final[Mapping[str, _Reader]] = {
    "Schema": _schema,
    "SchemaValue": _schema_value,
    "FunctionDeclaration": _document(FunctionDeclaration),
    "Tool": _document(Tool),
    "ToolContract": _document(ToolContract),
    "ToolManifest": _document(ToolManifest),
    "FunctionCall": _document(FunctionCall, versioned=False),
    "CallForTool": _call_for_tool,
    "ToolResult": _document(ToolResult),
    "ResultForCall": _result_for_call,
    "ErrorObject": _document(ErrorObject),
    "ToolConfig": _document(ToolConfig, versioned=False),
    "SecurityContext": _document(SecurityContext, versioned=False),
    "EnterpriseSecurityContext": _document(EnterpriseSecurityContext),
    "Governance": _document(Governance),
    "EnterpriseToolContract": _document(EnterpriseToolContract),
    "GovernedContract": _governed,
    "JsonText": _json_text,
    "Canonical": _canonical,
    "Negotiation": _negotiation,
}
