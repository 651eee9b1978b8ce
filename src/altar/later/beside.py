"""Calls and results whose large bytes travel beside their JSON, held against a contract.

In: an invocation or an outcome with blobs, and the declaration of its tool.
Out: the same, verified and checked, with blobs only where the declaration says bytes.
Every process that holds a contract does this in the same way, so that what is recorded is the same in each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from altar.adm.blobs import BLOB_BYTES, Beside, Blob, Places, reference_text, result_beside
from altar.adm.canonical import canonical, parse_canonical
from altar.adm.errors import AltarError
from altar.later.invocation import Contract, Invocation, Outcome

if TYPE_CHECKING:
    from altar.adm.declaration import FunctionDeclaration

__all__ = ["bytes_beside", "checked_arguments", "checked_by", "checked_result", "text_beside"]


def checked_by(contract: Contract, invocation: Invocation) -> dict[str, Any] | None:
    """Check the arguments of a call, with blobs or without, as the executor does; gives what the contract gives."""
    return contract.check(invocation.arguments) if invocation.blobs is None else contract.check_beside(invocation)


def checked_arguments(declaration: FunctionDeclaration, invocation: Invocation) -> Beside:
    """Verify the blobs of a call and check its arguments; gives the values, with their blobs.

    Where a blob stands for what is not bytes, base64 text takes its place, in ``invocation`` too.
    Raises MALFORMED_REQUEST for a blob that is not what its place refers to, INVALID_TOOL_ARGS for what does not fit.
    """
    beside = Beside(parse_canonical(invocation.arguments), invocation.blobs or ())
    if beside.settle(declaration.takes):
        invocation.arguments, invocation.blobs = beside.written(), beside.blobs or None
    declaration.check_arguments(beside.bare())
    return beside


def checked_result(declaration: FunctionDeclaration, outcome: Outcome) -> None:
    """Verify the blobs of a result and check it, as :func:`checked_arguments` does for a call.

    Raises PROTOCOL_VIOLATION or SCHEMA_VIOLATION, ``ran`` yes.
    """
    try:
        value = parse_canonical(outcome.content)
    except AltarError as broken:
        broken.ran = "yes"
        raise
    beside = result_beside(value, outcome.blobs or ())
    if beside.settle(declaration.gives):
        outcome.content, outcome.blobs = beside.written(), beside.blobs or None
    declaration.check_result(beside.bare())


def bytes_beside(data: bytes) -> Outcome:
    """The outcome of a function whose whole result is these bytes, which are large."""
    blob = Blob("", data)
    return Outcome(reference_text(blob), blobs=(blob,))


def text_beside(content: bytes, places: Places) -> Outcome:
    """The outcome for a result that was written with base64 text, whose large bytes are taken out of it."""
    if len(content) < BLOB_BYTES:
        return Outcome(content)
    value: Any = orjson.loads(content)
    value, blobs = places.take_out(value)
    return Outcome(canonical(value), blobs=tuple(blobs)) if blobs else Outcome(content)
