"""What a value of Python is, as JSON: so that a digest says whether the same program is compiled with the same things.

A program, a metric, an option of an optimizer comes in; a document goes out that is the same in another process where
the value does the same, and another one where it may not.
A function is its code, with the values that it refers to; what cannot be told is refused, and in doubt
two things are not the same.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import math
import re
import sys
import sysconfig
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path, PurePath
from typing import Any, NamedTuple
from uuid import UUID

from altar.adm.canonical import canonical
from altar.adm.errors import AltarError
from altar.ai.lm.addresses import identity_at
from altar.later.extras import loaded

__all__ = ["Untold", "told"]

_MOST_NODES = 100_000
_DEEPEST = 40
_CLIENT = frozenset({"api_key", "azure_ad_token", "headers", "extra_headers", "token"})
"""Settings of a language model that say who asks, and not which model is asked."""


_ADDRESS = ("api_base", "base_url")
"""Settings of a language model that say where it is."""

_RUNNING = frozenset({"_compiled", "callbacks", "history"})
"""What a module, an adapter or a language model of DSPy holds of its runs, and not of what it is."""

_RUNNING_PREDICT = _RUNNING | {"stage", "traces"}
"""The same of a predictor."""

_STANDARD = Path(sysconfig.get_path("stdlib"))
_SLOT = types.MemberDescriptorType
_SLOTS = (_SLOT, types.GetSetDescriptorType, type(vars(NamedTuple("_Of", [("field", int)]))["field"]))
_BUILT_IN = (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType)

_PLAIN = frozenset({bool, int, bytes, complex, range, Decimal, UUID, date, datetime, time, timedelta, timezone})
"""Values that are what their text says; those of a class that is made of one may be more."""

_HOLDING = (dict, types.MappingProxyType, defaultdict, OrderedDict, Counter, list, tuple, deque, set, frozenset)
"""What holds other values; one of a class that is made of one is told with that class."""

_HEAP_TYPE = 1 << 9
"""Py_TPFLAGS_HEAPTYPE: set for what a statement `class` makes; what is built into Python has seldom got it."""

_KNOWN = frozenset({object, type(functools.lru_cache(len)), *_HOLDING})
"""Classes written in C all of whose objects can be told."""


class Untold(Exception):  # noqa: N818 (it says what a value is not, and is no failure of anybody)
    """A value that cannot be told as JSON; its text says where it stands."""


def told(value: Any) -> Any:
    """The value as JSON. Raises Untold, also where looking at a value failed."""
    try:
        return _Teller().tell(value, ())
    except Untold:
        raise
    except AltarError as failed:
        raise Untold(failed.message) from failed
    except Exception as failed:  # what a foreign object does when it is looked at
        raise Untold(f"looking at it failed: {type(failed).__name__}") from failed


class _Teller:
    """One walk over values that may refer to each other in circles."""

    def __init__(self) -> None:
        self._inside: dict[int, int] = {}
        self._nodes = 0

    def tell(self, value: Any, path: tuple[str, ...]) -> Any:
        self._nodes += 1
        if self._nodes > _MOST_NODES or len(path) > _DEEPEST:
            raise Untold(f"{'.'.join(path[:5]) or 'it'}: too large")
        kind = type(value)
        if value is None or kind is str:
            return value
        if kind is float:
            return ["float", value.hex() if math.isfinite(value) else str(value)]
        if kind in _PLAIN or isinstance(value, PurePath):
            return [kind.__name__, str(value)]
        if id(value) in self._inside:
            return ["above", self._inside[id(value)]]
        self._inside[id(value)] = len(self._inside)
        try:
            return self._tell_object(value, path)
        finally:
            del self._inside[id(value)]

    def _tell_object(self, value: Any, path: tuple[str, ...]) -> Any:
        kind = type(value)
        if isinstance(value, Enum):
            return ["enum", self.tell(kind, path), value.name, self.tell(value._value_, path)]
        if kind in _HOLDING:
            return [kind.__name__, *self._tell_held(value, path)]
        if kind is re.Pattern:
            return ["pattern", self.tell(value.pattern, path), value.flags]
        if isinstance(value, functools.partial):
            held = (value.func, value.args, value.keywords, vars(value))
            return ["partial", self.tell(kind, path), self.tell(held, path)]
        if isinstance(value, types.GenericAlias | types.UnionType):
            return ["alias", self.tell(getattr(value, "__origin__", None), path), self.tell(value.__args__, path)]
        if isinstance(value, types.MethodType):
            return ["method", value.__func__.__qualname__, self.tell((value.__func__, value.__self__), path)]
        if isinstance(value, types.FunctionType):
            return self._tell_function(value, path)
        if isinstance(value, _BUILT_IN):
            return self._tell_builtin(value, path)
        if isinstance(value, type | types.ModuleType):
            return self._tell_named(value, path)
        return self._tell_of_dspy(value, path)

    def _tell_held(self, value: Any, path: tuple[str, ...]) -> list[Any]:
        """What a container holds, and what it gives where it holds nothing."""
        if isinstance(value, Mapping):
            held = [[self.tell(key, path), self.tell(each, (*path, str(key)))] for key, each in value.items()]
            return [held, self.tell(value.default_factory, path)] if isinstance(value, defaultdict) else [held]
        if isinstance(value, list | tuple | deque):
            return [[self.tell(each, (*path, str(at))) for at, each in enumerate(value)]]
        return [sorted(str(self.tell(each, path)) for each in value)]

    # ------------------------------------------------------------------------------------------------- code

    def _tell_named(self, value: Any, path: tuple[str, ...]) -> Any:
        if isinstance(value, types.ModuleType):
            return self._tell_module(value, frozenset(), path)
        name = _name_of(value)
        if isinstance(signature := getattr(value, "signature", None), str):  # a signature of DSPy
            return ["signature", signature, value.instructions, self._tell_fields(value, path)]
        if _is_installed(value) and (_is_of_c(value) or _is_there(value)):
            return ["name", name]
        members = {key: _member(each) for key, each in vars(value).items() if _is_of_class(key, each)}
        bases = [base for base in (*value.__bases__, type(value)) if base not in {object, type}]
        return ["class", name, self.tell((members, bases), (*path, value.__name__)), _schema_of_model(value)]

    def _tell_builtin(self, value: Any, path: tuple[str, ...]) -> Any:
        """A function of Python itself by its name, with the object whose method it is."""
        of = value.__self__ if isinstance(value, types.BuiltinFunctionType) else value.__objclass__
        bound = None if of is None or isinstance(of, types.ModuleType) else self.tell(of, path)
        return ["name", _name_of(value), bound]

    def _tell_module(self, module: types.ModuleType, names: frozenset[str], path: tuple[str, ...]) -> Any:
        """A module by its name; one of the user with what some code takes of it that uses these ``names``."""
        name = module.__name__
        if _is_of_package(name):
            return ["module", name]
        file = getattr(module, "__file__", None) or ""
        if "site-packages" in file or "dist-packages" in file:
            return ["module", name, str(getattr(module, "__version__", "")), Path(file).stat().st_mtime_ns]
        if not names:
            raise Untold(f"{'.'.join(path[:5]) or 'it'}: what is taken of the module {name!r}")
        taken = {each: vars(module)[each] for each in sorted(names) if each in vars(module)}
        return ["module", name, {each: self._tell_used(held, names, (*path, each)) for each, held in taken.items()}]

    def _tell_used(self, value: Any, names: frozenset[str], path: tuple[str, ...]) -> Any:
        """A value to which some code refers that uses these names."""
        if not isinstance(value, types.ModuleType):
            return self.tell(value, path)
        if len(path) > _DEEPEST:
            raise Untold(f"{'.'.join(path[:5])}: too large")
        return self._tell_module(value, names, path)

    def _tell_fields(self, signature: Any, path: tuple[str, ...]) -> Any:
        fields = {}
        for name, field in signature.fields.items():
            extra = {key: str(each) for key, each in (field.json_schema_extra or {}).items()}
            marks = [repr(each) for each in field.metadata]
            fields[name] = [repr(field.annotation), _schema(field.annotation), extra, marks, repr(field.default)]
        return self.tell(fields, path)

    def _tell_function(self, function: Any, path: tuple[str, ...]) -> Any:
        name = f"{function.__module__}:{function.__qualname__}"
        path = (*path, function.__name__)
        names = frozenset(_names(function.__code__))
        cells = [self._tell_used(_content(cell), names, path) for cell in function.__closure__ or ()]
        if _is_installed(function) and _is_of_its_module(function):
            return ["name", name, cells]
        used = {
            each: self._tell_used(function.__globals__[each], names, path)
            for each in sorted(names)
            if each in function.__globals__
        }
        taken = [
            self._tell_used(_imported(each, path), names, path) for each in sorted(set(_imports(function.__code__)))
        ]
        besides = self.tell((function.__defaults__, function.__kwdefaults__, vars(function)), path)
        return ["function", name, _code(function.__code__), cells, used, taken, besides]

    # ----------------------------------------------------------------------------------------- what DSPy has

    def _tell_of_dspy(self, value: Any, path: tuple[str, ...]) -> Any:
        dspy = loaded("dspy", extra="dspy", what="A program of DSPy")
        if isinstance(value, dspy.Example):
            inputs = sorted(getattr(value, "_input_keys", None) or ())
            return ["example", self.tell(value.toDict(), path), inputs]
        if isinstance(value, dspy.BaseLM):
            return self._tell_language_model(value, path, is_dspys=type(value) is dspy.LM)
        is_told = isinstance(value, (dspy.Adapter, dspy.Module, *_HOLDING)) or callable(value) or is_dataclass(value)
        if is_told or callable(getattr(value, "model_dump", None)):
            running = _RUNNING if isinstance(value, dspy.Adapter | dspy.Module) else frozenset()
            running = _RUNNING_PREDICT if isinstance(value, dspy.Predict) else running
            state = {key: each for key, each in _state(value, path).items() if key not in running}
            kind = (*path, type(value).__name__)
            content = self._tell_held(value, kind) if isinstance(value, _HOLDING) else []
            return ["object", self.tell(type(value), path), self.tell(state, kind), *content]
        raise Untold(f"{'.'.join(path[:5]) or 'it'}: a value of the type {type(value).__name__!r}")

    def _tell_language_model(self, lm: Any, path: tuple[str, ...], *, is_dspys: bool) -> Any:
        """One of DSPy's by its name and settings, one of ours by what it says it is, any other by all that it holds."""
        settings = dict(lm.kwargs)
        served = []
        for name in _ADDRESS:
            known = identity_at(settings.get(name))
            if known is not None:  # this process serves it: it is what it is, and not where it listens
                del settings[name]
                served.append(known)
        said = [lm.model, getattr(lm, "model_type", ""), self._tell_settings(settings, path)]
        if served:
            said.append(self.tell(served, (*path, "lm")))
        if not is_dspys:
            state = {key: each for key, each in vars(lm).items() if key not in _RUNNING | _CLIENT | {"kwargs"}}
            return ["lm", *said, self.tell(type(lm), path), self.tell(state, (*path, type(lm).__name__))]
        if isinstance(lm.engine, str):
            return ["lm", *said, lm.engine]
        identity = getattr(getattr(lm.engine, "model", None), "identity", None)
        if identity is None:
            raise Untold(f"{'.'.join(path[:5]) or 'it'}: what the language model {lm.model[:100]!r} asks")
        return ["lm", *said, self.tell(identity, (*path, "lm"))]

    def _tell_settings(self, settings: Mapping[str, Any], path: tuple[str, ...]) -> Any:
        return self.tell({key: settings[key] for key in sorted(settings.keys() - _CLIENT)}, path)


def _name_of(value: Any) -> str:
    return f"{getattr(value, '__module__', None)}:{value.__qualname__}"


def _schema(annotation: Any) -> Any:
    """What a type admits, where that can be told: two classes of one name are not the same type."""
    from pydantic import PydanticUserError, TypeAdapter

    try:
        return canonical(TypeAdapter(annotation).json_schema()).decode()
    except (PydanticUserError, AltarError, TypeError):
        return None


def _schema_of_model(kind: type) -> Any:
    """What a model of pydantic admits: its fields are no members of its class."""
    return _schema(kind) if hasattr(kind, "__pydantic_fields__") else None


def _state(value: Any, path: tuple[str, ...]) -> dict[str, Any]:
    """What an object holds, by name."""
    kinds = type(value).__mro__
    slotted = [each for each in kinds if "__slots__" in vars(each)]
    slots = [name for each in slotted for name, held in vars(each).items() if isinstance(held, _SLOT)]
    if (not slotted and not hasattr(value, "__dict__")) or any(_is_of_c(each) for each in kinds):
        raise Untold(f"{'.'.join(path[:5]) or 'it'}: a value of the type {type(value).__name__!r}")
    return {name: getattr(value, name) for name in slots if hasattr(value, name)} | getattr(value, "__dict__", {})


def _is_of_c(kind: type) -> bool:
    """Whether objects of a class hold what no attribute of theirs shows, such as the letters of a text."""
    is_of_python = kind.__flags__ & _HEAP_TYPE and not isinstance(vars(kind).get("__new__"), types.BuiltinFunctionType)
    return not is_of_python and kind not in _KNOWN


def _is_of_class(name: str, value: Any) -> bool:
    """Whether a member of a class decides what its objects do, and is not what Python or pydantic note about it."""
    if isinstance(value, _SLOTS) or name == "_abc_impl":
        return False
    return name[:2] != "__" or isinstance(value, types.FunctionType | staticmethod | classmethod | property)


def _member(value: Any) -> Any:
    """A member of a class, without what binds it to its objects."""
    if isinstance(value, property):
        return [each for each in (value.fget, value.fset, value.fdel) if each is not None]
    if isinstance(value, functools.cached_property):
        return value.func
    return value.__func__ if isinstance(value, staticmethod | classmethod) else value


def _is_installed(value: Any) -> bool:
    """Whether it comes with Python, DSPy or ALTAR: its name and their versions say what it does."""
    return _is_of_package(str(value.__module__))


def _is_there(value: type) -> bool:
    """Whether a class is what its module has by its name, and was not made elsewhere under that name."""
    found: Any = sys.modules.get(value.__module__)
    for part in value.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is value


def _is_of_package(module: str) -> bool:
    package = module.partition(".")[0]
    if package in {"altar", "dspy", "pydantic"}:
        return True
    if package not in sys.stdlib_module_names or package == "__main__":
        return False
    file = getattr(sys.modules.get(package), "__file__", None)  # a user's own may have the same name
    return file is None or Path(file).is_relative_to(_STANDARD)


def _is_of_its_module(function: types.FunctionType) -> bool:
    """Whether a function is of the module that it names, and not made elsewhere under that name."""
    module = sys.modules.get(str(function.__module__))
    return module is not None and function.__globals__ is vars(module)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # nothing is in it yet
        return "\0empty"


def _names(code: types.CodeType) -> Iterable[str]:
    """The names that some code refers to, with those of the functions inside of it."""
    names = set(code.co_names)
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            names |= set(_names(each))
    return names


def _imports(code: types.CodeType) -> Iterable[str]:
    """The modules that some code imports when it runs."""
    for each in dis.get_instructions(code):
        if each.opname == "IMPORT_NAME":
            yield str(each.argval)
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _imports(inner)


def _imported(name: str, path: tuple[str, ...]) -> types.ModuleType:
    module = sys.modules.get(name)
    if module is None:
        raise Untold(f"{'.'.join(path[:5])}: it imports {name!r}, which is not loaded")
    return module


def _code(code: types.CodeType) -> str:
    """A digest of what some code does; not of its source, which lines share, wrappers hide, and files change."""
    return hashlib.sha256(repr(_told_code(code)).encode()).hexdigest()


def _told_code(code: types.CodeType) -> list[Any]:
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return [code.co_code, code.co_exceptiontable, code.co_flags, names, [_constant(each) for each in code.co_consts]]


def _constant(value: Any) -> Any:
    """A constant of some code; what has no order of its own is put into one."""
    if isinstance(value, types.CodeType):
        return _told_code(value)
    if isinstance(value, tuple):
        return ["tuple", *map(_constant, value)]
    if isinstance(value, frozenset):
        return ["set", *sorted(repr(_constant(each)) for each in value)]
    return [type(value).__name__, repr(value)]
