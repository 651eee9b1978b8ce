"""Tools of a server of MCP as ALTAR tools: the adopted contract, and a function that asks the server.

In: an adoption. Out: tools that are checked, recorded and governed like every other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, Self

from altar.adapters.mcp.adoption import Adopted, Adoption
from altar.adapters.mcp.link import Link
from altar.adm.call import MAX_TEXT, FunctionCall
from altar.adm.declaration import FunctionDeclaration
from altar.adm.errors import ExecutionError
from altar.adm.formats import CALL_FORMATS
from altar.adm.formats.names import fitting
from altar.later.context import ToolContext
from altar.later.imported import imported
from altar.later.tool import ToolFunction

__all__ = ["McpTools", "bring"]

_MCP: Final = CALL_FORMATS["mcp"]


class McpTools(tuple[ToolFunction[..., Any], ...]):  # noqa: SLOT001 - it holds its connection
    """The tools of one server, and their connection: nothing is started before one of them is called.

    Close it, or use it in a ``with`` block, when they are not needed any more; the end of the process does it too.
    """

    link: Link

    def close(self) -> None:
        """End the connection, and a server that was started for it; the next call makes another."""
        self.link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def bring(adoption: Adoption, link: Link, *, prefix: str, register: bool) -> McpTools:
    """The tools of an adoption, called through a link."""
    made = McpTools(_tool(adopted, adoption, link, prefix=prefix, register=register) for adopted in adoption.tools)
    made.link = link
    return made


def _tool(adopted: Adopted, adoption: Adoption, link: Link, *, prefix: str, register: bool) -> ToolFunction[..., Any]:
    declaration = _named(adopted.declaration, prefix, adoption.name, adopted.digest)

    async def ask(arguments: Mapping[str, Any], context: ToolContext) -> Any:
        left = context.deadline
        answered = await link.call(
            adopted,
            arguments,
            seconds=math.inf if left is None else left.total_seconds(),
            progress=context.progress,
            meta={"altar/call-id": context.call_id},
        )
        return _content(answered, FunctionCall(context.call_id, adopted.declaration.name, {}), context)

    return imported(declaration, ask, origin=f"mcp:{adoption.name}", register=register)


def _named(declaration: FunctionDeclaration, prefix: str, server: str, digest: str) -> FunctionDeclaration:
    """The contract under its name here, which says where it came from and what was adopted."""
    metadata = {**declaration.metadata, "framework": "mcp", "server": server, "adopted": digest}
    name = fitting(prefix + declaration.name) if prefix else declaration.name
    return replace(declaration, name=name, metadata=metadata)


def _content(document: dict[str, Any], call: FunctionCall, context: ToolContext) -> Any:
    """What a call gave: structured content, one text, or the blocks as they stand.

    A failure is TOOL_EXECUTION_FAILED with the words of the server, whatever code it claims: whether a call may be
    repeated, or waits for a person, is not a foreign server's to say.
    """
    result = _MCP.read_result(document, call=call)
    if result.error is not None:
        raise ExecutionError("TOOL_EXECUTION_FAILED", result.error.message[:MAX_TEXT], hint=result.error.hint)
    beside = result.extensions.get("x_mcp", {}).get("content")
    if beside and document.get("structuredContent") is not None:
        context.log("content beside the structured one left out", blocks=len(beside))
    return result.content
