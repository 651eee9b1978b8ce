"""Pipelines in YAML: :func:`load_pipeline` reads one, :func:`to_yaml` writes one.

What is read is the very pipeline that the same words in Python make, with the same digest.
A text names functions and never brings any: each transform is looked up among ``functions``, nothing is imported.
Reading needs the extra ``yaml``, writing does not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from altar.adm.errors import AltarError, DeclarationError
from altar.adm.near import nearest
from altar.ai.pipelines import making
from altar.ai.pipelines.definition import Pipeline, pipeline
from altar.ai.pipelines.steps import Retry, Step
from altar.ai.pipelines.yaml_keys import KINDS, NEEDED, ON_EACH, PIPELINE, RETRY
from altar.ai.pipelines.yaml_writing import name_of, to_yaml
from altar.later.tool import ToolFunction
from altar.later.yaml_text import Yaml, YamlRefusedError, read_yaml

__all__ = ["load_pipeline", "to_yaml"]

Functions = Mapping[str, Callable[..., Any]] | Iterable[Callable[..., Any]]

_MOST_BYTES: Final = 256 * 1024
_WHAT: Final = "A pipeline in YAML"
_Way = tuple[str | int, ...]


def load_pipeline(source: str | Path, /, *, functions: Functions = ()) -> Pipeline:
    """The pipeline of a YAML text, or of a file: a ``Path``, or a text of one line that ends in ``.yaml`` or ``.yml``.

    ``functions`` are those that transforms, branches and tools may name: a mapping by name, or a list.
    A tool that is among them is the one that is called; any other is looked up when the pipeline runs.
    Raises DeclarationError INVALID_PIPELINE with line and column for what is no such pipeline, and ConfigurationError
    ENVIRONMENT_ERROR without the extra ``yaml``.
    """
    text, file = _text(source)
    try:
        read = read_yaml(text, what=_WHAT, max_bytes=_MOST_BYTES, with_places=True)
    except YamlRefusedError as unread:
        raise DeclarationError("INVALID_PIPELINE", f"{file}{unread}") from unread
    return _Loading(read, file, _by_name(functions)).pipeline()


class _Loading:
    """One document on its way to become a pipeline."""

    def __init__(self, read: Yaml, file: str, functions: Mapping[str, Callable[..., Any]]) -> None:
        self.read = read
        self.file = file
        self.functions = functions
        self.places: dict[str, _Way] = {}

    def pipeline(self) -> Pipeline:
        """Make it; INVALID_PIPELINE says the line and the column."""
        held = self._mapping(self.read.value, (), PIPELINE, "A pipeline")
        if "pipeline" not in held:
            raise self._refused((), "A pipeline has no name", hint="begin with `pipeline: its_name`")
        steps = self._steps(held.get("steps"), ("steps",))
        named = held.get("pipelines") or {}
        if not isinstance(named, Mapping):
            raise self._refused(("pipelines",), "`pipelines` is no mapping of names to steps")
        pipelines = {name: self._steps(each, ("pipelines", name)) for name, each in named.items()}
        rest = {key: held[key] for key in ("outputs", "timeout", "version", "description") if held.get(key) is not None}
        inputs = self._inputs(held.get("inputs"))
        try:
            return pipeline(held["pipeline"], steps, inputs=inputs, pipelines=pipelines, **rest)
        except AltarError as refused:
            raise self._at(self._way_of(refused), refused) from refused

    def _inputs(self, given: Any) -> Any:
        """The inputs as Python writes them: a text is the name of a type of JSON, or a type of Python."""
        if not isinstance(given, Mapping):
            return given
        return {name: self._input(name, each) for name, each in given.items()}

    def _input(self, name: str, given: Any) -> Any:
        from altar.ai.pipelines.inputs import schema_of_inputs

        if given in _TYPES:
            return {"type": given}
        if not isinstance(given, str):
            return {} if given is None else given
        try:
            found = schema_of_inputs(f"{name}: {given}", str(self.read.value.get("pipeline"))) or {}
        except AltarError as refused:
            raise self._at(("inputs", name), refused) from refused
        return {**found["properties"][name], **({"$defs": found["$defs"]} if "$defs" in found else {})}

    def _steps(self, given: Any, way: _Way) -> list[Step]:
        if not isinstance(given, list) or not given:
            raise self._refused(way, f"`{way[-1]}` has no list of steps", hint="write `- tool: its_name` below it")
        return [self._step(each, (*way, number)) for number, each in enumerate(given)]

    def _step(self, given: Any, way: _Way) -> Step:
        if isinstance(given, str):
            given = {"tool": given}
        if not isinstance(given, Mapping):
            raise self._refused(way, "A step is no mapping", hint="write it as `tool: its_name`")
        kinds = [key for key in given if key in KINDS]
        if len(kinds) != 1:
            raise self._no_kind(given, kinds, way)
        kind = kinds[0]
        held = self._mapping(given, way, KINDS[kind] | ON_EACH, f"A step of the kind `{kind}`")
        held = {key: value for key, value in held.items() if value is not None}
        missing = next((key for key in NEEDED.get(kind, ()) if key not in held), None)
        if missing is not None:
            raise self._refused(way, f"A step of the kind `{kind}` has no `{missing}`")
        options = {key: self._option(key, held.pop(key), (*way, key)) for key in ON_EACH if key in held}
        try:
            made = self._of_kind(kind, held, options, way)
        except AltarError as refused:
            raise self._at(way, refused) from refused
        except TypeError as refused:
            raise self._refused(way, f"This step cannot be made: {refused}") from refused
        self.places[made.name] = () if made.name in self.places else way  # two of one name: no place is better than one
        return made

    def _of_kind(self, kind: str, held: dict[str, Any], options: dict[str, Any], way: _Way) -> Step:
        main = held.pop(kind)
        match kind:
            case "tool":
                return self._tool(main, held, options, way)
            case "module":
                return self._module(main, held, options, way)
            case "parallel":
                return making.parallel(*self._beside(main, way), **held, **options)
            case "map":
                return making.map(self._step(main, (*way, kind)), **held, **options)
            case "branch":
                on = main if isinstance(main, str) else self._function(main, (*way, kind))
                return making.branch(on, held.pop("cases", {}), **held, **options)
            case "sub":
                return making.sub(main, **options)
            case _:
                return making.transform(self._function({"function": main}, (*way, kind)), **held, **options)

    def _tool(self, which: Any, held: dict[str, Any], options: dict[str, Any], way: _Way) -> Step:
        program = held.pop("program", None)
        fixed = held.pop("arguments", None)
        step = making.tool(which, fixed, **held, **options)
        name, _, wanted = step.tool.partition("@")
        made = self.functions.get(name)
        if isinstance(made, ToolFunction) and wanted in {"", made.version} and made.name == name:
            step = replace(step, made=made)
        if program is not None:
            if not (isinstance(program, Mapping) and all(isinstance(each, str) for each in program.values())):
                raise self._refused((*way, "program"), "`program` is no mapping of texts")
            step = replace(step, program=dict(program))
        return step

    def _module(self, signature: Any, held: dict[str, Any], options: dict[str, Any], way: _Way) -> Step:
        if not isinstance(signature, str):
            raise self._refused(way, "A module is no text", hint='write `module: "question -> answer"`')
        called = held.pop("as", None) or options.get("name")
        of_it = {key: held.pop(key) for key in ("kind", "version") if key in held}
        first = making.module(signature, **of_it, name=called)
        step = making.tool(first.made or first.tool, held.pop("arguments", None), **held, **options)
        return replace(step, program=first.program)

    def _beside(self, given: Any, way: _Way) -> list[Step]:
        """The steps of a parallel one: a list, or a mapping whose keys take the whole results."""
        way = (*way, "parallel")
        if not isinstance(given, Mapping):
            return self._steps(given, way)
        made: dict[str, Any] = {name: self._step(each, (*way, name)) for name, each in given.items()}
        return list(making.parallel(**made).steps) if made else []

    def _option(self, key: str, given: Any, way: _Way) -> Any:
        if key in {"fallback", "compensate"}:
            return self._step(given, way)
        if key == "retry" and isinstance(given, Mapping):
            held = self._mapping(given, way, RETRY, "A `retry`")
            try:
                return Retry(**held)
            except (AltarError, TypeError) as refused:
                raise self._refused(way, f"The retry of this step is no plan: {refused}") from refused
        return given

    def _function(self, given: Any, way: _Way) -> Callable[..., Any]:
        named = given.get("function") if isinstance(given, Mapping) else None
        if not isinstance(named, str) or len(given) != 1:
            raise self._refused(way, "This is no name of a function")
        found = self.functions.get(named)
        if found is None:
            found = next((each for each in self.functions.values() if name_of(each) == named), None)
        if found is None:
            near = nearest(named, self.functions)
            known = f"functions= has {', '.join(map(repr, list(self.functions)[:8]))}" if self.functions else _NONE
            hint = f"did you mean {near!r}?" if near else known
            raise self._refused(way, f"There is no function {named!r}", hint=hint)
        return found.function if isinstance(found, ToolFunction) else found

    # ------------------------------------------------------------------------------------------- what is wrong

    def _mapping(self, given: Any, way: _Way, known: Iterable[str], what: str) -> dict[str, Any]:
        if not isinstance(given, Mapping):
            raise self._refused(way, f"{what} is no mapping")
        for key in given:
            if key not in known:
                near = nearest(key, known)
                hint = f"did you mean {near!r}?" if near else f"it has {', '.join(known)}"
                raise self._refused((*way, key), f"{what} has no key {key[:60]!r}", hint=hint)
        return dict(given)

    def _no_kind(self, given: Mapping[str, Any], kinds: list[str], way: _Way) -> DeclarationError:
        if kinds:
            return self._refused(way, f"A step is {' and '.join(f'`{each}`' for each in kinds)} at once")
        found = next(((key, near) for key in given if (near := nearest(key, KINDS))), None)
        hint = f"a step is one of {', '.join(KINDS)}"
        if found is None:
            return self._refused(way, "A step does not say what it does", hint=hint)
        return self._refused(
            (*way, found[0]), f"There is no kind of step {found[0][:60]!r}", hint=f"did you mean {found[1]!r}?"
        )

    def _refused(self, way: _Way, message: str, *, hint: str | None = None) -> DeclarationError:
        line, column = self.read.place(*way)
        return DeclarationError("INVALID_PIPELINE", f"{self.file}line {line}, column {column}: {message}", hint=hint)

    def _at(self, way: _Way, refused: AltarError) -> AltarError:
        """The same refusal with its place in the text, which is said once."""
        if not isinstance(refused, DeclarationError) or _HAS_PLACE.match(refused.message.removeprefix(self.file)):
            return refused
        line, column = self.read.place(*way)
        message = f"{self.file}line {line}, column {column}: {refused.message}"
        return DeclarationError(refused.code, message, hint=refused.hint, path=refused.path, defects=refused.defects)

    def _way_of(self, refused: AltarError) -> _Way:
        """Where the step stands that a refusal names."""
        named = _NAMES_STEP.match(refused.message)
        last = "" if named is None else named[1].rpartition("/")[2].removesuffix("[]")
        return self.places.get(last.partition(" (")[0], ())


_NAMES_STEP: Final = re.compile(r"Step '([^']+)' of ")
_HAS_PLACE: Final = re.compile(r"line \d+, column \d+: ")
_NONE: Final = "give those that it names: load_pipeline(…, functions={'name': function})"
_TYPES: Final = ("string", "integer", "number", "boolean", "array", "object")


def _text(source: str | Path) -> tuple[str | bytes, str]:
    """The text, and how a message begins that speaks of its file."""
    is_file = isinstance(source, Path) or (source.endswith((".yaml", ".yml")) and "\n" not in source)
    if not is_file:
        return str(source), ""
    path = Path(source)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DeclarationError("INVALID_PIPELINE", f"{path.name!r} has more than {_MOST_BYTES} bytes")
        return path.read_bytes(), f"{path.name}, "
    except OSError as error:
        raise making.refused(
            f"The file {str(path)!r} cannot be read: {error.strerror}", "give the path of a .yaml file, or its text"
        ) from error


def _by_name(functions: Functions) -> dict[str, Callable[..., Any]]:
    if isinstance(functions, Mapping):
        return dict(functions)
    return {str(getattr(each, "__name__", each)): each for each in functions}
