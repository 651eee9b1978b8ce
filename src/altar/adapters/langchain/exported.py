"""A tool of a session as LangChain's ``BaseTool``, and several of them as its ``BaseToolkit``.

LangChain's call comes in, with arguments that LangChain has not checked: ALTAR checks them.
A result goes out as the text that a model reads and, as the artifact, the whole of it as an ADM document.
The values of a tool that streams are told on the way as custom events named ``altar.value``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, Self

from langchain_core.callbacks import adispatch_custom_event, dispatch_custom_event
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, BaseToolkit, ToolException
from pydantic import BaseModel, Field, PrivateAttr, RootModel, model_validator

from altar.adm.call import ErrorObject, ResultStatus, ToolResult
from altar.adm.declaration import FunctionDeclaration
from altar.adm.errors import AltarError
from altar.later.both_ways import BothWays

if TYPE_CHECKING:
    from altar.adapters.langchain import Interrupt

__all__ = ["AltarTool", "AltarToolkit", "ToolFailed"]

_results: ContextVar[list[ToolResult] | None] = ContextVar("altar_results_of_a_tool", default=None)


class ToolFailed(ToolException):
    """A call that failed, as LangChain wants it raised: the text is for the model, ``result`` is all there is."""

    def __init__(self, result: ToolResult) -> None:
        super().__init__(result.text)
        self.result = result


class AltarTool(BaseTool):
    """One tool of a session. :func:`altar.adapters.langchain.to_langchain` makes it."""

    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"
    handle_tool_error: Any = Field(default=True)

    _contract: FunctionDeclaration = PrivateAttr()
    _asked: BothWays = PrivateAttr()
    _interrupt: Interrupt | None = PrivateAttr(default=None)

    @classmethod
    def of(cls, contract: FunctionDeclaration, *, asked: BothWays, interrupt: Interrupt | None = None) -> Self:
        """The tool for a contract."""
        made = cls(
            name=contract.name,
            description=contract.description,
            args_schema=dict(contract.parameters.json_schema),
            metadata={
                "altar": {
                    "version": contract.version,
                    "digest": contract.digest,
                    "annotations": contract.annotations.to_adm(),
                }
            },
        )
        made._contract, made._asked, made._interrupt = contract, asked, interrupt
        return made

    @property
    def contract(self) -> FunctionDeclaration:
        """The contract of the tool."""
        return self._contract

    @property
    def args(self) -> dict[str, Any]:
        """The schema of each argument; LangChain's own wants every schema to have some."""
        return dict(self._contract.parameters.json_schema.get("properties", {}))

    def get_input_schema(self, config: Any = None) -> type[BaseModel]:
        """A model that holds arguments to the contract, for who validates before invoking."""
        contract = self._contract

        class Arguments(RootModel[dict[str, Any]]):
            """The arguments of a tool of ALTAR, as a JSON object."""

            @model_validator(mode="after")
            def fit(self) -> Self:
                try:
                    contract.check_arguments(self.root)
                except AltarError as refused:
                    raise ValueError(refused.message) from refused
                return self

            @classmethod
            def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
                return {"title": contract.name, **contract.parameters.json_schema}

        return Arguments

    def run(self, tool_input: str | dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Run it as LangChain does, and keep the result of a call that failed as the artifact of its message."""
        with _told() as results:
            return _with_artifact(super().run(tool_input, *args, **kwargs), results)

    async def arun(self, tool_input: str | dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Run it in an event loop, as :meth:`run` does."""
        with _told() as results:
            return _with_artifact(await super().arun(tool_input, *args, **kwargs), results)

    def _run(self, /, **arguments: Any) -> tuple[str, dict[str, Any]]:
        if not self._streams:
            result = self._asked.call(self._asks, arguments)
            if self._interrupt is not None and (handle := _pending(result)):
                self._interrupt(_approval(self._contract, arguments, result))
                result = self._asked.resume(handle)
            return _answer(result)
        values = []
        try:
            for value in self._asked.values(self._asks, arguments):
                values.append(value)
                dispatch_custom_event("altar.value", {"tool": self.name, "value": value})
        except AltarError as failed:
            return _answer(_result(self._contract, values, failed))
        return _answer(_result(self._contract, values))

    async def _arun(self, /, **arguments: Any) -> tuple[str, dict[str, Any]]:
        if not self._streams:
            result = await self._asked.acall(self._asks, arguments)
            if self._interrupt is not None and (handle := _pending(result)):
                self._interrupt(_approval(self._contract, arguments, result))
                result = await self._asked.aresume(handle)
            return _answer(result)
        values = []
        try:
            async for value in self._asked.avalues(self._asks, arguments):
                values.append(value)
                await adispatch_custom_event("altar.value", {"tool": self.name, "value": value})
        except AltarError as failed:
            return _answer(_result(self._contract, values, failed))
        return _answer(_result(self._contract, values))

    @property
    def _asks(self) -> str:
        return f"{self._contract.name}@{self._contract.version}"

    @property
    def _streams(self) -> bool:
        return self._contract.metadata.get("streaming") is True


class AltarToolkit(BaseToolkit):
    """The tools of a session. :func:`altar.adapters.langchain.toolkit` makes it."""

    _tools: list[AltarTool] = PrivateAttr(default_factory=list)
    _asked: BothWays = PrivateAttr()

    @classmethod
    def of(cls, tools: list[AltarTool], *, asked: BothWays) -> Self:
        """The toolkit of these tools."""
        made = cls()
        made._tools, made._asked = list(tools), asked
        return made

    def get_tools(self) -> list[AltarTool]:
        """All tools of the toolkit."""
        return list(self._tools)

    def resume(self, message: Any) -> Any:
        """The ToolMessage to put in the place of one that said APPROVAL_PENDING: the same call, made again.

        Raises APPROVAL_VOID for a message that waits for nothing, and as the session's own ``resume`` does.
        """
        return _message(self._asked.resume(_handle_of(message)), message)

    async def aresume(self, message: Any) -> Any:
        """The same for who awaits; see :meth:`resume`."""
        return _message(await self._asked.aresume(_handle_of(message)), message)


# ------------------------------------------------------------------------------------------------------------ results


@contextmanager
def _told() -> Iterator[list[ToolResult]]:
    """A place for the result of a call that fails, of which LangChain keeps the text only."""
    results: list[ToolResult] = []
    token = _results.set(results)
    try:
        yield results
    finally:
        _results.reset(token)


def _with_artifact(output: Any, results: list[ToolResult]) -> Any:
    if results and isinstance(output, ToolMessage) and output.artifact is None:
        output.artifact = results[-1].to_adm()
    return output


def _answer(result: ToolResult) -> tuple[str, dict[str, Any]]:
    """What LangChain calls content and artifact; raises ToolFailed for a call that failed."""
    if result.status is ResultStatus.SUCCESS:
        return result.text, result.to_adm()
    results = _results.get()
    if results is not None:
        results.append(result)
    raise ToolFailed(result)


def _result(contract: FunctionDeclaration, values: list[Any], failed: AltarError | None = None) -> ToolResult:
    """What came of a stream: the list of its values, or its error."""
    if failed is None:
        return ToolResult("stream", contract.name, ResultStatus.SUCCESS, values)
    return ToolResult("stream", contract.name, ResultStatus.ERROR, error=ErrorObject.of(failed))


def _message(result: ToolResult, before: Any) -> Any:
    return ToolMessage(
        result.text,
        artifact=result.to_adm(),
        tool_call_id=before.tool_call_id,
        name=before.name,
        status="success" if result.status is ResultStatus.SUCCESS else "error",
    )


# ---------------------------------------------------------------------------------------------------------- approvals


def _pending(result: ToolResult) -> str:
    """The handle of a call that did not run because people have to approve it; "" for any other."""
    error = result.error
    return error.handle if error is not None and (error.type, error.ran) == ("APPROVAL_PENDING", "no") else ""


def _approval(contract: FunctionDeclaration, arguments: Mapping[str, Any], result: ToolResult) -> dict[str, Any]:
    """What a person or a program that resumes a graph is told."""
    return {
        "type": "altar.approval",
        "handle": _pending(result),
        "tool": contract.name,
        "arguments": dict(arguments),
        "message": result.text,
    }


def _handle_of(message: Any) -> str:
    artifact = getattr(message, "artifact", None)
    error = artifact.get("error") if isinstance(artifact, Mapping) else None
    details = error.get("details") if isinstance(error, Mapping) else None
    handle = details.get("handle") if isinstance(details, Mapping) else None
    if not isinstance(handle, str) or not handle:
        from altar.adm.errors import AuthorizationError

        raise AuthorizationError(
            "APPROVAL_VOID",
            "This message waits for no approval",
            ran="no",
            hint="give the ToolMessage whose artifact has the error APPROVAL_PENDING",
        )
    return handle
