"""Making and calling what DSPy has, by name: the universal call, and the three modules that are used most.

A name of :func:`altar.ai.discover` comes in, never a path to import; an object of DSPy, or what it answers, goes out.
What is made is a plain ``dspy.Module``: keep it, call it, compile it, or make it a tool.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from altar.adm.errors import ValidationError
from altar.adm.near import nearest
from altar.ai.discovery import Found, discover, entry_of, taken_by
from altar.later.extras import loaded
from altar.later.tool import ToolFunction

if TYPE_CHECKING:
    from altar.later.front import SyncSession
    from altar.later.session import Session

__all__ = ["call", "chain_of_thought", "predict", "react"]


def call(name: str, /, *arguments: Any, inputs: Mapping[str, Any] | None = None, lm: Any = None, **named: Any) -> Any:
    """Call a function of DSPy, or make an object of one of its classes, by the name that discovery lists.

    ``call("ChainOfThought", "question -> answer")`` gives the module.
    With ``inputs`` the object is used at once and its answer is given: a module and an evaluation are called with
    them, an optimizer compiles with them.
    ``lm`` is the language model while that happens: one of DSPy's, or its name as ``altar.ai.language_model`` takes it.
    Raises ValidationError UNKNOWN_RESOURCE for a name that is not in the list or that no name reaches,
    INVALID_TOOL_ARGS for arguments that it does not take, and ENVIRONMENT_ERROR without the extra ``dspy``.
    """
    found, value = _reached(name)
    _require_fit(found, value, arguments, named)
    with _using(lm):
        made = value(*arguments, **named)
        if inputs is None:
            return made
        if found.kind == "optimizer":
            return made.compile(**inputs)
        if not callable(made):
            raise ValidationError(
                "INVALID_TOOL_ARGS",
                f"{name!r} makes a value that takes no inputs",
                ran="no",
                hint=f"leave inputs out: altar.ai.call({name!r}, ...)",
            )
        return made(**inputs)


def predict(
    signature: Any,
    /,
    *,
    inputs: Mapping[str, Any] | None = None,
    lm: Any = None,
    config: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Any:
    """A ``dspy.Predict`` of a signature; with values for its fields, its answer to them.

    ``predict("question -> answer")`` makes it, ``predict("question -> answer", question="…")`` asks once.
    ``inputs`` gives the values as a mapping, for fields that are called as a parameter here.
    ``lm`` is its language model, ``config`` goes with each of its requests, such as ``{"temperature": 0}``.
    """
    dspy = _dspy()
    return _asked(dspy.Predict(signature, **(config or {})), {**(inputs or {}), **fields}, lm)


def chain_of_thought(
    signature: Any,
    /,
    *,
    inputs: Mapping[str, Any] | None = None,
    lm: Any = None,
    config: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Any:
    """A ``dspy.ChainOfThought`` of a signature; with values for its fields, its answer to them.

    The parameters are those of :func:`predict`; the answer has the ``reasoning`` too.
    """
    dspy = _dspy()
    return _asked(dspy.ChainOfThought(signature, **(config or {})), {**(inputs or {}), **fields}, lm)


def react(
    signature: Any,
    tools: Iterable[Any] = (),
    /,
    *,
    session: Session | SyncSession | None = None,
    inputs: Mapping[str, Any] | None = None,
    lm: Any = None,
    max_iters: int = 20,
    **fields: Any,
) -> Any:
    """A ``dspy.ReAct`` with these tools; with values for its fields, its answer to them.

    A tool is one of ALTAR, by its name or itself, called through ``session``; or a ``dspy.Tool``, or a function.
    Without ``tools`` it has all of the session.
    Raises ValidationError INVALID_TOOL_ARGS for a tool of ALTAR where no session is given.
    """
    dspy = _dspy()
    return _asked(
        dspy.ReAct(signature, tools=_tools(tools, session), max_iters=max_iters), {**(inputs or {}), **fields}, lm
    )


def _dspy() -> Any:
    return loaded("dspy", extra="dspy", what="A module of DSPy")


def _asked(module: Any, inputs: Mapping[str, Any], lm: Any) -> Any:
    """The module with its language model; or its answer, where there is something to ask."""
    if lm is not None:
        module.set_lm(_model(lm))
    return module(**inputs) if inputs else module


def _model(lm: Any) -> Any:
    """A language model of DSPy: given as one, or by name."""
    if not isinstance(lm, str):
        return lm
    from altar.ai.lm.configure import language_model

    return language_model(lm)


@contextmanager
def _using(lm: Any) -> Iterator[None]:
    """Within this, DSPy asks that language model; nothing of its settings is changed elsewhere."""
    if lm is None:
        yield
        return
    with _dspy().context(lm=_model(lm)):
        yield


def _tools(tools: Iterable[Any], session: Session | SyncSession | None) -> list[Any]:
    """The tools as DSPy takes them, in their order."""
    from altar.adapters.dspy import to_dspy

    given = list(tools)
    if not given and session is not None:
        return to_dspy(session)
    made = []
    for tool in given:
        name = tool.name if isinstance(tool, ToolFunction) else tool
        if not isinstance(name, str):
            made.append(tool)
            continue
        if session is None:
            raise ValidationError(
                "INVALID_TOOL_ARGS",
                f"The tool {name!r} is called through a session, and none is given",
                ran="no",
                hint="react(signature, tools, session=session)",
            )
        made += to_dspy(session, names=[name])
    return made


def _reached(name: str) -> tuple[Found, Any]:
    """What a name of the list reaches."""
    entry = entry_of(name)
    if entry is None:
        near = nearest(name, [row.name for row in discover() if row.callable])
        raise ValidationError(
            "UNKNOWN_RESOURCE",
            f"DSPy has no public {name!r}",
            ran="no",
            hint=_instead(name, near),
        )
    found, value = entry
    if not found.callable:
        raise ValidationError(
            "UNKNOWN_RESOURCE",
            f"{name!r} of DSPy is not called by name" + (f": {found.note}" if found.note else ""),
            ran="no",
            hint="`altar dspy discover --callable` lists what is",
        )
    return found, value


_GONE: Final = MappingProxyType(
    {
        "Assert": "Refine",
        "CodeAct": "RLM",
        "MIPRO": "MIPROv2",
        "OpenAI": "LM",
        "ProgramOfThought": "RLM",
        "Retry": "Refine",
        "Suggest": "Refine",
        "TypedPredictor": "Predict",
    }
)
"""What DSPy had once, or will not have from 3.5 on, and what took its place."""


def _instead(name: str, near: str | None) -> str:
    if name in _GONE:
        return f"it has left DSPy; {_GONE[name]!r} took its place"
    return f"did you mean {near!r}?" if near else "`altar dspy discover` lists what there is"


def _require_fit(found: Found, value: Any, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> None:
    signature = taken_by(value)
    if signature is None:
        return  # one that cannot be looked at judges by itself
    try:
        signature.bind(*arguments, **named)
    except TypeError as wrong:
        wants = ", ".join(each.name + ("" if each.required else "=…") for each in found.parameters)
        raise ValidationError(
            "INVALID_TOOL_ARGS",
            f"{found.name!r} of DSPy does not take these arguments: {wrong}",
            ran="no",
            hint=f"{found.name}({wants})",
        ) from wrong
