"""The state of a DSPy program as a document: its instructions and demonstrations, and nothing that could run.

:func:`save_state` writes it, :func:`load_state` puts it into a program of the same shape, and :func:`state_digest`
says which state a program has, as it stands in the contract of its tool.
No language model is a part of the state: neither its address nor its keys leave the process.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import orjson

from altar.adm.canonical import canonical
from altar.adm.canonical import digest as digest_of
from altar.adm.errors import ConfigurationError, TransportError, ValidationError
from altar.later.extras import loaded

__all__ = ["FORMAT", "MAX_STATE_BYTES", "load_state", "save_state", "state_digest", "state_of"]

FORMAT = "altar-dspy-state/1"
MAX_STATE_BYTES = 16 * 1024 * 1024
"""Most bytes of a document that is read."""
_WHAT = "The state of a DSPy program"
_MEMBERS = frozenset({"format", "dspy", "module_class", "digest", "predictors", "shape"})
_OF_PREDICTOR = frozenset({"demos", "signature", "fields"})


def state_of(program: Any) -> dict[str, Any]:
    """What optimizers change in a program, by predictor: instructions, words for the fields, demonstrations.

    Raises TransportError SERIALIZATION_ERROR for a demonstration that JSON cannot hold.
    """
    made: dict[str, Any] = {}
    for name, predictor in program.named_parameters():
        alone = copy.copy(predictor)
        alone.lm = None  # which is no part of the state, and may be one that has no form in JSON
        held = {key: each for key, each in alone.dump_state().items() if key in _OF_PREDICTOR}
        try:
            made[name] = orjson.loads(orjson.dumps(held, option=orjson.OPT_NON_STR_KEYS))
        except TypeError as unfit:
            raise TransportError(
                "SERIALIZATION_ERROR",
                f"The demonstrations of {name!r} hold a value that JSON has no form for",
                ran="no",
                hint="keep text, numbers, lists and mappings in demonstrations",
                detail=str(unfit),
            ) from unfit
    return made


def state_digest(program: Any) -> str:
    """``sha256:…`` of the canonical form of :func:`state_of`."""
    return digest_of(canonical(state_of(program), max_depth=128))


def save_state(program: Any, path: str | Path) -> str:
    """Write the state of a program as JSON, with the version of DSPy that it is for; returns its digest."""
    dspy = loaded("dspy", extra="dspy", what=_WHAT)
    predictors = state_of(program)
    written = {
        "format": FORMAT,
        "dspy": dspy.__version__,
        "module_class": type(program).__name__,
        "digest": digest_of(canonical(predictors, max_depth=128)),
        "predictors": predictors,
        "shape": _shape(program),
    }
    Path(path).write_bytes(orjson.dumps(written, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return str(written["digest"])


def load_state(program: Any, path: str | Path, *, from_dspy: str | None = None) -> str:
    """Put a state that :func:`save_state` wrote into a program; returns its digest.

    The program must have the predictors that the state is for.
    The state must be of the DSPy that is installed, in its major and minor version; ``from_dspy`` names another one
    that you have tried, such as ``"3.3"``.
    Nothing of the program is changed when the state is refused.
    Raises ConfigurationError INVALID_CONFIG for a state of another DSPy and for a file that is not there,
    ValidationError MALFORMED_REQUEST for a document that is no state, is damaged, or is of another program.
    """
    dspy = loaded("dspy", extra="dspy", what=_WHAT)
    name = Path(path).name
    document = _read(Path(path), name)
    of, here = _minor(str(document["dspy"])), _minor(dspy.__version__)
    if of != here and of != (from_dspy and _minor(from_dspy)):
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"The state in {name!r} is of DSPy {of}, and this is DSPy {here}",
            ran="no",
            hint=f"compile the program again, or try it and say so: load_state(…, from_dspy={of!r})",
        )
    _require_same_shape(program, document, name)
    try:
        _put(program.deepcopy(), document["predictors"])  # which may raise, and then nothing has happened
    except Exception as unfit:
        raise _unfit(name, "is damaged: DSPy does not take it") from unfit
    _put(program, document["predictors"])
    return str(document["digest"])


def _put(program: Any, predictors: dict[str, Any]) -> None:
    """Give each predictor its state; its language model stays what it is."""
    for place, predictor in program.named_parameters():
        model = predictor.lm
        predictor.load_state({"traces": [], "train": [], "lm": None, **predictors[place]})
        predictor.lm = model


def _shape(program: Any) -> dict[str, list[str]]:
    return {place: list(predictor.signature.fields) for place, predictor in program.named_parameters()}


def _read(path: Path, name: str) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            written = file.read(MAX_STATE_BYTES + 1)
    except OSError as gone:
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"The state {name!r} cannot be read: {gone.strerror}",
            ran="no",
            hint="write one with save_state(program, path)",
        ) from gone
    if len(written) > MAX_STATE_BYTES:
        raise _unfit(name, f"is too long: the limit is {MAX_STATE_BYTES} bytes")
    try:
        document = orjson.loads(written)
    except ValueError as unread:
        raise _unfit(name, "is no JSON") from unread
    if not isinstance(document, dict) or document.get("format") != FORMAT or document.keys() != _MEMBERS:
        raise _unfit(name, f"is no document of the form {FORMAT!r}")
    if not isinstance(document["predictors"], dict) or document["digest"] != digest_of(
        canonical(document["predictors"], max_depth=128)
    ):
        raise _unfit(name, "has changed since it was written: its digest does not fit")
    return document


def _require_same_shape(program: Any, document: dict[str, Any], name: str) -> None:
    """Refuse a state whose predictors are not those of the program, or have other fields."""
    here, there = _shape(program), document["shape"]
    if not isinstance(there, dict) or here.keys() != document["predictors"].keys() or here.keys() != there.keys():
        odd = sorted(here.keys() ^ document["predictors"].keys())[:5]
        raise _unfit(name, f"is of another program: {', '.join(map(repr, odd)) or 'its shape'} is not in both")
    for place, fields in here.items():
        held = document["predictors"][place]
        if fields != there[place]:
            raise _unfit(name, f"is of another program: the fields of {place!r} are others")
        if not (isinstance(held, dict) and {"demos", "signature"} <= held.keys() <= _OF_PREDICTOR):
            raise _unfit(name, f"is damaged at {place!r}")


def _minor(version: str) -> str:
    found = re.match(r"\d+\.\d+", version)
    return found.group() if found else version[:20]


def _unfit(name: str, what: str) -> ValidationError:
    return ValidationError(
        "MALFORMED_REQUEST",
        f"The state in {name!r} {what}",
        ran="no",
        hint="write it again with save_state(program, path)",
    )
