"""A DSPy program as a tool: :func:`tool_from_module`, and :func:`tools_from_program` for a program and its parts.

A module comes in, a :class:`ToolFunction` goes out: its contract is the signature of the module, and a call runs the
module with the checked inputs in a context of DSPy that belongs to that call alone.
Nothing of DSPy's settings for the whole process is changed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from altar.adm.declaration import Annotations
from altar.adm.errors import DeclarationError
from altar.adm.formats.names import fitting
from altar.ai.made_tools import note_tool
from altar.ai.running import Program
from altar.ai.servable import can_be_awaited, runs_code, servable
from altar.ai.signatures import declared, public_signature, signature_from
from altar.ai.state import state_digest
from altar.ai.streaming import Stream, streaming_result
from altar.later.extras import loaded
from altar.later.tool import ToolFunction

if TYPE_CHECKING:
    from datetime import timedelta

    from altar.ai.transformers import Transformer
    from altar.ai.variables import Bound
    from altar.later.context import ToolContext

__all__ = ["tool_from_module", "tools_from_program"]

_WHAT = "A DSPy program as a tool"

Kind = Literal["awaited", "plain", "stream"]


def tool_from_module(
    module: Any,
    *,
    name: str | None = None,
    version: str = "1.0.0",
    description: str | None = None,
    signature: Any = None,
    types: Mapping[str, type] | None = None,
    lm: Any = None,
    adapter: Any = None,
    variables: Mapping[str, Bound] | None = None,
    transform: Transformer | None = None,
    stream: Stream | None = None,
    per_session: bool = False,
    timeout: float | timedelta | None = None,
    annotations: Annotations | None = None,
    metadata: Mapping[str, Any] | None = None,
    register: bool = True,
) -> ToolFunction[..., Any]:
    """A module of DSPy as a tool, in the registry of this process unless ``register`` is false.

    ``name`` is made of the module and its fields where it is not given, always the same for the same signature.
    ``signature`` is for a program that does not tell its own: text, a class or a mapping; ``types`` are those that a
    text may name.
    ``lm`` is a language model of DSPy, or what :func:`altar.ai.language_model` takes; without it the module's own, or
    that of ``dspy.configure``, is used. It is never a part of the contract.
    ``variables`` binds variables of the session by name (see :mod:`altar.ai.variables`).
    ``transform`` makes the result of the members of an answer; it must give what the signature promises.
    ``stream`` makes a tool that streams: each output field as it is complete, or the pieces of text as they come.
    ``per_session`` gives each session a copy of the module of its own, which keeps what it remembers.
    ``timeout`` is in seconds, or a timedelta. ``metadata`` are further members of the contract's metadata.
    Raises DeclarationError INVALID_DECLARATION, with a hint, for what cannot be a tool, and ConfigurationError
    ENVIRONMENT_ERROR without the extra ``dspy``.
    """
    module, told = _served(module, signature, types)
    called, outputs, follows = name or _name(module, told), tuple(told.output_fields), dict(variables or {})
    program = Program(module, outputs, lm, adapter, transform, follows, per_session, called, runs_code(module))
    said = _with_own(_metadata(module, program, timeout=timeout, name=called), metadata or {})
    kind, run = _running(program, told, stream)
    declaration, binder, function = declared(
        told,
        name=called,
        description=description or _description(module, told),
        version=version,
        annotations=_annotations(annotations, per_session=per_session),
        metadata=said,
        kind=kind,
        run=run,
        home=_home(),
    )
    if stream is not None:
        declaration, binder = streaming_result(declaration, binder, stream)
    made: ToolFunction[..., Any] = ToolFunction(function, declaration=declaration, binder=binder)
    return _registered(made) if register else made


def tools_from_program(program: Any, *, name: str | None = None, **options: Any) -> list[ToolFunction[..., Any]]:
    """A program of several modules as tools: first the whole, where it tells its signature, then each of its parts.

    A part is called ``<name>_<part>`` after the attribute that holds it; the steps inside of a module of DSPy, such as
    those of a ReAct, are no parts.
    ``options`` are those of :func:`tool_from_module`, for all of them; ``signature`` and ``description`` are for the
    whole.
    Raises as that does, also for a program without any part.
    """
    dspy = loaded("dspy", extra="dspy", what=_WHAT)
    if not isinstance(program, dspy.Module):
        raise _no_module(program)
    whole, parts = {"signature", "description", "variables", "transform"}, list(_parts(program))
    base = name or _snake(type(program).__name__)
    tools = []
    if options.get("signature") is not None or public_signature(program) is not None:
        tools.append(tool_from_module(program, name=name, **options))
        base = tools[0].name
    shared = {each: held for each, held in options.items() if each not in whole | {"metadata"}}
    for place, part in parts:
        given = {**(options.get("metadata") or {}), "program": type(program).__name__, "predictor": place}
        part_name = fitting(f"{base}_{_snake(place)}"[:200])
        tools.append(tool_from_module(part, name=part_name, metadata=given, **shared))
    if not tools:
        raise _no_signature(program)
    return tools


# ---------------------------------------------------------------------------------------------------- how it is made


def _served(module: Any, signature: Any, types: Mapping[str, type] | None) -> tuple[Any, Any]:
    """The module that answers the calls, and the signature that its callers see."""
    dspy = loaded("dspy", extra="dspy", what=_WHAT)
    if not isinstance(module, dspy.Module):
        raise _no_module(module)
    note_tool(module)
    served = servable(module)
    told = public_signature(served) if signature is None else signature_from(signature, types_by_name=types)
    if told is None:
        raise _no_signature(served)
    return served, told


def _running(program: Program, signature: Any, stream: Stream | None) -> tuple[Kind, Callable[..., Any]]:
    """How a call runs, and what it calls: by a generator, in the loop of its caller, or in a thread."""
    if stream is None:
        return ("awaited", program.awaited) if can_be_awaited(program.module) else ("plain", program.plain)

    def streamed(inputs: dict[str, Any], context: ToolContext) -> AsyncGenerator[dict[str, Any], None]:
        from altar.ai.streaming import pieces

        return pieces(program, inputs, context, stream=stream, signature=signature)

    return "stream", streamed


def _registered(tool: ToolFunction[..., Any]) -> ToolFunction[..., Any]:
    from altar.later.registry import REGISTRY

    REGISTRY.register(tool)
    return tool


# ------------------------------------------------------------------------------------------------- what it is called


def _name(module: Any, signature: Any) -> str:
    """What a module is called by itself: its own class or that of its signature, or else kind and fields."""
    if _is_of_dspy(module):
        own = _snake(signature.__name__)
        if signature.__name__ not in {"StringSignature", "Signature"}:
            return fitting(own)
        kind, fields = _snake(type(module).__name__), "_".join(signature.input_fields)
        return fitting(
            f"{kind}_{fields}_to_{'_'.join(name for name in signature.output_fields if name != 'reasoning')}"
        )
    return fitting(_snake(type(module).__name__))


def _snake(name: str) -> str:
    """Words of a class or of a path such as ``parts[0].qa``, in small letters with underscores between."""
    apart = re.sub(r"([a-z0-9])([A-Z])|([A-Z]+)([A-Z][a-z])", r"\1\3_\2\4", name)
    return re.sub(r"[^a-z0-9]+", "_", apart.lower()).strip("_") or "program"


def _description(module: Any, signature: Any) -> str | None:
    """The docstring of a program of the user's own; of what DSPy made, the instructions of the signature say it."""
    said = None if _is_of_dspy(module) else type(module).__dict__.get("__doc__")
    return said.strip().partition("\n\n")[0] if said and said.strip() else str(signature.instructions) or None


def _metadata(module: Any, program: Program, *, timeout: Any, name: str) -> dict[str, Any]:
    from altar.later.tool import _limit

    said: dict[str, Any] = {
        "framework": "dspy",
        "module_class": type(module).__name__,
        "program": type(module).__name__,
        "state_digest": state_digest(module),
        **_limit(timeout, name),
    }
    predictors = [place for place, _ in module.named_predictors()]
    if len(predictors) > 1:
        said["predictors"] = predictors
    if program.runs_code is not None:
        said["runs_code"] = program.runs_code
    if program.variables:
        said["variables"] = {each: bound.to_json() for each, bound in sorted(program.variables.items())}
    return said


_FACTS = frozenset({"framework", "module_class", "runs_code", "state_digest", "variables"})
"""Members that say what a program is and does: a host, a policy and the record take them for the truth."""


def _with_own(said: dict[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata with what the user adds; raises DeclarationError for a member that is a fact of the program."""
    taken = sorted(_FACTS & own.keys())
    if taken:
        raise DeclarationError(
            "INVALID_DECLARATION",
            f"The member {taken[0]!r} of the metadata says what the program is, and is not given",
            hint="give it another name",
        )
    return said | dict(own)


def _annotations(given: Annotations | None, *, per_session: bool) -> Annotations:
    from dataclasses import replace

    made = given or Annotations(open_world=True)  # a language model is somewhere else, as far as a contract can know
    return replace(made, stateful=True) if per_session else made


# --------------------------------------------------------------------------------------------------- what it is made of


def _home() -> str:
    """The module of whoever asks for a tool, which it then belongs to, as a function does."""
    frame = sys._getframe(1)  # noqa: SLF001 - the way to know it, as the standard library does for named tuples
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith("altar.ai"):
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", ""))


def _is_of_dspy(module: Any) -> bool:
    return type(module).__module__.partition(".")[0] in {"dspy", "altar"}


def _parts(program: Any) -> Iterable[tuple[str, Any]]:
    """The modules of DSPy that a program is made of, each with its path; what is inside of one is its own affair."""
    dspy = loaded("dspy", extra="dspy", what=_WHAT)
    inside: list[str] = []
    for path, module in program.named_sub_modules(dspy.Module):
        if path == "self" or any(path.startswith((f"{each}.", f"{each}[")) for each in inside):
            continue
        if _is_of_dspy(module):
            inside.append(path)
            yield path.removeprefix("self.").removeprefix("self"), module


# ------------------------------------------------------------------------------------------------------- refusals


def _no_module(given: object) -> DeclarationError:
    kind = given.__name__ if isinstance(given, type) else type(given).__name__
    what = f"The class {kind!r}" if isinstance(given, type) else f"A value of the type {kind!r}"
    return DeclarationError(
        "INVALID_DECLARATION",
        f"{what} is no module of DSPy",
        hint="make the module first, such as dspy.ChainOfThought('question -> answer')",
    )


def _no_signature(module: object) -> DeclarationError:
    return DeclarationError(
        "INVALID_DECLARATION",
        f"{type(module).__name__!r} does not say what goes in and what comes out",
        hint="give its signature: tool_from_module(program, signature='question -> answer')",
    )
