"""An agent under DSPy: a program with one ``dspy.Predict`` that is asked until it has an answer.

The program is ``AgentProgram``: its instructions and examples are those of a predictor, which optimizers know.
A language model that can call tools is asked in plain messages, as every other framework asks it; one that cannot is
asked in the form of DSPy's ``ChatAdapter``.
Loaded with DSPy only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from typing import Any

import dspy
import orjson
from dspy.utils.exceptions import AdapterParseError
from dspy.utils.usage_tracker import UsageTracker

from altar.adapters.dspy import to_dspy
from altar.adm.call import ErrorObject
from altar.adm.errors import AltarError
from altar.ai.agents.output import SUBMIT, OutputForm
from altar.ai.agents.turn import USE, Turn, apart
from altar.ai.lm.chat import ChatMessage, ToolUse
from altar.ai.lm.errors import lm_error
from altar.ai.lm.usage import usage_of

__all__ = ["AgentProgram", "run"]


async def run(turn: Turn, lm: Any) -> None:
    """Drive a run to its end; what it gives is in the turn. Raises the AltarError that ends it."""
    tools = to_dspy(turn.session, names=turn.task.tools, on_result=turn.heard)
    await AgentProgram(turn.task.instructions, tools, turn.task.form).drive(turn, lm)


class PlainAdapter(dspy.ChatAdapter):
    """Asks a language model that can call tools as one asks it in a conversation: no field is marked."""

    def __init__(self) -> None:
        super().__init__(use_native_function_calling=True, use_json_adapter_fallback=False)

    def format_system_message(self, signature: Any) -> str:
        """The instructions, where there are any."""
        return "" if signature.instructions == NOTHING else str(signature.instructions)

    def format_user_message_content(self, signature: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> str:
        """The prompt, where there is one."""
        return str(inputs.get("prompt") or "")

    def format_assistant_message_content(self, signature: Any, outputs: dict[str, Any], *_: Any, **__: Any) -> str:
        """The text of an answer."""
        return str(outputs.get("answer") or "")

    def format(self, signature: Any, demos: list[dict[str, Any]], inputs: dict[str, Any]) -> list[dict[str, Any]]:
        """The messages, without instructions where there are none."""
        messages = super().format(signature, demos, inputs)
        return [each for each in messages if each["role"] != "system" or each["content"]]

    def format_conversation_history(
        self, signature: Any, history_field_name: str, inputs: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """What was said before; DSPy itself would make a signature for each entry."""
        return [message for event in inputs.pop(history_field_name).messages for message in _spoken(event)]

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:
        """The whole text is the answer."""
        return {"answer": completion}


class AgentProgram(dspy.Module):
    """The program: what a language model is asked, and what becomes of the tools that it wants."""

    def __init__(self, instructions: str, tools: Sequence[Any], form: OutputForm | None) -> None:
        super().__init__()
        self.react = dspy.Predict(_signature(instructions))
        self._tools = {tool.name: tool for tool in tools}
        self._offered = [*tools, *([_submit(form)] if form is not None else [])]
        self._form = form

    async def drive(self, turn: Turn, lm: Any) -> None:
        """Ask, call, and ask again until the turn is over."""
        while True:
            turn.before_request()
            text, uses = await self._asked(turn, lm)
            if uses:
                await self._called(turn, uses)
                if turn.is_over:
                    return
            elif text and self._form is None:
                turn.output = text
                return
            else:
                turn.messages.append(ChatMessage("user", turn.nothing_said()))

    async def _asked(self, turn: Turn, lm: Any) -> tuple[str, tuple[ToolUse, ...]]:
        """What the language model answers: its text, and the tools that it wants."""
        tracker = UsageTracker()
        pieces = _Pieces(turn) if turn.is_streamed else None
        plain = lm.supports_function_calling
        settings = {"lm": lm, "adapter": PlainAdapter() if plain else dspy.ChatAdapter(), "usage_tracker": tracker}
        *before, last = turn.said
        prompt = {"prompt": last.text} if last.role == "user" else {}
        if not prompt:
            before.append(last)
        with dspy.context(**settings, disable_history=True, trace=[], send_stream=pieces):
            try:
                prediction = await self.react.acall(
                    history=dspy.History(messages=_events(before)),
                    tools=self._offered,
                    config={"tool_choice": "required"} if self._form is not None and plain else {},
                    **prompt,
                )
            except AdapterParseError:
                await turn.answered("", (), usage_of(tracker))
                return "", ()
            except Exception as raised:
                error = lm_error(raised)
                if error is None:
                    raise
                raise error from raised
        text = prediction.answer or ""
        if pieces is not None and not pieces.is_told:
            await turn.piece(text)
        uses = _uses(prediction.tool_calls, first=len(turn.messages))
        await turn.answered(text, uses, usage_of(tracker) or _unasked(lm))
        return text, uses

    async def _called(self, turn: Turn, uses: tuple[ToolUse, ...]) -> None:
        """Make the calls: at the same time, unless one of the tools depends on the calls before it."""
        tools = [self._tools[use.name] for use in uses if use.name in self._tools]
        if any(tool.declaration.annotations.stateful for tool in tools):
            for use in uses:
                await self._call(turn, use)
        else:
            async with asyncio.TaskGroup() as group:
                for use in uses:
                    group.create_task(self._call(turn, use))
        turn.step_ended()

    async def _call(self, turn: Turn, use: ToolUse) -> None:
        USE.set(use.id)
        tool = self._tools.get(use.name)
        try:
            if self._form is not None and use.name == SUBMIT:
                turn.handed_in(use.arguments)
                await turn.told(use, "")
                return
            if tool is None:
                await turn.told(use, self._unknown(use.name), wrong="UNSUPPORTED_TOOL")
                return
            tool.declaration.check_arguments(dict(use.arguments))
        except AltarError as wrong:
            await turn.told(use, ErrorObject.of(wrong).text, wrong=wrong.code)
            return
        try:
            content = await tool.acall(**use.arguments)
        except AltarError as over:
            turn.stop(over)
            content = over.message
        await turn.told(use, content if isinstance(content, str) else turn.written(content))

    def _unknown(self, name: str) -> str:
        """What a model is told that wants a tool which it does not have, in the words of Pydantic-AI."""
        names = sorted(tool.name for tool in self._offered)
        listed = f"Available tools: {', '.join(map(repr, names))}" if names else "No tools available."
        return f"Unknown tool name: {name!r}. {listed}"


NOTHING = "Answer what is asked."
"""The instructions of a predictor that was given none; they are not told to a language model that can call tools."""


class _Pieces:
    """Takes what DSPy streams."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self.is_told = False

    async def send(self, chunk: Any) -> None:
        """A chunk of the answer has come."""
        for choice in getattr(chunk, "choices", None) or ():
            text = getattr(choice.delta, "content", None)
            if text:
                self.is_told = True
                await self._turn.piece(text)


def _unasked(lm: Any) -> dict[str, int | float]:
    """What an answer took that DSPy had in its cache: nothing."""
    return {"cost_usd": 0.0} if getattr(lm, "cache", False) else {}


def _signature(instructions: str) -> Any:
    fields = {
        "prompt": (str | None, dspy.InputField(desc="what is asked")),
        "history": (dspy.History, dspy.InputField()),
        "tools": (list[dspy.Tool], dspy.InputField()),
        "answer": (str, dspy.OutputField(desc="the final answer, or empty where a tool is needed")),
        "tool_calls": (dspy.ToolCalls, dspy.OutputField(desc="the tools to use now, if any")),
    }
    return dspy.Signature(fields, instructions or NOTHING)


def _submit(form: OutputForm) -> Any:
    """The tool that hands in the answer, as DSPy offers it."""
    from altar.adapters.dspy.tool import Offered

    return Offered(form.declaration)


def _events(messages: Iterable[ChatMessage]) -> list[dict[str, Any]]:
    """A conversation as DSPy's history: what was asked, answered and called, an entry for each answer."""
    events: list[dict[str, Any]] = []
    said = tuple(messages)
    asked: dict[str, Any] = {}
    for at, message in enumerate(said):
        if message.role == "user":
            if asked:
                events.append(asked)
            asked = {"prompt": message.text}
        elif message.role == "assistant":
            event = {**asked, "answer": message.text or None}
            if message.tool_uses:
                event["tool_calls"] = _tool_calls(message.tool_uses, _answers(said[at + 1 :]))
            events.append(event)
            asked = {}
    return [*events, asked] if asked else events


def _answers(after: Iterable[ChatMessage]) -> dict[str, str]:
    """What the calls of an answer gave, by their ids: models use the same ids again in their next answer."""
    told = takewhile(lambda message: message.role == "tool", after)
    return {message.answers: message.text for message in told}


def _spoken(event: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """An entry of DSPy's history as messages of a conversation."""
    if event.get("prompt"):
        yield {"role": "user", "content": event["prompt"]}
    called = event.get("tool_calls")
    calls = [] if called is None else called.tool_calls
    if not calls and not event.get("answer"):
        return
    said: dict[str, Any] = {"role": "assistant", "content": event.get("answer") or None}
    if calls:
        said["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": orjson.dumps(call.args).decode()},
            }
            for call in calls
        ]
    yield said
    for result in () if called is None else called.tool_call_results.tool_call_results:
        yield {"role": "tool", "tool_call_id": result.call_id, "name": result.name, "content": result.value}


def _tool_calls(uses: tuple[ToolUse, ...], answers: dict[str, str]) -> Any:
    calls = [dspy.ToolCalls.ToolCall(name=use.name, args=dict(use.arguments), id=use.id) for use in uses]
    made = dspy.ToolCalls(tool_calls=calls)
    results = dspy.ToolCallResults.from_tool_calls_and_values(made, [answers.get(use.id, "") for use in uses])
    return made.model_copy(update={"tool_call_results": results})


def _uses(called: Any, *, first: int) -> tuple[ToolUse, ...]:
    """The tools that are wanted, each with an id of its own."""
    calls = [] if called is None else called.tool_calls
    ids = apart([call.id or f"use_{first}_{at}" for at, call in enumerate(calls)])
    return tuple(ToolUse(call.name, call.args or {}, own) for call, own in zip(calls, ids, strict=True))
