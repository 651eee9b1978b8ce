"""What every format gives: documents written and read, and what was lost on the way.

In: a declaration, a call or a result, or a document in the form of a provider.
Out: the other one, and a `Loss` for each place that did not come through.
A loss names a place of the declaration: whoever writes a document and reads it again finds the declaration
unchanged but for these places.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from altar.adm.call import FunctionCall, ToolResult
from altar.adm.declaration import FunctionDeclaration
from altar.adm.defect import pointer
from altar.adm.formats.names import fitting


@dataclass(frozen=True, slots=True)
class Loss:
    """One place that a format cannot hold as it is.

    `path` is a JSON Pointer (RFC 6901): into the ADM document where something is written, into the foreign
    document where something is read.
    It may name a place that comes into being only by the change, such as a description that did not exist.
    `what` says what becomes of it, `why` which rule of the format asks for that.
    """

    path: str
    what: str
    why: str

    def under(self, prefix: str) -> Loss:
        """Return the same loss as seen from a document that holds this one at `prefix`."""
        return Loss(prefix + self.path, self.what, self.why)


@dataclass(frozen=True, slots=True)
class Written:
    """A document in the form of a provider; `losses` is empty where it holds everything."""

    document: dict[str, Any]
    losses: tuple[Loss, ...] = ()


@dataclass(frozen=True, slots=True)
class Read:
    """A declaration read from a provider's document; `losses` says what of the document it does not hold.

    Its annotations are what the document says of itself.
    They bind nobody until an operator takes them into the manifest of a host.
    """

    declaration: FunctionDeclaration
    losses: tuple[Loss, ...] = ()


@dataclass(frozen=True, slots=True)
class Abroad:
    """What a declaration that came from a foreign document is called there, and what else it said."""

    name: str
    members: dict[str, Any]
    losses: tuple[Loss, ...]


class Format(ABC):
    """How a provider, a protocol or a description language writes down a function."""

    name: ClassVar[str]
    """The name in the table of formats."""

    title: ClassVar[str]
    """The name for people."""

    own: ClassVar[str]
    """The member of a declaration that keeps what only this format knows, such as `x_mcp`."""

    @abstractmethod
    def write(self, declaration: FunctionDeclaration) -> Written:
        """Return the document for a declaration."""

    @abstractmethod
    def read(self, document: Mapping[str, Any]) -> Read:
        """Return the declaration of a document.

        Raises INVALID_DECLARATION for a document that is not one of this format, or whose schema ALTAR
        refuses.
        """


class CallFormat(Format):
    """A format that also has calls and results."""

    @abstractmethod
    def write_call(self, call: FunctionCall, *, declaration: FunctionDeclaration | None = None) -> Written:
        """Return the document for a call; the declaration knows the foreign names of an imported tool."""

    @abstractmethod
    def read_call(
        self,
        document: Mapping[str, Any],
        *,
        declaration: FunctionDeclaration | None = None,
        call_id: str | None = None,
    ) -> FunctionCall:
        """Return the call of a document; `call_id` is used where the document names none.

        With the declaration, what its form for this provider had to change is undone in the arguments.
        Raises MALFORMED_REQUEST for a document that is no call, INVALID_TOOL_ARGS for arguments that are not
        a JSON object.
        """

    @abstractmethod
    def write_result(self, result: ToolResult, *, declaration: FunctionDeclaration | None = None) -> Written:
        """Return the document for a result."""

    @abstractmethod
    def read_result(self, document: Mapping[str, Any], *, call: FunctionCall) -> ToolResult:
        """Return the result of a document that answers `call`; raises MALFORMED_REQUEST if it is none."""


def abroad(declaration: FunctionDeclaration, *, format: Format, known: Collection[str]) -> Abroad:
    """Return what a declaration kept of the format it was read from.

    A kept name counts only where it is the one that the declaration's own name stands for.
    `known` names the members that the format writes itself; nothing kept replaces them.
    """
    held = declaration.extensions.get(format.own)
    if held is None:
        return Abroad(declaration.name, {}, ())
    if not isinstance(held, Mapping) or not held:
        return Abroad(declaration.name, {}, (Loss(pointer(format.own), "left out", "it is no object with members"),))
    name, why = declaration.name, "the format writes this member itself"
    refused = [key for key in held if key in known and key != "name"]
    kept = held.get("name")
    if isinstance(kept, str) and kept != name and fitting(kept) == name:
        name = kept
    elif "name" in held:
        refused.append("name")
    rest = {key: one for key, one in held.items() if key not in known and key != "name"}
    return Abroad(name, rest, tuple(Loss(pointer(format.own, key), "left out", why) for key in refused))


def unheld(declaration: FunctionDeclaration, *, title: str, own: str, holds: Collection[str] = ()) -> Iterator[Loss]:
    """Yield a loss for each member that a format has no place for.

    `holds` names the members that it has a place for; name, description and parameters always have one.
    """
    why = f"{title} has no member for it"
    if declaration.returns is not None and "returns" not in holds:
        yield Loss("/returns", "left out", why)
    if declaration.version != "1.0.0" and "version" not in holds:
        yield Loss("/version", "left out", why)
    if "annotations" not in holds:
        for name in declaration.annotations.to_adm():
            yield Loss(pointer("annotations", name), "left out", why)
    if declaration.metadata and "metadata" not in holds:
        yield Loss("/metadata", "left out", why)
    if "extensions" not in holds:
        yield from unheld_extensions(declaration.extensions, title=title, own=own)


def unheld_extensions(extensions: Mapping[str, Any], *, title: str, own: str) -> Iterator[Loss]:
    """Yield a loss for each extension but the format's own."""
    for name in extensions:
        if name != own:
            yield Loss(pointer(name), "left out", f"{title} has no member for it")
