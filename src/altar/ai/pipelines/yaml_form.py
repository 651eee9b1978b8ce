"""Pipelines in YAML: :func:`load_pipeline` reads one, :func:`to_yaml` writes one.

What is read is the very pipeline that the same words in Python make, with the same digest.
A text names functions and never brings any: each transform is looked up among ``functions``, nothing is imported.
Everything that is wrong is told at once, with line and column: first what is no step, then what does not flow.
Reading needs the extra ``yaml``, writing does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from altar.adm.errors import AltarError, DeclarationError
from altar.adm.near import nearest
from altar.ai.pipelines import making
from altar.ai.pipelines.definition import Pipeline, shaped
from altar.ai.pipelines.flaws import MOST_FLAWS, Flaw, all_of, flaws_of
from altar.ai.pipelines.steps import Retry, Step
from altar.ai.pipelines.yaml_hints import in_yaml
from altar.ai.pipelines.yaml_keys import KINDS, NEEDED, ON_EACH, PIPELINE, RETRY
from altar.ai.pipelines.yaml_writing import name_of, to_yaml
from altar.later.tool import ToolFunction
from altar.later.yaml_text import Yaml, YamlRefusedError, read_yaml

__all__ = ["load_pipeline", "read_pipeline", "to_yaml"]

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
    return read_pipeline(source, functions=functions, check=Pipeline.check)


def read_pipeline(
    source: str | Path, /, *, functions: Functions, check: Callable[[Pipeline], object], given_by: str | None = None
) -> Pipeline:
    """The pipeline that ``check`` accepts, which raises INVALID_PIPELINE for what does not flow; else as load_pipeline.

    What ``check`` raises is told with line and column, as everything else.
    ``given_by`` is the hint that says how functions are given, where it is not by ``functions``.
    """
    text, file = _text(source)
    try:
        read = read_yaml(text, what=_WHAT, max_bytes=_MOST_BYTES, with_places=True)
    except YamlRefusedError as unread:
        line, column = unread.place
        raise all_of([Flaw(None, "PARSE", f"{file}{unread}", line=line, column=column)]) from unread
    return _Loading(read, file, _by_name(functions), given_by or _NONE).pipeline(check)


class _ToldError(Exception):
    """A part cannot be made, and why is noted already."""


class _Loading:
    """One document on its way to become a pipeline; ``flaws`` are what is wrong with it."""

    def __init__(self, read: Yaml, file: str, functions: Mapping[str, Callable[..., Any]], given_by: str) -> None:
        self.read = read
        self.source = given_by
        self.file = file
        self.functions = functions
        self.flaws: list[Flaw] = []

    def pipeline(self, check: Callable[[Pipeline], object]) -> Pipeline:
        """Make it; INVALID_PIPELINE says the line and the column."""
        held = self._mapping(self.read.value, (), PIPELINE, "A pipeline")
        if "pipeline" not in held and not self.flaws:
            self._note((), "A pipeline has no name", hint="begin with `pipeline: its_name`")
        steps: list[Step] = []
        if "steps" in held or not self.flaws:  # else one of the unknown keys was perhaps meant to be it
            steps = self._noted(self._steps, held.get("steps"), ("steps",))
        named = held.get("pipelines")
        named = {} if named is None else named
        if not isinstance(named, Mapping):
            raise self._refused(("pipelines",), "`pipelines` is no mapping of names to steps")
        pipelines = {name: self._noted(self._steps, each, ("pipelines", name)) for name, each in named.items()}
        inputs = self._noted(self._inputs, held.get("inputs"))
        if self.flaws:
            raise all_of(sorted(self.flaws, key=lambda one: (one.line, one.column))[:MOST_FLAWS])
        rest = {key: held[key] for key in ("outputs", "timeout", "version", "description") if held.get(key) is not None}
        try:
            made = shaped(held["pipeline"], steps, inputs=inputs, pipelines=pipelines, **rest)
            check(made)
        except AltarError as refused:
            raise self._at((), refused) from refused
        return made

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
        made = self._each(dict(enumerate(given)), way)
        named: set[str] = set()
        for number, step in made.items():
            if step.is_named and step.name in named:
                here = (*way, number, "name")
                raise self._refused(
                    here, f"Two steps are called {step.name!r}", hint="give one of them another `name:`"
                )
            if step.is_named:
                named.add(step.name)
        return list(made.values())

    def _each(self, given: Mapping[Any, Any], way: _Way) -> dict[Any, Step]:
        """The steps of a list or a mapping; all that are none are noted before it is given up."""
        before = len(self.flaws)
        made = {key: self._noted(self._step, held, (*way, key)) for key, held in given.items()}
        if len(self.flaws) > before:
            raise _ToldError
        return made

    def _step(self, given: Any, way: _Way) -> Step:
        if isinstance(given, str):
            given = {"tool": given}
        if not isinstance(given, Mapping):
            raise self._refused(way, "A step is no mapping", hint="write it as `tool: its_name`")
        kinds = [key for key in given if key in KINDS]
        if len(kinds) != 1:
            raise self._no_kind(given, kinds, way)
        kind, before = kinds[0], len(self.flaws)
        held = self._mapping(given, way, KINDS[kind] | ON_EACH, f"A step of the kind `{kind}`")
        held = {key: value for key, value in held.items() if value is not None}
        missing = next((key for key in NEEDED.get(kind, ()) if key not in held), None)
        if missing is not None and len(self.flaws) > before:
            raise _ToldError
        if missing is not None:
            raise self._refused(way, f"A step of the kind `{kind}` has no `{missing}`")
        options = {key: self._option(key, held.pop(key), (*way, key)) for key in ON_EACH if key in held}
        try:
            made = self._of_kind(kind, held, options, way)
        except AltarError as refused:
            raise self._at(way, refused) from refused
        except TypeError as refused:
            raise self._refused(way, f"This step cannot be made: {refused}") from refused
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
        made: dict[str, Any] = self._each(given, way)
        return list(making.parallel(**made).steps) if made else []

    def _option(self, key: str, given: Any, way: _Way) -> Any:
        if key in {"fallback", "compensate"}:
            return self._step(given, way)
        if key == "retry" and isinstance(given, Mapping):
            held = self._mapping(given, way, RETRY, "A `retry`")
            try:
                return Retry(**held)
            except (AltarError, TypeError) as refused:
                said = (refused.hint if isinstance(refused, AltarError) else None) or f"it has {', '.join(RETRY)}"
                raise self._refused(way, "This `retry` is no plan to try again", hint=said) from refused
        return given

    def _function(self, given: Any, way: _Way) -> Callable[..., Any]:
        named = given.get("function") if isinstance(given, Mapping) else None
        if not isinstance(named, str) or len(given) != 1:
            raise self._refused(way, "This is no name of a function")
        found = self.functions.get(named)
        if found is None:
            found = next((each for each in self.functions.values() if name_of(each) == named), None)
        if isinstance(found, ToolFunction):  # its function, called so, would be no call: not authorized, not recorded
            raise self._refused(way, f"{named!r} is a tool, and no plain function", hint=f"write `tool: {found.name}`")
        if found is None:
            plain = [name for name, each in self.functions.items() if not isinstance(each, ToolFunction)]
            near = nearest(named, plain)
            short = [name for name in plain if ":" not in name]
            known = f"the functions there are {', '.join(map(repr, short[:8]))}" if short else self.source
            hint = f"did you mean {near!r}?" if near else known
            raise self._refused(way, f"There is no function {named!r}", hint=hint)
        return found

    # ------------------------------------------------------------------------------------------- what is wrong

    def _noted(self, make: Callable[..., Any], *given: Any) -> Any:
        """What is made of what is given; None where it cannot be, which is noted."""
        if len(self.flaws) >= MOST_FLAWS:
            return None
        try:
            return make(*given)
        except _ToldError:
            return None
        except DeclarationError as refused:
            if refused.code != "INVALID_PIPELINE":
                raise
            self.flaws += flaws_of(refused)
            return None

    def _mapping(self, given: Any, way: _Way, known: Iterable[str], what: str) -> dict[str, Any]:
        """The keys that are known; each of the others is noted."""
        if not isinstance(given, Mapping):
            raise self._refused(way, f"{what} is no mapping", hint=f"write `key: value` with {', '.join(known)}")
        for key in given:
            if key not in known and len(self.flaws) < MOST_FLAWS:
                near = nearest(key, known) or ""
                hint = f"did you mean {near!r}?" if near else f"it has {', '.join(known)}"
                self._note((*way, key), f"{what} has no key {key[:60]!r}", hint=hint, field=key[:60], nearest=near)
        return {key: held for key, held in given.items() if key in known}

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

    def _note(self, way: _Way, message: str, *, hint: str, field: str = "", nearest: str = "") -> None:
        flaw = Flaw(None, "UNKNOWN_FIELD", message, hint=hint, field=field, nearest=nearest)
        self.flaws.append(self._placed(flaw, way))

    def _refused(self, way: _Way, message: str, *, hint: str = "") -> DeclarationError:
        return all_of([self._placed(Flaw(None, "TYPE", message, hint=hint), way)])

    def _at(self, way: _Way, refused: AltarError) -> AltarError:
        """The same refusal with its place in the text, which is said once; ``way`` is for what names no other."""
        if not isinstance(refused, DeclarationError):
            return refused
        flaws = [one if one.line else self._placed(one, self._way(one.path) or way) for one in flaws_of(refused)]
        if refused.code == "INVALID_PIPELINE":
            return all_of(flaws)
        first = flaws[0]
        return DeclarationError(refused.code, first.message, hint=refused.hint, path=refused.path, defects=flaws)

    def _placed(self, flaw: Flaw, way: _Way) -> Flaw:
        line, column = self.read.place(*way)
        message = f"{self.file}line {line}, column {column}: {flaw.message}"
        return replace(flaw, message=message, hint=in_yaml(flaw.hint), line=line, column=column)

    def _way(self, path: str | None) -> _Way:
        """Where in the text the place is that a JSON Pointer names in the JSON of the pipeline."""
        way: list[str | int] = []
        held = self.read.value
        for word in (path or "").split("/")[1:]:
            is_list = isinstance(held, list)
            if is_list:
                held = {str(number): one for number, one in enumerate(held)}
            if not isinstance(held, Mapping):
                break
            known = [key for key in (word, _WRITTEN.get(word, word)) if key in held]
            if not known and word.isdigit():
                known = list(held)[int(word) :]  # the steps of a parallel one have names in the text, in the same order
            if not known:
                break
            way.append(int(word) if is_list else known[0])
            held = held[known[0]]
        return tuple(way)


_WRITTEN: Final = {"steps": "parallel", "step": "map"}
"""What the inner steps of a step are called in the text."""
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
            raise making.refused(f"{path.name!r} has more than {_MOST_BYTES} bytes", "make pipelines of its parts")
        return path.read_bytes(), f"{path.name}, "
    except OSError as error:
        raise making.refused(
            f"The file {str(path)!r} cannot be read: {error.strerror}", "give the path of a .yaml file, or its text"
        ) from error


def _by_name(functions: Functions) -> dict[str, Callable[..., Any]]:
    if isinstance(functions, Mapping):
        return dict(functions)
    return {str(getattr(each, "__name__", each)): each for each in functions}
