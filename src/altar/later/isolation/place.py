"""Where a tool's function stands, so that another process can find the same one.

A :class:`Place` is written by the process that has the tool and read by the one that needs it.
"""

from __future__ import annotations

import functools
import sys
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from altar.adm.errors import DeclarationError

if TYPE_CHECKING:
    from altar.later.tool import ToolFunction

__all__ = ["Place", "attribute", "load_module", "place_of"]

_SCRIPT = "__altar_main__"


@dataclass(frozen=True, slots=True)
class Place:
    """Module, file and qualified name of a function, and the contract it is declared with."""

    module: str
    file: str | None
    qualname: str
    name: str
    version: str
    description: str
    digest: str

    def to_json(self) -> dict[str, Any]:
        """The members, as they cross to the other process."""
        return asdict(self)


def place_of(tool: ToolFunction[..., Any]) -> Place:
    """Where `tool` is found by its module and qualified name.

    Raises DeclarationError INVALID_DECLARATION, `ran` no, when it is not what is found there: a function typed into an
    interpreter, a bound method, a partial, or one that was replaced since.
    """
    function = tool.function
    name, qualname = function.__module__, function.__qualname__
    module = sys.modules.get(name)
    found = None if module is None else attribute(module, qualname)
    if module is None or function is not getattr(found, "function", found):
        raise _lost(
            f"{tool.name!r} is not what Python finds as '{name}.{qualname}', so no other process can find it",
            hint="define it with `def` at the top level of its module, or leave isolate='process' out",
        )
    if name == "__main__":
        name = _name_of_main(module, tool.name)
    file = getattr(module, "__file__", None)
    return Place(
        module=name,
        file=None if file is None else _real(file),
        qualname=qualname,
        name=tool.name,
        version=tool.version,
        description=tool.declaration.description,
        digest=tool.digest,
    )


def attribute(module: ModuleType, qualname: str) -> Any:
    """What a dotted name means in a module; None when it means nothing."""
    found: Any = module
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


def load_module(place: Place) -> ModuleType:
    """Import the module of a place, by its name or else from its file; a script under another name than `__main__`.

    Raises what the import raises.
    """
    known = sys.modules.get(place.module)
    if known is not None:
        return known
    if place.file is None or _origin(place.module) == place.file:
        return import_module(place.module)
    spec = spec_from_file_location(place.module, place.file)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"Python cannot import {place.file!r}", name=place.module)
    module = module_from_spec(spec)
    sys.modules[place.module] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[place.module]
        raise
    return module


def _name_of_main(main: ModuleType, tool: str) -> str:
    """The name under which another process imports the program that runs here, so that its own start is left out."""
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    file = getattr(main, "__file__", None)
    if file is None or not Path(file).is_file():  # what is piped in calls itself '<stdin>'
        raise _lost(
            f"{tool!r} was typed into an interpreter or a notebook, and another process cannot find it there",
            hint="put it into a module and import it, or leave isolate='process' out",
        )
    return _SCRIPT


def _origin(module: str) -> str | None:
    """The file that Python would import by this name."""
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return None
    return None if spec is None or spec.origin is None else _real(spec.origin)


@functools.lru_cache
def _real(file: str) -> str:
    """The file itself, without links; asked for at every call."""
    return str(Path(file).resolve())


def _lost(message: str, *, hint: str) -> DeclarationError:
    return DeclarationError("INVALID_DECLARATION", message, hint=hint, ran="no")
