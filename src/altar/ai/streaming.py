"""A DSPy program that answers piece by piece: each output field when it is complete, or its text as it comes.

Each value of such a tool is an object:
``{"field": "answer", "text": "Par"}`` is a piece of text (tokens), ``{"field": "answer", "value": …}`` a whole field
(fields), and the last one, ``{"result": {…}}``, all that the signature promises.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal

from altar.adm.errors import TransportError
from altar.adm.schema import Schema
from altar.ai.servable import can_be_awaited
from altar.later.introspection.binder import Binder, Writer
from altar.later.invocation import MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from altar.adm.declaration import FunctionDeclaration
    from altar.ai.running import Program
    from altar.later.context import ToolContext

__all__ = ["Stream", "pieces", "streaming_result"]

Stream = Literal["fields", "tokens"]

_MOST_WAITING: Final = 16
"""Pieces that wait for who reads them."""


def streaming_result(
    declaration: FunctionDeclaration, binder: Binder, stream: Stream
) -> tuple[FunctionDeclaration, Binder]:
    """The same contract for a tool that streams: a list of pieces, of which the last is the result."""
    promised = {} if declaration.returns is None else declaration.returns.json_schema
    definitions, whole = promised.get("$defs", {}), promised["items"]
    if "$ref" in whole:
        whole = definitions.pop(whole["$ref"].rpartition("/")[2])
    names = sorted(whole.get("properties", {}))
    piece = {"field": {"type": "string", "enum": names}}
    said = {"text": {"type": "string"}} if stream == "tokens" else {"value": {}}
    item = {
        "anyOf": [
            {"type": "object", "properties": piece | said, "required": ["field", *said], "additionalProperties": False},
            {
                "type": "object",
                "properties": {"result": whole},
                "required": ["result"],
                "additionalProperties": False,
            },
        ]
    }
    returns = {"type": "array", "items": item} | ({"$defs": definitions} if definitions else {})
    binder.item = binder.result = Writer()
    binder.streams, binder.is_async = True, True
    metadata = {**declaration.metadata, "streaming": True, "stream": stream}
    return replace(declaration, returns=Schema.from_json_schema(returns), metadata=metadata), binder


async def pieces(
    program: Program, inputs: dict[str, Any], context: ToolContext, *, stream: Stream, signature: Any
) -> AsyncGenerator[dict[str, Any], None]:
    """Run the program, and give what there is of its answer on the way, and then the whole."""
    import dspy
    from anyio import create_memory_object_stream

    begun = await program.begin(inputs, context)
    module, listened, whole = begun.module, _listened(begun.module, signature), stream == "fields"
    listeners = [_listener(name, predict, place) for name, predict, place in listened]
    running = dspy.streamify(
        module,
        stream_listeners=listeners or None,
        async_streaming=True,
        is_async_program=can_be_awaited(module),
    )
    # A reader who is slow lets the language model wait: no more than these pieces are ever kept.
    giving, heard = create_memory_object_stream[Any](_MOST_WAITING)

    async def run() -> dict[str, Any]:
        prediction = None
        with giving, program.context(context, begun):
            async for chunk in running(**inputs):
                if isinstance(chunk, dspy.Prediction):
                    prediction = chunk
                elif isinstance(chunk, dspy.streaming.StreamResponse):
                    await giving.send(chunk)
            return program.answer(module, prediction)

    texts, told = dict.fromkeys((name for name, _, _ in listened), ""), set()
    # In a task of its own, which ends what it began wherever the reader stops; only its own context has the settings.
    task = asyncio.create_task(run())  # noqa: TID251 (no group can be held over a yield: another task may close it)
    try:
        with heard:
            async for chunk in heard:
                name = chunk.signature_field_name
                if chunk.chunk and not whole:
                    yield {"field": name, "text": str(chunk.chunk)}
                elif whole:
                    texts[name] += str(chunk.chunk)
                    if chunk.is_last_chunk and name not in told:
                        told.add(name)
                        yield {"field": name, "value": texts[name].strip()}
            answer = await task
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # which is told by what awaits it, or by nobody who is still there
    for name, value in answer.items() if whole else ():
        if name not in told:
            yield {"field": name, "value": value}
    yield {"result": answer}


def _listener(name: str, predict: Any, place: str) -> Any:
    """What hears one field of a predictor, and ends the call when the predictor goes on without end."""
    import dspy

    class Listener(dspy.streaming.StreamListener):
        size = 0

        def receive(self, chunk: Any) -> Any:
            content = chunk.choices[0].delta.content if chunk.choices else None
            self.size += len(content.encode()) if isinstance(content, str) else 0
            if self.size > MAX_MESSAGE_BYTES:
                raise _endless()
            return super().receive(chunk)

    return Listener(signature_field_name=name, predict=predict, predict_name=place, allow_reuse=True)


def _endless() -> TransportError:
    return TransportError(
        "MESSAGE_TOO_LARGE",
        f"The answer of the language model is more than the limit of {MAX_MESSAGE_BYTES} bytes",
        ran="yes",
        hint="let the language model end its answer: set its max_tokens",
    )


def _listened(module: Any, signature: Any) -> list[tuple[str, Any, str]]:
    """The output fields that are text, each with the last predictor that makes it."""
    found: dict[str, tuple[str, Any, str]] = {}
    for place, predictor in module.named_predictors():
        for name, made in predictor.signature.output_fields.items():
            if name in signature.output_fields and made.annotation is str:
                found[name] = (name, predictor, place)
    return list(found.values())
