"""What of a server of MCP was looked at and taken: its tools, each pinned by the digest of its whole document.

A server may say something else tomorrow: a description that gives orders, a schema that asks for more.
So what a model is shown, and what is checked, comes from the adoption and never from the server; and a tool whose
document has another digest than the adopted one is refused until a person has adopted it again.

In: entries of `tools/list`, or a file that was written here.
Out: an :class:`Adoption`, its file, and what differs between two of them.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from altar.adapters.mcp.servers import McpServer, server_of
from altar.adm.canonical import canonical, digest, parse
from altar.adm.declaration import MAX_DOCUMENT_DEPTH, FunctionDeclaration
from altar.adm.errors import AltarError, ConfigurationError, ExecutionError
from altar.adm.formats import CALL_FORMATS
from altar.later.imported_text import require_no_orders

__all__ = ["Adopted", "Adoption", "Change", "entry", "order"]

MAX_TOOLS: Final = 2_000
"""A server may offer at most so many tools."""

MAX_ENTRY: Final = 256 * 1024
"""The document of one tool has at most so many bytes as canonical JSON."""

MAX_FILE: Final = 64 * 1024 * 1024
_FORMAT: Final = 1


@dataclass(frozen=True)
class Adopted:
    """One tool as it was when it was looked at: the document of the server, and its digest."""

    document: Mapping[str, Any]
    digest: str

    @property
    def name(self) -> str:
        """What the server calls it."""
        return str(self.document["name"])

    @cached_property
    def declaration(self) -> FunctionDeclaration:
        """Its contract here; raises INVALID_DECLARATION for a schema that ALTAR refuses."""
        return CALL_FORMATS["mcp"].read(self.document).declaration

    @property
    def losses(self) -> tuple[str, ...]:
        """What of the document the contract does not hold, in words."""
        return tuple(f"{loss.path}: {loss.what}" for loss in CALL_FORMATS["mcp"].read(self.document).losses)


class Change(NamedTuple):
    """How a tool differs from what was adopted: it is new, changed, or gone."""

    tool: str
    kind: Literal["new", "changed", "gone"]
    members: tuple[str, ...] = ()


@dataclass(frozen=True)
class Adoption:
    """The tools of one server.

    ``protocol`` and ``title`` are what the server said of itself when it was looked at; they bind nobody.
    ``accepted`` are digests of contracts whose texts look like orders to a model, and which a person took all the same.
    """

    name: str
    server: McpServer
    tools: tuple[Adopted, ...]
    protocol: str = ""
    title: str = field(default="", compare=False)
    accepted: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Adoption:
        """The adoption in a file.

        Raises ConfigurationError INVALID_CONFIG for a file that is none, and for one in which a document has another
        digest than the one beside it: what was adopted was not this.
        """
        file = Path(path)
        try:
            with file.open("rb") as opened:
                data = opened.read(MAX_FILE + 1)
        except OSError as failed:
            raise _wrong(file, failed.strerror or "it cannot be read") from failed
        if len(data) > MAX_FILE:
            raise _wrong(file, f"it has more than {MAX_FILE} bytes")
        try:
            return cls._of(parse(data, max_bytes=MAX_FILE, max_depth=MAX_DOCUMENT_DEPTH))
        except AltarError as wrong:
            raise _wrong(file, wrong.detail or wrong.message) from wrong

    @classmethod
    def _of(cls, document: object) -> Adoption:
        held = document if isinstance(document, Mapping) else {}
        if held.get("altar_mcp_adoption") != _FORMAT or not isinstance(held.get("tools"), list):
            raise _unfit(f"it has no `altar_mcp_adoption` {_FORMAT} with `tools`")
        texts = {member: held.get(member, "") for member in ("name", "protocol", "title")}
        if not all(isinstance(text, str) for text in texts.values()) or not texts["name"]:
            raise _unfit("`name`, `protocol` and `title` must be texts")
        tools = []
        for listed in held["tools"]:
            kept = entry(listed.get("document") if isinstance(listed, Mapping) else None)
            if kept.digest != listed.get("digest"):
                raise _unfit(f"the document of {kept.name!r} is not the one that was adopted, by its digest")
            tools.append(kept)
        accepted = held.get("accepted", [])
        if not isinstance(accepted, list) or not all(isinstance(one, str) for one in accepted):
            raise _unfit("`accepted` must be a list of digests")
        server = server_of(held.get("server"))
        return cls(texts["name"], server, order(tools), texts["protocol"], texts["title"], tuple(accepted))

    def write(self, path: str | os.PathLike[str]) -> None:
        """Put it into a file, at once or not at all."""
        document = {
            "altar_mcp_adoption": _FORMAT,
            "name": self.name,
            "server": self.server.to_json(),
            "protocol": self.protocol,
            "title": self.title,
            "accepted": list(self.accepted),
            "tools": [{"digest": tool.digest, "document": tool.document} for tool in self.tools],
        }
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        file = Path(path)
        handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as opened:
                opened.write(text)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(file)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def only(self, names: Iterable[str]) -> Adoption:
        """The same with these tools alone, by what the server calls them.

        Raises ConfigurationError INVALID_CONFIG for a name that it does not have.
        """
        wanted = set(names)
        known = {tool.name for tool in self.tools}
        if wanted - known:
            raise ConfigurationError(
                "INVALID_CONFIG",
                f"The server {self.name!r} has no tool {min(wanted - known)!r}",
                ran="no",
                hint=f"it has {', '.join(sorted(known))[:500]}",
            )
        chosen = tuple(tool for tool in self.tools if tool.name in wanted)
        return replace(self, tools=chosen)

    def require_plain(self) -> None:
        """Raise INVALID_DECLARATION for a tool whose texts give orders to a model, unless a person accepted it."""
        for tool in self.tools:
            try:
                require_no_orders(tool.declaration, origin=f"mcp:{self.name}", adopted=self.accepted)
            except AltarError as refused:
                again = f"altar mcp import FILE --adopt --accept {tool.declaration.digest}"
                refused.hint = f"read it; if it only describes, accept exactly this contract: `{again}`"
                raise

    def changes(self, now: Adoption) -> tuple[Change, ...]:
        """How what a server offers now differs from this; nothing when it is the same."""
        here, there = ({tool.name: tool for tool in one.tools} for one in (self, now))
        found = [Change(name, "new") for name in there.keys() - here.keys()]
        found += [Change(name, "gone") for name in here.keys() - there.keys()]
        for name in here.keys() & there.keys():
            if here[name].digest != there[name].digest:
                old, new = here[name].document, there[name].document
                members = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
                found.append(Change(name, "changed", tuple(members)))
        return tuple(sorted(found))


def entry(document: object) -> Adopted:
    """One entry of `tools/list` with its digest, over every member that it has.

    Raises ExecutionError DEPENDENCY_UNAVAILABLE for what is no entry, or too large.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("name"), str) or not document["name"]:
        raise _unfit("a tool has no name")
    written = canonical(dict(document), max_depth=MAX_DOCUMENT_DEPTH)
    if len(written) > MAX_ENTRY:
        raise _unfit(f"the document of {document['name'][:64]!r} has more than {MAX_ENTRY} bytes")
    return Adopted(dict(document), digest(written))


def order(tools: list[Adopted]) -> tuple[Adopted, ...]:
    """The tools by name; raises DEPENDENCY_UNAVAILABLE for two of one name, and for too many."""
    if len(tools) > MAX_TOOLS:
        raise _unfit(f"there are more than {MAX_TOOLS} tools")
    names = [tool.name for tool in tools]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise _unfit(f"the tool {twice[:64]!r} is there twice")
    return tuple(sorted(tools, key=lambda tool: tool.name))


def _unfit(why: str) -> AltarError:
    return ExecutionError(
        "DEPENDENCY_UNAVAILABLE",
        f"What a server of MCP offers cannot be taken: {why}",
        ran="no",
        detail=why,
        hint="ask who runs it",
    )


def _wrong(file: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        "INVALID_CONFIG",
        f"{str(file)!r} is no adoption of a server: {why}",
        ran="no",
        hint=f"make it with `altar mcp import {file.name} --adopt -- COMMAND`",
    )
