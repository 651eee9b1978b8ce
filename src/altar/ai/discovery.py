"""What DSPy has: every public class and function, by kind, what can be called by name, and what can be a tool.

Nothing comes in; DSPy is loaded and looked at as it is installed. Rows come out, in the order of their kinds and names.
A name of a sub-package has that in front, such as ``evaluate.SemanticF1``; it is a name of this list, not a path.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Final, Literal

from altar.ai.servable import MODULES, UNSERVED, Kind
from altar.later.extras import loaded

__all__ = ["KINDS", "Found", "FoundKind", "Parameter", "discover", "entry_of", "taken_by"]

FoundKind = Literal[
    "module",
    "optimizer",
    "signature",
    "type",
    "adapter",
    "language model",
    "retriever",
    "evaluation",
    "data",
    "interpreter",
    "function",
    "error",
    "other",
]
"""What something of DSPy is."""

KINDS: Final[tuple[FoundKind, ...]] = FoundKind.__args__  # type: ignore[attr-defined]  # of a Literal

SUB_PACKAGES: Final = ("evaluate", "experimental", "predict", "retrievers", "streaming", "teleprompt", "datasets")
"""Where DSPy has more that is public, beside what stands in ``dspy`` itself."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a class or a function, as its source writes it."""

    name: str
    required: bool
    annotation: str | None = None
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """One public class or function of DSPy.

    ``callable`` says whether :func:`altar.ai.call` reaches it, ``served`` whether an object of it can be a tool;
    ``note`` says how, or why not.
    """

    name: str
    kind: FoundKind
    callable: bool
    served: bool
    note: str
    summary: str
    stage: Literal["stable", "experimental", "deprecated"] = "stable"
    parameters: tuple[Parameter, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The row as JSON values."""
        return asdict(self) | {"parameters": [asdict(each) for each in self.parameters]}


def discover(*, kind: FoundKind | None = None) -> list[Found]:
    """Every public class and function of the DSPy that is installed, or those of one kind.

    Raises ConfigurationError ENVIRONMENT_ERROR without the extra ``dspy``.
    """
    rows = (found for name, (found, _) in _names().items() if name == found.name)
    return sorted(
        (row for row in rows if kind is None or row.kind == kind), key=lambda row: (KINDS.index(row.kind), row.name)
    )


def entry_of(name: str) -> tuple[Found, Any] | None:
    """The row of a name, or of another name of the same, and what it names; None for a name that is not in the list."""
    return _names().get(name)


_FUNCTIONS: Final = frozenset(
    "InputField OutputField asyncify ensure_signature infer_prefix is_retryable_lm_error majority make_signature"
    " streamify syncify evaluate.answer_exact_match evaluate.answer_passage_match evaluate.normalize_text".split()
)
"""The functions that a name reaches: those that compute or wrap. A function that is not listed is not reached."""

_CALLABLE: Final = frozenset(("module", "optimizer", "signature", "type", "adapter", "retriever", "evaluation", "data"))
"""The kinds whose classes a name reaches."""

_REACHED: Final = frozenset(("Parallel", "streaming.StatusMessageProvider", "streaming.StreamListener"))
"""What a name reaches although its kind would not."""

_WITHHELD: Final = MappingProxyType(
    {
        "Module": MODULES["Module"].how,
        "SignatureMeta": "it is how signatures are made; use Signature",
        "ColBERTv2": "it asks a server on the network; make one in your own code",
        "Retrieve": "it asks what dspy.configure names; make one in your own code",
        "load": "it unpickles whole programs, which runs what is in the file",
        "load_settings": "it unpickles settings, which runs what is in the file",
        "configure": "it changes the settings of the whole process; ALTAR sets those of one call",
        "context": "it changes settings; give lm= and adapter= to the call instead",
        "LM": "it takes keys; use altar.ai.language_model",
        "BaseLM": "it is what language models extend",
        "AlfWorld": "it starts a simulator that DSPy does not bring",
        "HotPotQA": "it fetches its data from the network; make one in your own code",
        "MATH": "it fetches its data from the network; make one in your own code",
        "Embedder": "it takes keys; make one in your own code",
        "LocalInterpreter": "it runs code with no sandbox",
        "PythonInterpreter": "it runs code; give it to a module as interpreter_factory",
    }
)
"""What no name reaches although its kind would, or which users look for; and why."""


@cache
def _names() -> Mapping[str, tuple[Found, Any]]:
    """Every public name of DSPy; several names of one thing lead to one row."""
    dspy = loaded("dspy", extra="dspy", what="Discovery of DSPy")
    rows: dict[int, tuple[Found, Any]] = {}
    names: dict[str, tuple[Found, Any]] = {}
    for name, value in _public(dspy):
        if id(value) not in rows:
            rows[id(value)] = (_row(dspy, name, value), value)
        names[name] = rows[id(value)]
    return MappingProxyType(names)


def _public(dspy: Any) -> Iterator[tuple[str, Any]]:
    """The public classes and functions of DSPy under their names, its own before those of its sub-packages."""
    yield from _members(dspy, "")
    for package in SUB_PACKAGES:
        held = getattr(dspy, package, None)
        if held is None:
            held = loaded(f"dspy.{package}", extra="dspy", what="Discovery of DSPy")
        yield from _members(held, f"{package}.")


def _members(package: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name in sorted(vars(package)):
        if name.startswith("_"):
            continue
        value = vars(package)[name]
        is_ours = str(getattr(value, "__module__", "")).startswith("dspy")
        if is_ours and isinstance(value, (type, types.FunctionType, types.MethodType)):
            yield prefix + name, value


def _row(dspy: Any, name: str, value: Any) -> Found:
    kind = _kind(dspy, value)
    plain = name.rpartition(".")[2]
    withheld = _WITHHELD.get(plain)
    reached = name in (_FUNCTIONS if kind == "function" else _REACHED) or kind in _CALLABLE
    known = MODULES.get(plain, _UNKNOWN_MODULE)
    note = known.how if kind == "module" else withheld or UNSERVED.get(plain) or _NOTES.get(kind, "")
    stage, summary = _told(value)
    return Found(
        name=name,
        kind=kind,
        callable=reached and withheld is None,
        served=kind == "module" and known.served,
        note=note,
        summary=summary,
        stage=stage,
        parameters=tuple(_parameters(value)),
    )


_UNKNOWN_MODULE: Final = Kind(served=True, how="its signature is the contract")

_NOTES: Final[Mapping[FoundKind, str]] = MappingProxyType(
    {
        "optimizer": "it improves programs; serve what it compiles",
        "signature": "it is what a module is made with",
        "type": "it is the type of a field",
        "adapter": "it words requests; give it to a call as adapter=",
        "data": "it is data, and answers nothing",
        "error": "it is raised, and made by nobody else",
    }
)


def _kind(dspy: Any, value: Any) -> FoundKind:
    """What something of DSPy is, by what it extends, else by where it is."""
    if not isinstance(value, type):
        return "function"
    if issubclass(value, BaseException):
        return "error"
    for kind, names in _FAMILIES:
        bases = tuple(base for base in (getattr(dspy, name, None) for name in names) if isinstance(base, type))
        if issubclass(value, bases):
            return kind
    return next((kind for part, kind in _PLACES if part in value.__module__), "other")


_FAMILIES: Final[tuple[tuple[FoundKind, tuple[str, ...]], ...]] = (
    ("module", ("Module",)),
    ("signature", ("Signature", "SignatureMeta")),
    ("adapter", ("Adapter",)),
    ("language model", ("BaseLM", "Provider", "TrainingJob", "Embedder")),
    ("type", ("Type", "History", "Tool")),
    ("data", ("Example", "Completions")),
)
"""What makes something of a kind: extending one of these, as far as the DSPy that is installed has them."""

_PLACES: Final[tuple[tuple[str, FoundKind], ...]] = (
    (".predict.knn", "retriever"),
    (".retrieve", "retriever"),
    (".colbertv2", "retriever"),
    (".evaluate", "evaluation"),
    (".adapters.types", "type"),
    (".teleprompt", "optimizer"),
    ("interpreter", "interpreter"),
    (".datasets", "data"),
)


def _told(value: Any) -> tuple[Literal["stable", "experimental", "deprecated"], str]:
    """Whether it stays, and the first paragraph that its source says of it; "" where it says nothing of its own."""
    text = inspect.cleandoc(vars(value).get("__doc__") or "") if isinstance(value, type) else inspect.getdoc(value)
    paragraphs = [" ".join(each.split()) for each in (text or "").split("\n\n")]
    stage: Literal["stable", "experimental", "deprecated"] = "stable"
    if paragraphs[0].startswith("Experimental:"):
        stage = "experimental"
    elif paragraphs[0].startswith(".. deprecated::"):
        stage = "deprecated"
    first = next(iter(paragraphs[1:] if stage != "stable" else paragraphs), "")
    return stage, first if len(first) <= 200 else first[:199] + "…"


def taken_by(value: Any) -> inspect.Signature | None:
    """What a class takes when one is made, or a function when it is called; None where nobody can tell."""
    try:
        if not isinstance(value, type) or type(value).__call__ is type.__call__:
            return inspect.signature(value)
        made = inspect.signature(value.__init__)  # type: ignore[misc]  # it is asked for what it takes, and not called
    except (TypeError, ValueError):
        return None
    return made.replace(parameters=list(made.parameters.values())[1:])  # without self


def _parameters(value: Any) -> Iterator[Parameter]:
    signature = taken_by(value)
    for name, each in signature.parameters.items() if signature is not None else ():
        stars = _STARS.get(each.kind, "")
        yield Parameter(
            stars + name,
            required=not stars and each.default is each.empty,
            annotation=None if each.annotation is each.empty else _text(each.annotation),
            default=None if each.default is each.empty else _text(each.default),
        )


_STARS: Final[Mapping[Any, str]] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def _text(value: Any) -> str:
    """What a source wrote, as near as can be told, in at most 80 characters, and without addresses in memory."""
    if isinstance(value, (type, types.FunctionType)):
        text = value.__name__
    else:
        text = value if isinstance(value, str) else repr(value)
    text = text.replace("typing.", "")
    if " object at 0x" in text:
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 80 else text[:79] + "…"
