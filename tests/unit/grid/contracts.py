"""Contracts, and a link to a runtime that remembers what was sent on it."""

from __future__ import annotations

from typing import Any

from altar.adm.declaration import Annotations, FunctionDeclaration
from altar.adm.errors import AltarError
from altar.adm.schema import Schema
from altar.grid.manifests.manifest import Manifest
from altar.later.invocation import Invocation


def declaration(name: str, version: str = "1.0.0", **annotations: bool) -> FunctionDeclaration:
    """A function that takes a whole number `n` and returns one."""
    parameters = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    return FunctionDeclaration(
        name=name,
        description=f"The function {name}.",
        parameters=Schema.from_json_schema(parameters),
        returns=Schema.from_json_schema({"type": "integer"}),
        version=version,
        annotations=Annotations(**annotations),  # type: ignore[arg-type]  # booleans, by name
    )


MANIFEST = Manifest(
    [
        declaration("add"),
        declaration("add", "1.10.0"),
        declaration("add", "1.9.0"),
        declaration("look", read_only=True),
        declaration("send"),
    ]
)


class Link:
    """A stream to a runtime, as the source sees it."""

    def __init__(self) -> None:
        self.sent: list[Invocation] = []
        self.cancelled: list[int] = []
        self.queued: list[Invocation] = []
        self.closed: AltarError | None = None
        self.finished = False
        self.is_crowded = False

    def send_call(self, invocation: Invocation) -> None:
        self.sent.append(invocation)

    def send_cancel(self, tag: int) -> None:
        self.cancelled.append(tag)

    def unsent(self) -> list[Invocation]:
        return self.queued

    def finish(self) -> None:
        self.finished = True

    def close(self, reason: AltarError) -> None:
        self.closed = reason


def call(name: str = "send", *, version: str = "", **more: Any) -> Invocation:
    """An invocation whose contract has been found."""
    made = Invocation(name, b'{"n":1}', "c-1", **more)
    made.contract = MANIFEST.find(name, version)
    made.version = made.contract.version
    return made
