"""Which step takes which field, worked out before anything runs.

A pipeline comes in, and what tells the contract of a tool; a :class:`Flow` goes out, by which a run builds the
arguments of each step.
What can never work is refused with the name of the step and of the field: a field that nothing gives, one that only
some branches give, a value of a type that a parameter never takes, two steps that give one field, pipelines in a ring.
All of it is told at once, in the order of the steps; what only follows from something else is left out.
A tool whose contract is not known is looked at when the pipeline runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from altar.adm.declaration import FunctionDeclaration
from altar.ai.pipelines import refusals
from altar.ai.pipelines.contract import Contract
from altar.ai.pipelines.flaws import MOST_FLAWS, Flaw, all_of
from altar.ai.pipelines.forms import ANYTHING, Form, misfit
from altar.ai.pipelines.given import Given, Known, givers, list_of, object_of, of_fallback, of_ways
from altar.ai.pipelines.steps import BranchStep, MapStep, ParallelStep, PipelineStep, Step, ToolStep, TransformStep

if TYPE_CHECKING:
    from altar.ai.pipelines.shape import Shape

__all__ = ["MOST_STEPS", "Contracts", "Flow", "below", "compensation_of", "fallback_of", "require_flow"]

Contracts = Callable[[str], FunctionDeclaration | None]
"""The contract of a tool by what a step calls it, ``name`` or ``name@range``; None for one that is not known yet."""

MOST_STEPS: Final = 10_000
"""So many steps are followed in all, each as often as branches lead to it."""

_DEEPEST: Final = 32


@dataclass(frozen=True, slots=True)
class Flow:
    """What a pipeline takes and gives, and which field goes where.

    ``inputs`` and ``outputs`` are JSON Schemas of objects.
    ``gives`` has the fields of each step by its path, as far as they are known before the run.
    ``takes`` says for the path of each tool and transform which field a parameter takes; one that is not there in a
    run is left out: its parameter has a default, or it is found missing by the contract.
    The step inside of a map has the path ``pages[]``, see :func:`below` for the others.
    """

    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    gives: Mapping[str, tuple[str, ...]]
    takes: Mapping[str, Mapping[str, str]]


def require_flow(pipeline: Shape, contracts: Contracts, *, tools: Collection[str] | None = None) -> Flow:
    """The flow of a pipeline whose steps fit together, as far as ``contracts`` tells.

    ``tools`` are the names of all tools that there are: then a step with another one cannot work either.
    Raises DeclarationError INVALID_PIPELINE with everything that cannot work; its ``defects`` are of the class Flaw.
    """
    return _Check(pipeline, contracts, tools).flow()


def below(path: str, name: str) -> str:
    """The path of the step ``name`` inside of the step at ``path``, which is "" for the pipeline itself."""
    return f"{path}/{name}" if path else name


def fallback_of(path: str) -> str:
    """The path of the step that stands in for the one at ``path``."""
    return f"{path} (fallback)"


def compensation_of(path: str) -> str:
    """The path of the step that undoes the one at ``path``."""
    return f"{path} (compensation)"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a step stands: its ``path`` in the flow, and the JSON Pointer ``at`` to it in the JSON of the pipeline."""

    path: str
    at: str

    def inside(self, name: str, at: str) -> _Place:
        """The step of this name that stands inside, at ``at`` below this one."""
        return _Place(below(self.path, name), self.at + at)


class _EnoughError(Exception):
    """So much is wrong that nobody looks for more, or it cannot be followed."""


@dataclass(frozen=True, slots=True)
class _Role:
    """What is asked of a step where it stands.

    ``name`` and ``output`` are those of the step it stands in for, or its own.
    ``merges`` is false where its fields do not come beside the others.
    """

    name: str
    output: str | None
    merges: bool = True


class _Check:
    """One look at one pipeline."""

    def __init__(self, pipeline: Shape, contracts: Contracts, tools: Collection[str] | None) -> None:
        self.pipeline = pipeline
        self.name = pipeline.name
        self.known = contracts
        self.tools = tools
        self.contracts: dict[int, Contract] = {}
        self.takes: dict[str, Mapping[str, str]] = {}
        self.gives: dict[str, tuple[str, ...]] = {}
        self.inferred: dict[str, Given] = {}
        self.infers = pipeline.inputs is None
        self.inside: list[str] = []
        self.later: list[Sequence[Step]] = []
        self.items: dict[str, str] = {}  # of steps of maps that do not take the value that they are for
        self.texts: set[str] = set()  # steps whose signature says what they give: without a type it is a text
        self.walked = 0
        self.flaws: dict[tuple[str, str, str], Flaw] = {}

    def flow(self) -> Flow:
        """Follow all steps; INVALID_PIPELINE names everything that does not fit."""
        flow = None
        with suppress(_EnoughError):
            flow = self._followed()
        if flow is None or self.flaws:
            raise all_of(tuple(self.flaws.values()))
        return flow

    def _followed(self) -> Flow:
        scope = self._inputs()
        given, last = self._sequence(self.pipeline.steps, scope, _Place("", "/steps"))
        outputs = self._outputs(scope.with_others(given), last)
        return Flow(self._input_schema(scope), outputs, self.gives, self.takes)

    def _note(self, flaw: Flaw, at: str = "") -> None:
        """Keep what is wrong at ``at``; the same thing in the same place is told once, whichever way leads there."""
        path = at + (flaw.path or "")
        self.flaws.setdefault((path, flaw.category, flaw.field), replace(flaw, path=path))
        if len(self.flaws) >= MOST_FLAWS:
            raise _EnoughError

    # ------------------------------------------------------------------------------------------- in and out

    def _inputs(self) -> Known:
        document = self.pipeline.inputs
        if document is None:
            return Known()
        defs, required = document.get("$defs", {}), document.get("required", ())
        return Known(
            {
                name: Given(Form(one, defs), "", () if name in required or "default" in one else ("",))  # an input
                for name, one in document.get("properties", {}).items()
            }
        )

    def _input_schema(self, scope: Known) -> Mapping[str, Any]:
        if self.pipeline.inputs is not None:
            return self.pipeline.inputs
        return object_of({name: scope.held[name] for name in self.inferred}, is_open=False)

    def _outputs(self, fields: Known, last: Known) -> Mapping[str, Any]:
        if self.pipeline.outputs is None:
            return object_of(last.held, is_open=last.open)
        found: dict[str, Given] = {}
        for name in self.pipeline.outputs:
            given = fields.held.get(name)
            if given is None and not fields.open:
                self._note(refusals.no_output(self.name, name, givers(fields.held)))
            if given is not None and given.missing:
                self._note(refusals.output_of_some(self.name, name, given.missing))
            found[name] = given or Given(ANYTHING, "")
        return object_of(found, is_open=False)

    # --------------------------------------------------------------------------------------------- the walk

    def _sequence(self, steps: Sequence[Step], scope: Known, place: _Place) -> tuple[Known, Known]:
        """The fields that steps give one after the other, and those of the last one."""
        self._require_names(steps, place)
        given, last, seen = Known(), Known(), scope.with_others(Known())
        for number, step in enumerate(steps):
            self.later.append(steps[number + 1 :])
            last = self._one(step, seen, place.inside(step.name, f"/{number}"))
            self.later.pop()
            given.add(last)
            if not place.path and self.infers:  # only the first step tells what the inputs are
                scope.held.update(self.inferred)
                seen.held.update(self.inferred)
                self.infers = False
            seen.add(last)
        return given, last

    def _require_names(self, steps: Iterable[Step], place: _Place) -> None:
        seen: set[str] = set()
        for step in steps:
            if step.name in seen:
                self._note(refusals.same_name(self.name, step.name, place.path), place.at)
            seen.add(step.name)

    def _one(self, step: Step, scope: Known, place: _Place, role: _Role | None = None) -> Known:
        """The fields that a step adds to those of ``scope``."""
        self.walked += 1
        path = place.path
        if self.walked > MOST_STEPS or path.count("/") + path.count("[") > _DEEPEST:
            self._note(refusals.too_many(self.name, MOST_STEPS, _DEEPEST))
            raise _EnoughError
        role = role or _Role(step.name, getattr(step, "output", None))
        given = self._of_kind(step, scope, place, role)
        if step.fallback is not None:
            instead = _Place(fallback_of(path), f"{place.at}/fallback")
            output = getattr(step.fallback, "output", None) or role.output
            other = self._one(step.fallback, scope, instead, replace(role, output=output))
            self._require_same(given, other, place, step.fallback.name)
            given = of_fallback(given, other, path)
        if step.compensate is not None:
            undoes = _Role(step.compensate.name, getattr(step.compensate, "output", None), merges=False)
            after = _Place(compensation_of(path), f"{place.at}/compensate")
            infers, self.infers = self.infers, False  # what only undoes does not tell what a run begins with
            inferred = Known({name: one for name, one in self.inferred.items() if name not in scope.held})
            self._one(step.compensate, scope.with_others(inferred).with_others(given), after, undoes)
            self.infers = infers
        self.gives[path] = tuple(given.held)
        return given

    def _of_kind(self, step: Step, scope: Known, place: _Place, role: _Role) -> Known:
        match step:
            case ToolStep():
                return self._tool(step, scope, place, role)
            case TransformStep():
                return self._transform(step, scope, place, role)
            case ParallelStep():
                return self._parallel(step, scope, place)
            case MapStep():
                return self._map(step, scope, place, role)
            case BranchStep():
                return self._branch(step, scope, place)
            case PipelineStep():
                return self._named(step.pipeline, scope, place.path, place)
            case _:
                raise TypeError(f"{type(step).__name__} is no step")

    # ---------------------------------------------------------------------------------------- kinds of steps

    def _tool(self, step: ToolStep, scope: Known, place: _Place, role: _Role) -> Known:
        contract = self._contract(step)
        if contract is None:
            self._require_tool(step, place)
            takes = dict(step.inputs)
            for parameter, name in takes.items():
                self._take(place, parameter, name, ANYTHING, scope, required=False, is_said=True)
            given = Known({role.output: Given(ANYTHING, place.path)} if role.output else {}, open=not role.output)
        else:
            meant = self._require_fixed(step, contract, place)
            takes = self._arguments(step, contract, scope, place, meant)
            held, is_open = contract.fields(role.output, role.name)
            sure = {name: Given(form, place.path, is_sure=is_sure) for name, (form, is_sure) in held.items()}
            given = Known(sure, open=is_open)
        self.takes[place.path] = takes
        if step.program is not None and "signature" in step.program and role.output is None:
            self.texts.add(place.path)
        if role.merges:
            self._require_new(place, given.held, takes.values(), scope)
        return given

    def _contract(self, step: ToolStep) -> Contract | None:
        found = self.known(step.tool)
        if found is None and step.made is not None:
            found = step.made.declaration
        if found is None:
            return None
        made = self.contracts.get(id(found))
        if made is None:
            made = self.contracts[id(found)] = Contract(found)
        return made

    def _require_tool(self, step: ToolStep, place: _Place) -> None:
        """Note a tool that is not there, where it is known which are."""
        name = step.tool.partition("@")[0]
        if self.tools is None:
            return
        if name not in self.tools:
            self._note(refusals.no_tool(self.name, place.path, name, self.tools), place.at)
        elif (there := self.known(name)) is not None:
            self._note(refusals.no_version(self.name, place.path, step.tool, there.version), place.at)

    def _require_fixed(self, step: ToolStep, contract: Contract, place: _Place) -> set[str]:
        """Note what the step says wrongly about parameters; return those that it may have meant."""
        flaws = contract.flaws(self.name, place.path, step)
        for flaw in flaws:
            self._note(flaw, place.at)
        return {flaw.nearest for flaw in flaws}

    def _arguments(
        self, step: ToolStep, contract: Contract, scope: Known, place: _Place, meant: Collection[str]
    ) -> dict[str, str]:
        takes: dict[str, str] = {}
        for parameter, form in contract.parameters.items():
            if parameter in step.arguments or parameter in meant:
                continue
            required = parameter in contract.required
            name = step.inputs.get(parameter)
            if name is None:
                if not (required or scope.open or parameter in scope.held or self.infers):
                    continue
                name = parameter
            self._take(place, parameter, name, form, scope, required=required, is_said=parameter in step.inputs)
            takes[parameter] = name
        return takes | {parameter: name for parameter, name in step.inputs.items() if parameter not in takes}

    def _transform(self, step: TransformStep, scope: Known, place: _Place, role: _Role) -> Known:
        takes = {name: name for name in step.takes}
        for name in takes:
            self._take(place, name, name, ANYTHING, scope, required=True, is_said=True)
        self.takes[place.path] = takes
        given = Known({name: Given(ANYTHING, place.path) for name in step.gives})
        if role.merges:
            self._require_new(place, given.held, takes, scope)
        return given

    def _parallel(self, step: ParallelStep, scope: Known, place: _Place) -> Known:
        self._require_names(step.steps, place)
        given = Known()
        for number, one in enumerate(step.steps):
            inside = place.inside(one.name, f"/steps/{number}")
            mine = self._one(one, scope, inside)
            for name in mine.held:
                if name in given.held:
                    self._note(refusals.both_give(self.name, given.held[name].by, mine.held[name].by, name), inside.at)
            given = given.with_others(mine)
        return given

    def _map(self, step: MapStep, scope: Known, place: _Place, role: _Role) -> Known:
        over = self._take(place, "", step.over, _LIST, scope, required=True, is_said=True)
        if step.item in scope.held:
            self._note(refusals.item_is_there(self.name, place.path, scope.held[step.item].by, step.item), place.at)
        inside = scope.with_others(Known({step.item: Given(over.items, place.path)}))
        if isinstance(step.step, ToolStep) and not self._takes_item(step.step, step.item):
            self.items[f"{place.path}[]"] = step.item
        inner = _Role(step.step.name, getattr(step.step, "output", None), merges=False)
        found = self._one(step.step, inside, _Place(f"{place.path}[]", f"{place.at}/step"), inner)
        form = list_of(self._whole(step.step, found))
        output = role.output or step.output
        given = Known({output: Given(form, place.path)})
        if role.merges:
            self._require_new(place, given.held, (step.over,), scope)
        return given

    def _takes_item(self, step: ToolStep, item: str) -> bool:
        contract = self._contract(step)
        return contract is None or item in contract.parameters or item in step.inputs.values()

    def _whole(self, step: Step, given: Known) -> Form:
        """The form of what one step of a map gives: the result of a tool, or the object of the fields."""
        if step.fallback is not None:
            return ANYTHING
        if isinstance(step, ToolStep):
            contract = self._contract(step)
            return ANYTHING if contract is None else contract.returns
        schema = object_of(given.held, is_open=given.open)
        return Form(schema, schema.pop("$defs", {}))

    def _branch(self, step: BranchStep, scope: Known, place: _Place) -> Known:
        left_out: list[str] = []
        if isinstance(step.on, str):
            on = self._take(place, "", step.on, _CASE, scope, required=True, is_said=True)
            left_out = self._require_cases(step, place, on)
        targets = dict.fromkeys([*step.cases.values(), *([] if step.default is None else [step.default])])
        ways = {one: self._named(one, scope, below(place.path, one), place) for one in targets}
        if left_out and step.default is None:
            self._note(refusals.case_left_out(self.name, place.path, str(step.on), left_out), place.at)
        return of_ways(ways, scope.held, place.path)

    def _require_cases(self, step: BranchStep, place: _Place, on: Form) -> list[str]:
        """Note the cases that never come; return the values that have none."""
        choices = on.choices
        if choices is None or not all(isinstance(one, str) for one in choices):
            return []
        meant = set()
        for case in step.cases:
            if case not in choices:
                flaw = refusals.no_such_case(self.name, place.path, str(step.on), case, choices)
                meant.add(flaw.nearest)
                self._note(flaw, place.at)
        return [one for one in choices if one not in step.cases and one not in meant]

    def _named(self, name: str, scope: Known, path: str, by: _Place) -> Known:
        """The fields that the steps of the pipeline ``name`` give; the step ``by`` leads there."""
        steps = self.pipeline.pipelines.get(name)
        if name in self.inside or (steps is None and name == self.name):
            self._note(refusals.ring(self.name, by.path, [*self.inside, name]), by.at)
        elif steps is None:
            self._note(refusals.nowhere(self.name, by.path, name, self.pipeline.pipelines), by.at)
        else:
            self.inside.append(name)
            given, _ = self._sequence(steps, scope, _Place(path, f"/pipelines/{name}"))
            self.inside.pop()
            return given
        return _UNKNOWN

    # ------------------------------------------------------------------------------------------------ fields

    def _take(
        self,
        place: _Place,
        parameter: str,
        name: str,
        form: Form,
        scope: Known,
        *,
        required: bool,
        is_said: bool = False,
    ) -> Form:
        """The form of the field ``name`` that a step takes; any, where it is noted as not there or never fitting.

        ``parameter`` is "" where the step itself takes it. ``is_said``: the pipeline names the field for it.
        """
        given = scope.held.get(name)
        if given is None and self.infers and not scope.open:
            given = self._infer(name, form, required=required)
        if given is None:
            if scope.open:
                return ANYTHING
            self._note(self._missing(place.path, parameter, name, scope, is_said=is_said), place.at)
            return ANYTHING
        if required and given.missing:
            self._note(refusals.of_some(self.name, place.path, name, given.missing), place.at)
        for way, by in given.ways or ((given.form, given.by),):
            reason = misfit(way, form)
            if reason is not None:
                is_text = by in self.texts and reason.startswith("it is a text")
                flaw = refusals.unfit(self.name, place.path, parameter, name, by, reason, is_text=is_text)
                self._note(flaw, place.at)
                return ANYTHING
        return given.form

    def _infer(self, name: str, form: Form, *, required: bool) -> Given:
        """An input that the first step takes, which the pipeline does not tell itself."""
        before = self.inferred.get(name)
        has_default = "default" in form.schema
        if before is None or (required and not before.is_sure):
            kept = form if before is None else before.form
            before = self.inferred[name] = Given(kept, "", () if required or has_default else ("",), is_sure=required)
        return before if not required else replace(before, missing=())

    def _missing(self, path: str, parameter: str, name: str, scope: Known, *, is_said: bool) -> Flaw:
        later = next((step.name for steps in reversed(self.later) for step in steps if self._tells(step, name)), None)
        if is_said or not parameter:
            return refusals.no_field(self.name, path, name, givers(scope.held), later=later)
        item = self.items.get(path)
        if item is not None and later is None:
            return refusals.item_not_taken(self.name, path, parameter, item)
        return refusals.no_argument(self.name, path, parameter, givers(scope.held), later=later)

    def _tells(self, step: Step, name: str) -> bool:
        """Whether a step, by itself, says that it gives a field."""
        match step:
            case ToolStep():
                contract = self._contract(step)
                return name == step.output or (
                    contract is not None and name in contract.fields(step.output, step.name)[0]
                )
            case TransformStep():
                return name in step.gives
            case MapStep():
                return name == step.output
            case ParallelStep():
                return any(self._tells(one, name) for one in step.steps)
            case _:
                return False

    def _require_new(self, place: _Place, given: Iterable[str], taken: Iterable[str], scope: Known) -> None:
        """Note a step that replaces a field without taking it."""
        takes = set(taken)
        for name in given:
            if name in scope.held and name not in takes:
                self._note(refusals.given_twice(self.name, place.path, scope.held[name].by, name), place.at)

    def _require_same(self, given: Known, other: Known, place: _Place, name: str) -> None:
        """Note a fallback that does not give what the step gives."""
        for each, one in given.held.items():
            if each not in other.held and not other.open and not one.missing:
                self._note(refusals.fallback_without(self.name, place.path, name, each, list(other.held)), place.at)


_LIST: Final = Form({"type": "array"})
_CASE: Final = Form({"type": ["string", "number", "boolean"]})
_UNKNOWN: Final = Known(open=True)
"""What a step gives that nobody can follow: any field, so that no later step is blamed."""
