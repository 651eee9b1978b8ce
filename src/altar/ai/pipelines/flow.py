"""Which step takes which field, worked out before anything runs.

A pipeline comes in, and what tells the contract of a tool; a :class:`Flow` goes out, by which a run builds the
arguments of each step.
What can never work is refused with the name of the step and of the field: a field that nothing gives, one that only
some branches give, a value of a type that a parameter never takes, two steps that give one field, pipelines in a ring.
A tool whose contract is not known is looked at when the pipeline runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from altar.adm.declaration import FunctionDeclaration
from altar.ai.pipelines import refusals
from altar.ai.pipelines.contract import Contract
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


def require_flow(pipeline: Shape, contracts: Contracts) -> Flow:
    """The flow of a pipeline whose steps fit together, as far as ``contracts`` tells.

    Raises DeclarationError INVALID_PIPELINE with the first thing that cannot work.
    """
    return _Check(pipeline, contracts).flow()


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

    def __init__(self, pipeline: Shape, contracts: Contracts) -> None:
        self.pipeline = pipeline
        self.name = pipeline.name
        self.known = contracts
        self.contracts: dict[int, Contract] = {}
        self.takes: dict[str, Mapping[str, str]] = {}
        self.gives: dict[str, tuple[str, ...]] = {}
        self.inferred: dict[str, Given] = {}
        self.infers = pipeline.inputs is None
        self.inside: list[str] = []
        self.later: list[Sequence[Step]] = []
        self.walked = 0

    def flow(self) -> Flow:
        """Follow all steps; INVALID_PIPELINE names the first that does not fit."""
        steps = self.pipeline.steps
        if not steps:
            raise refusals.empty(self.name, None)
        scope = self._inputs()
        given, last = self._sequence(steps, scope, "")
        outputs = self._outputs(scope.with_others(given), last)
        return Flow(self._input_schema(scope), outputs, self.gives, self.takes)

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
                raise refusals.no_output(self.name, name, givers(fields.held))
            if given is not None and given.missing:
                raise refusals.output_of_some(self.name, name, given.missing)
            found[name] = given or Given(ANYTHING, "")
        return object_of(found, is_open=False)

    # --------------------------------------------------------------------------------------------- the walk

    def _sequence(self, steps: Sequence[Step], scope: Known, at: str) -> tuple[Known, Known]:
        """The fields that steps give one after the other, and those of the last one."""
        self._require_names(steps, at)
        given = last = Known()
        for number, step in enumerate(steps):
            self.later.append(steps[number + 1 :])
            last = self._one(step, scope.with_others(given), below(at, step.name))
            self.later.pop()
            given = given.with_others(last)
            if not at and self.infers:  # only the first step tells what the inputs are
                scope.held.update(self.inferred)
                self.infers = False
        return given, last

    def _require_names(self, steps: Iterable[Step], at: str) -> None:
        seen: set[str] = set()
        for step in steps:
            if step.name in seen:
                raise refusals.same_name(self.name, step.name, at)
            seen.add(step.name)

    def _one(self, step: Step, scope: Known, path: str, role: _Role | None = None) -> Known:
        """The fields that a step adds to those of ``scope``."""
        self.walked += 1
        if self.walked > MOST_STEPS or path.count("/") + path.count("[") > _DEEPEST:
            raise refusals.too_many(self.name, MOST_STEPS, _DEEPEST)
        role = role or _Role(step.name, getattr(step, "output", None))
        given = self._of_kind(step, scope, path, role)
        if step.fallback is not None:
            place = fallback_of(path)
            output = getattr(step.fallback, "output", None) or role.output
            other = self._one(step.fallback, scope, place, replace(role, output=output))
            self._require_same(given, other, path, step.fallback.name)
            given = of_fallback(given, other, path)
        if step.compensate is not None:
            undoes = _Role(step.compensate.name, getattr(step.compensate, "output", None), merges=False)
            infers, self.infers = self.infers, False  # what only undoes does not tell what a run begins with
            inferred = Known({name: one for name, one in self.inferred.items() if name not in scope.held})
            self._one(step.compensate, scope.with_others(inferred).with_others(given), compensation_of(path), undoes)
            self.infers = infers
        self.gives[path] = tuple(given.held)
        return given

    def _of_kind(self, step: Step, scope: Known, path: str, role: _Role) -> Known:
        match step:
            case ToolStep():
                return self._tool(step, scope, path, role)
            case TransformStep():
                return self._transform(step, scope, path, role)
            case ParallelStep():
                return self._parallel(step, scope, path)
            case MapStep():
                return self._map(step, scope, path, role)
            case BranchStep():
                return self._branch(step, scope, path)
            case PipelineStep():
                return self._named(step.pipeline, scope, path, path)
            case _:
                raise refusals.no_step(self.name, step)

    # ---------------------------------------------------------------------------------------- kinds of steps

    def _tool(self, step: ToolStep, scope: Known, path: str, role: _Role) -> Known:
        contract = self._contract(step)
        if contract is None:
            takes = dict(step.inputs)
            for parameter, name in takes.items():
                self._take(path, parameter, name, ANYTHING, scope, required=False, is_said=True)
            given = Known({role.output: Given(ANYTHING, path)} if role.output else {}, open=not role.output)
        else:
            contract.require_fixed(self.name, path, step)
            takes = self._arguments(step, contract, scope, path)
            held, is_open = contract.fields(role.output, role.name)
            given = Known({name: Given(form, path, is_sure=sure) for name, (form, sure) in held.items()}, open=is_open)
        self.takes[path] = takes
        if role.merges:
            self._require_new(path, given.held, takes.values(), scope)
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

    def _arguments(self, step: ToolStep, contract: Contract, scope: Known, path: str) -> dict[str, str]:
        takes: dict[str, str] = {}
        for parameter, form in contract.parameters.items():
            if parameter in step.arguments:
                continue
            required = parameter in contract.required
            name = step.inputs.get(parameter)
            if name is None:
                if not (required or scope.open or parameter in scope.held or self.infers):
                    continue
                name = parameter
            self._take(path, parameter, name, form, scope, required=required, is_said=parameter in step.inputs)
            takes[parameter] = name
        return takes | {parameter: name for parameter, name in step.inputs.items() if parameter not in takes}

    def _transform(self, step: TransformStep, scope: Known, path: str, role: _Role) -> Known:
        takes = {name: name for name in step.takes}
        for name in takes:
            self._take(path, name, name, ANYTHING, scope, required=True, is_said=True)
        self.takes[path] = takes
        given = Known({name: Given(ANYTHING, path) for name in step.gives})
        if role.merges:
            self._require_new(path, given.held, takes, scope)
        return given

    def _parallel(self, step: ParallelStep, scope: Known, path: str) -> Known:
        if not step.steps:
            raise refusals.empty(self.name, path)
        self._require_names(step.steps, path)
        given = Known()
        for one in step.steps:
            mine = self._one(one, scope, below(path, one.name))
            for name in mine.held:
                if name in given.held:
                    raise refusals.both_give(self.name, given.held[name].by, mine.held[name].by, name)
            given = given.with_others(mine)
        return given

    def _map(self, step: MapStep, scope: Known, path: str, role: _Role) -> Known:
        over = self._take(path, "", step.over, _LIST, scope, required=True, is_said=True)
        if step.item in scope.held:
            raise refusals.item_is_there(self.name, path, scope.held[step.item].by, step.item)
        inside = scope.with_others(Known({step.item: Given(over.items, path)}))
        inner = _Role(step.step.name, getattr(step.step, "output", None), merges=False)
        found = self._one(step.step, inside, f"{path}[]", inner)
        form = list_of(self._whole(step.step, found))
        output = role.output or step.output
        given = Known({output: Given(form, path)})
        if role.merges:
            self._require_new(path, given.held, (step.over,), scope)
        return given

    def _whole(self, step: Step, given: Known) -> Form:
        """The form of what one step of a map gives: the result of a tool, or the object of the fields."""
        if step.fallback is not None:
            return ANYTHING
        if isinstance(step, ToolStep):
            contract = self._contract(step)
            return ANYTHING if contract is None else contract.returns
        schema = object_of(given.held, is_open=given.open)
        return Form(schema, schema.pop("$defs", {}))

    def _branch(self, step: BranchStep, scope: Known, path: str) -> Known:
        if not step.cases and step.default is None:
            raise refusals.empty(self.name, path)
        if isinstance(step.on, str):
            on = self._take(path, "", step.on, _CASE, scope, required=True, is_said=True)
            self._require_cases(step, path, on)
        targets = dict.fromkeys([*step.cases.values(), *([] if step.default is None else [step.default])])
        ways = {one: self._named(one, scope, below(path, one), path) for one in targets}
        return of_ways(ways, scope.held, path)

    def _require_cases(self, step: BranchStep, path: str, on: Form) -> None:
        choices = on.choices
        if choices is None or not all(isinstance(one, str) for one in choices):
            return
        for case in step.cases:
            if case not in choices:
                raise refusals.no_such_case(self.name, path, str(step.on), case, choices)

    def _named(self, name: str, scope: Known, path: str, by: str) -> Known:
        """The fields that the steps of the pipeline ``name`` give; the step ``by`` leads there."""
        steps = self.pipeline.pipelines.get(name)
        if name in self.inside or (steps is None and name == self.name):
            raise refusals.ring(self.name, by, [*self.inside, name])
        if steps is None:
            raise refusals.nowhere(self.name, by, name, self.pipeline.pipelines)
        if not steps:
            raise refusals.empty(self.name, by, of=name)
        self.inside.append(name)
        given, _ = self._sequence(steps, scope, path)
        self.inside.pop()
        return given

    # ------------------------------------------------------------------------------------------------ fields

    def _take(
        self,
        path: str,
        parameter: str,
        name: str,
        form: Form,
        scope: Known,
        *,
        required: bool,
        is_said: bool = False,
    ) -> Form:
        """The form of the field ``name`` that a step takes; refused if it is not there or never fits.

        ``parameter`` is "" where the step itself takes it. ``is_said``: the pipeline names the field for it.
        """
        given = scope.held.get(name)
        if given is None and self.infers and not scope.open:
            given = self._infer(name, form, required=required)
        if given is None:
            if scope.open:
                return ANYTHING
            raise self._missing(path, parameter, name, scope, is_said=is_said)
        if required and given.missing:
            raise refusals.of_some(self.name, path, name, given.missing)
        reason = misfit(given.form, form)
        if reason is not None:
            raise refusals.unfit(self.name, path, parameter, name, given.by, reason)
        return given.form

    def _infer(self, name: str, form: Form, *, required: bool) -> Given:
        """An input that the first step takes, which the pipeline does not tell itself."""
        before = self.inferred.get(name)
        has_default = "default" in form.schema
        if before is None or (required and not before.is_sure):
            kept = form if before is None else before.form
            before = self.inferred[name] = Given(kept, "", () if required or has_default else ("",), is_sure=required)
        return before if not required else replace(before, missing=())

    def _missing(self, path: str, parameter: str, name: str, scope: Known, *, is_said: bool) -> Exception:
        later = next((step.name for steps in reversed(self.later) for step in steps if self._tells(step, name)), None)
        if is_said or not parameter:
            return refusals.no_field(self.name, path, name, givers(scope.held), later=later)
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

    def _require_new(self, path: str, given: Iterable[str], taken: Iterable[str], scope: Known) -> None:
        """Refuse a step that replaces a field without taking it."""
        takes = set(taken)
        for name in given:
            if name in scope.held and name not in takes:
                raise refusals.given_twice(self.name, path, scope.held[name].by, name)

    def _require_same(self, given: Known, other: Known, path: str, name: str) -> None:
        """Refuse a fallback that does not give what the step gives."""
        for each, one in given.held.items():
            if each not in other.held and not other.open and not one.missing:
                raise refusals.fallback_without(self.name, path, name, each, list(other.held))


_LIST: Final = Form({"type": "array"})
_CASE: Final = Form({"type": ["string", "number", "boolean"]})
