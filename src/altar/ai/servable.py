"""Which modules of DSPy can be tools, and which of them run code that a language model wrote.

In: a module.
Out: the module that answers its calls, or the reason why there is none; and where its generated code runs.
What is known of each type stands in one table, :data:`MODULES`, which discovery shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

from altar.adm.errors import DeclarationError
from altar.later.extras import loaded

__all__ = ["MODULES", "UNSERVED", "Where", "can_be_awaited", "runs_code", "sandboxed", "servable"]

Where = Literal["sandboxed", "unsandboxed"]
"""Where code runs that a language model wrote: in a sandbox, or beside everything else that the process may do."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What is known of one type of module: whether it can be a tool, and in words how, or why not."""

    served: bool
    how: str
    runs_code: bool = False


MODULES: Final = MappingProxyType(
    {
        "Predict": Kind(True, "its signature is the contract"),
        "ChainOfThought": Kind(True, "its signature with `reasoning` is the contract"),
        "ReAct": Kind(True, "its outer signature is the contract; the trajectory stays inside"),
        "ReActV2": Kind(True, "its outer signature is the contract; the history stays inside"),
        "MultiChainComparison": Kind(True, "samples its chains itself; its question and `reasoning` are the contract"),
        "BestOfN": Kind(True, "the signature of the module that it repeats is the contract"),
        "Refine": Kind(True, "the signature of the module that it refines is the contract"),
        "RLM": Kind(True, "its outer signature is the contract", runs_code=True),
        "Flex": Kind(True, "its signature is the contract", runs_code=True),
        "ProgramOfThought": Kind(True, "its outer signature is the contract; until DSPy 3.5", runs_code=True),
        "CodeAct": Kind(True, "its outer signature is the contract; until DSPy 3.5", runs_code=True),
        "SemanticF1": Kind(False, "it measures an answer against an example: both are objects of Python"),
        "CompleteAndGrounded": Kind(False, "it measures an answer against an example: both are objects of Python"),
        "Module": Kind(False, "it is what programs extend and answers nothing itself"),
    }
)
"""The public types of module that ALTAR knows, by the name of their class."""

UNSERVED: Final = MappingProxyType(
    {
        "Parallel": "it runs modules that it is given; serve the module, and make a batch of calls",
        "KNN": "it holds examples and no signature; serve the program that asks it",
        "Retrieve": "it has no signature; serve the program that asks it",
        "Embeddings": "it holds a corpus and no signature; serve the program that asks it",
        "EmbeddingsWithScores": "it holds a corpus and no signature; serve the program that asks it",
        "ColBERTv2": "it is a client of a server; serve the program that asks it",
        "Evaluate": "it measures a program against examples, which belong to who improves it",
    }
)
"""What answers calls in DSPy and is no module, and why it is no tool."""


def servable(module: object) -> Any:
    """The module that answers the calls of a tool: this one, or for a comparison of chains one that samples them.

    Raises DeclarationError INVALID_DECLARATION, with the reason, for what cannot be a tool, and ENVIRONMENT_ERROR
    without the extra ``dspy``.
    """
    dspy = loaded("dspy", extra="dspy", what="A DSPy program as a tool")
    name = module.__name__ if isinstance(module, type) else type(module).__name__
    if isinstance(module, type):
        raise _refused(name, "it is a class", hint=f"make one: dspy.{name}('question -> answer')")
    if not isinstance(module, dspy.Module):
        reason = UNSERVED.get(name, "it is no dspy.Module")
        raise _refused(name, reason, hint="give a dspy.Module; `altar dspy discover` lists what can be served")
    known = MODULES.get(name)
    if known is not None and not known.served and type(module).__module__.startswith("dspy."):
        raise _refused(name, known.how, hint="serve the program that uses it")
    if not hasattr(type(module), "forward") and not hasattr(type(module), "aforward"):
        raise _refused(name, "it has no forward()", hint="give the class a method forward(self, ...)")
    if isinstance(module, dspy.MultiChainComparison):
        from altar.ai.chains import ComparedChains

        return ComparedChains(module)
    return module


def can_be_awaited(module: object) -> bool:
    """Whether a program, with every module in it, awaits its language model; what cannot is run in a thread.

    A class that has its own ``forward`` and only inherits an ``aforward`` cannot: the two would be different programs,
    as in DSPy's CodeAct.
    Nor can what runs code of a language model: it would hold up the loop for as long as that runs.
    """
    dspy = loaded("dspy", extra="dspy", what="A DSPy program as a tool")
    if runs_code(module) is not None:
        return False
    return all(_awaits(type(each)) for each in _modules_in(module) if isinstance(each, dspy.Module))


def runs_code(module: object) -> Where | None:
    """Where a program runs code that a language model wrote; None for one that runs none.

    It counts for every module inside of it that DSPy sees itself; not for one that is made in the midst of a call.
    Code runs in a sandbox only where the interpreter is DSPy's own (Deno and WebAssembly, with nothing opened), or a
    factory that was marked by :func:`sandboxed`: what cannot be judged is no sandbox.
    """
    dspy = loaded("dspy", extra="dspy", what="A DSPy program as a tool")
    found: Where | None = None
    for each in _modules_in(module):
        if not any(kind.__name__ in _RUNNING for kind in type(each).__mro__):
            continue
        if not _is_sandbox(dspy, getattr(each, "_interpreter_factory", None)):
            return "unsandboxed"
        found = "sandboxed"
    return found


def sandboxed(factory: Callable[[], Any]) -> Callable[[], Any]:
    """The same factory of interpreters, marked as making sandboxes: whoever marks it answers for that."""
    return _Sandbox(factory)


@dataclass(frozen=True, slots=True)
class _Sandbox:
    """A factory of interpreters that somebody answers for."""

    factory: Callable[[], Any]

    @property
    def execution_instructions(self) -> str:
        """What the interpreter wants a language model to know; DSPy asks the factory for it."""
        said: str = getattr(self.factory, "execution_instructions", "")
        return said

    def __call__(self) -> Any:
        return self.factory()


_RUNNING: Final = frozenset(name for name, kind in MODULES.items() if kind.runs_code)


def _awaits(kind: type) -> bool:
    for each in kind.__mro__:
        if "aforward" in vars(each):
            return True
        if "forward" in vars(each):
            return False
    return False


def _is_sandbox(dspy: Any, factory: object) -> bool:
    """Whether what makes the interpreters, by itself or by DSPy's settings, makes sandboxes."""
    made_by = dspy.resolve_interpreter_factory(factory)
    return made_by is dspy.PythonInterpreter or isinstance(made_by, _Sandbox)


def _modules_in(module: object) -> Iterator[object]:
    """A module and all that are in it, each once, also those that DSPy holds beside its parameters."""
    inside = getattr(module, "named_sub_modules", None)
    seen: set[int] = set()
    for each in (module, *(one for _, one in inside())) if callable(inside) else (module,):
        if id(each) not in seen:
            seen.add(id(each))
            yield each


def _refused(name: str, reason: str, *, hint: str) -> DeclarationError:
    return DeclarationError("INVALID_DECLARATION", f"{name!r} cannot be a tool: {reason}", ran="no", hint=hint)
