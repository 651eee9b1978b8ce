"""What an isolated tool is told of the settings ``[ai]``: a process of its own has none.

Its parent says what is configured, and which language model the call is to ask; a key is never said, only the file
that holds it. The one exception is the key of a model that runs on this machine and that the parent has started:
with it the child asks that one, and starts no second.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from altar.ai.configuration import Configuration, adopt, configured
from altar.later.isolation.carried import carry

if TYPE_CHECKING:
    from altar.ai.lm.configure import Choice, LMOptions, SecretSource
    from altar.later.context import ToolContext

__all__ = ["carry_to_children", "take", "tell"]

_TAKES: Final = f"{__name__}:take"


def carry_to_children() -> None:
    """Let the isolated tools of this process do and ask what is said here."""
    carry(_TAKES, tell)


def tell(context: ToolContext | None) -> dict[str, Any] | None:
    """What the child of a call is to know, as JSON; None where nobody has said anything."""
    choice = None
    if "altar.ai.lm.configure" in sys.modules:
        from altar.ai.lm.configure import chosen_here, chosen_in

        choice = chosen_here() if context is None else chosen_in(context.language_model)
    here = configured()
    if choice is None and here == Configuration(compiled_programs=here.compiled_programs):
        return None
    directory = here.compiled_programs
    said = asdict(here) | {"compiled_programs": None if directory is None else str(directory.absolute())}
    return {"configuration": said, "language_model": None if choice is None else _told(choice)}


def take(said: Mapping[str, Any] | None) -> None:
    """Configure this process, a child, as its parent said, whatever a tool said here; None puts the defaults back."""
    global _TAKEN  # noqa: PLW0603 - a fact about the process
    if _TAKEN is not None and said is _TAKEN[0] and all(map(operator.is_, _in_place(), _TAKEN[1])):
        return
    _take(said)
    _TAKEN = said, _in_place()


_TAKEN: tuple[Mapping[str, Any] | None, tuple[Any, Any]] | None = None
"""What was taken last, and what it has put in place: asked before each call, and seldom another one."""


def _in_place() -> tuple[Any, Any]:
    """What holds here: the configuration, and the language model."""
    known = sys.modules.get("altar.ai.lm.configure")
    return configured(), None if known is None else known.chosen_here()


def _take(said: Mapping[str, Any] | None) -> None:
    values = dict(said["configuration"]) if said is not None else {}
    if values.get("compiled_programs") is not None:
        values["compiled_programs"] = Path(values["compiled_programs"])
    adopt(**values)
    told = None if said is None else said["language_model"]
    if told is None and "altar.ai.lm.configure" not in sys.modules:
        return
    from altar.ai.lm.configure import use

    if told is None:
        use("")
    else:
        use(told["spec"], _options(told["options"]), **told["settings"])


def _told(choice: Choice) -> dict[str, Any] | None:
    """A language model as JSON; None for one with settings that JSON has no form for."""
    from altar.ai.lm.configure import started_for
    from altar.ai.lm.keys import KeyOfHere

    options = choice.options
    runs = started_for(choice)
    if runs is not None:
        options = replace(options, base_url=runs[0], key=KeyOfHere(runs[1]))
    told = {each.name: getattr(options, each.name) for each in fields(options) if each.name not in {"key", "progress"}}
    told["directory"] = None if options.directory is None else str(options.directory.absolute())
    told["key"] = _told_key(options.key)
    said = {"spec": choice.spec, "options": told, "settings": dict(choice.settings)}
    try:
        orjson.dumps(said)
    except TypeError:
        return None
    return said


def _told_key(key: SecretSource | None) -> dict[str, str] | None:
    from altar.ai.lm.keys import KeyInFile, KeyOfHere

    if key is None:
        return None
    if isinstance(key, KeyInFile):
        return {"file": str(key.path.absolute())}
    return {"here": key.value} if isinstance(key, KeyOfHere) else {"elsewhere": ""}


def _options(told: Mapping[str, Any]) -> LMOptions:
    from altar.ai.lm.configure import LMOptions
    from altar.ai.lm.keys import KeyElsewhere, KeyInFile, KeyOfHere

    key: SecretSource | None = None
    if told["key"] is not None:
        ((kind, value),) = told["key"].items()
        key = KeyElsewhere()
        if kind == "file":
            key = KeyInFile(Path(value))
        elif kind == "here":
            key = KeyOfHere(value)
    directory = None if told["directory"] is None else Path(told["directory"])
    return LMOptions(**{**told, "key": key, "directory": directory})
