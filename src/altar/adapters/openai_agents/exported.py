"""A tool of a session as a ``FunctionTool`` of the OpenAI Agents SDK.

The arguments come in as the text that the model wrote; ALTAR reads and checks them.
What goes out is a text that knows the result it was made from, so that the whole result stays with the output item.
The SDK asks ahead of a call whether it needs approval; who must approve is known to the host, and only for this call.
So the call is made then, and what it gave is kept until the SDK invokes the tool.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Any, Final

from agents import FunctionTool

from altar.adm.call import ErrorObject, ResultStatus, ToolResult
from altar.adm.canonical import canonical
from altar.adm.declaration import FunctionDeclaration
from altar.adm.errors import AltarError
from altar.adm.formats import CALL_FORMATS
from altar.later.both_ways import BothWays

__all__ = ["exported"]

_MOST_KEPT: Final = 1000


def exported(contract: FunctionDeclaration, *, asked: BothWays, strict: bool, interrupts: bool) -> Any:
    """The function tool for a contract."""
    format = CALL_FORMATS["openai_strict" if strict else "openai"]
    document = format.write(contract).document["function"]
    calls = _Calls(contract, asked=asked, form=format.name)
    made = FunctionTool(
        name=document["name"],
        description=document["description"],
        params_json_schema=document["parameters"],
        on_invoke_tool=calls.invoked,
        strict_json_schema=strict,
        custom_data_extractor=_custom_data,
    )
    if interrupts and asked.asks_people:
        calls.tool = made
        made.needs_approval = calls.needs_approval
    return made


class _Text(str):
    """What a model reads of a result, with the result."""

    __slots__ = ("result",)

    result: ToolResult

    @classmethod
    def of(cls, result: ToolResult) -> _Text:
        made = cls(result.text)
        made.result = result
        return made


def _custom_data(context: Any) -> dict[str, Any] | None:
    """What the SDK keeps with the output item, and does not show to the model."""
    output = context.output
    return {"altar": output.result.to_adm()} if isinstance(output, _Text) else None


class _Calls:
    """Makes the calls of one tool."""

    def __init__(self, contract: FunctionDeclaration, *, asked: BothWays, form: str) -> None:
        self._contract = contract
        self._asked = asked
        self._format = CALL_FORMATS[form]
        self._kept: OrderedDict[tuple[str, bytes], deque[ToolResult]] = OrderedDict()
        self.tool: Any = None

    async def invoked(self, context: Any, text: str) -> _Text:
        """What the SDK calls when the tool is to run."""
        call_id = str(getattr(context, "tool_call_id", ""))
        try:
            arguments = self._arguments(text)
        except AltarError as unread:
            return _Text.of(_failed(self._contract, unread))
        result = self._take(call_id, arguments)
        if result is None:
            result = await self._called(arguments)
        if handle := _pending(result):  # approved meanwhile, or else it says again that it waits
            result = await self._asked.aresume(handle)
        return _Text.of(result)

    async def needs_approval(self, _: Any, parameters: Mapping[str, Any], call_id: str) -> bool:
        """Whether people have to approve this call, which is made to find out; its result is kept.

        A tool with guardrails is not called before they have seen the call.
        """
        if self.tool.tool_input_guardrails:
            return False
        try:
            arguments = self._given(parameters)
            result = self._take(call_id, arguments) or await self._called(arguments)
            if handle := _pending(result):
                result = await self._asked.aresume(handle)
        except AltarError:
            return False  # the same error is told when the tool is invoked
        self._keep(call_id, arguments, result)
        return bool(_pending(result))

    async def _called(self, arguments: Mapping[str, Any]) -> ToolResult:
        return await self._asked.acall(f"{self._contract.name}@{self._contract.version}", arguments)

    def _arguments(self, text: str) -> Mapping[str, Any]:
        """The arguments of a text; null stands for none where the strict form made it so."""
        function = {"name": self._contract.name, "arguments": text}
        call = self._format.read_call({"id": "call", "function": function}, declaration=self._contract)
        return call.args

    def _given(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._arguments(canonical(dict(parameters)).decode("utf-8"))

    def _keep(self, call_id: str, arguments: Mapping[str, Any], result: ToolResult) -> None:
        key = call_id, canonical(dict(arguments))
        self._kept.setdefault(key, deque()).append(result)
        while len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)

    def _take(self, call_id: str, arguments: Mapping[str, Any]) -> ToolResult | None:
        key = call_id, canonical(dict(arguments))
        results = self._kept.get(key)
        if results is None:
            return None
        result = results.popleft()
        if not results:
            del self._kept[key]
        return result


def _failed(contract: FunctionDeclaration, error: AltarError) -> ToolResult:
    return ToolResult("call", contract.name, ResultStatus.ERROR, error=ErrorObject.of(error))


def _pending(result: ToolResult) -> str:
    """The handle of a call that did not run because people have to approve it; "" for any other."""
    error = result.error
    return error.handle if error is not None and (error.type, error.ran) == ("APPROVAL_PENDING", "no") else ""
