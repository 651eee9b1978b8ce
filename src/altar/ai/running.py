"""A call of a DSPy program: inputs in, the fields of the answer out, in a context of DSPy for that call alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from altar.adm.errors import AltarError, ConfigurationError, DeclarationError
from altar.ai.instances import Instances, copied
from altar.ai.lm.configure import current_in, language_model
from altar.ai.lm.correcting import CALL, correcting
from altar.ai.lm.errors import lm_error
from altar.ai.lm.interruptible import interruptible
from altar.ai.lm.usage import Exchanges, usage_of
from altar.ai.plain import require_plain
from altar.ai.sandbox import interpreters_of
from altar.ai.transformers import normal
from altar.later.bound_variables import MOST_BOUND, require_recorded
from altar.later.extras import loaded
from altar.later.running import nothing_ran

if TYPE_CHECKING:
    from types import TracebackType

    from altar.ai.transformers import Transformer
    from altar.ai.variables import Bound
    from altar.later.context import ToolContext

__all__ = ["Begun", "Program"]


@dataclass(frozen=True, slots=True)
class Begun:
    """One call that is about to run: its module, and the settings of DSPy that are its own."""

    module: Any
    settings: dict[str, Any] = field(repr=False)


class Running:
    """The time in which a program runs: DSPy has the settings of the call, and the call hears what it took."""

    __slots__ = ("_call", "_exchanges", "_settings")

    def __init__(self, call: ToolContext, exchanges: Exchanges, settings: Any) -> None:
        self._call = call
        self._exchanges = exchanges
        self._settings = settings

    def __enter__(self) -> None:
        """Let DSPy have the settings."""
        self._settings.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Tell what the language model took; what it raised becomes an error with a code of its own."""
        self._settings.__exit__(None, None, None)
        if self._exchanges.entries:
            self._call.used(**usage_of(self._exchanges))
        error = lm_error(raised) if isinstance(raised, Exception) else None
        if error is not None:
            raise error from raised


@dataclass(slots=True)
class Program:
    """A module, and what each call of it is given: language model, adapter, variables, instance of the session.

    ``outputs`` are the names that the contract promises.
    """

    module: Any
    outputs: tuple[str, ...]
    lm: Any = field(repr=False)
    adapter: Any
    transform: Transformer | None
    variables: Mapping[str, Bound]
    per_session: bool
    name: str
    runs_code: str | None = None
    instances: Instances = field(init=False)
    _dspy: Any = field(init=False, repr=False)
    _corrected: tuple[Any, Any] | None = field(default=None, init=False, repr=False)
    _states: list[tuple[Any, Any, Any, int]] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        """Check that the variables have something to bind to, and let the language model that is given be asked."""
        self._dspy = loaded("dspy", extra="dspy", what="A DSPy program as a tool")
        if len(self.variables) > MOST_BOUND:
            raise DeclarationError(
                "INVALID_DECLARATION",
                f"{self.name!r} binds {len(self.variables)} variables, and at most {MOST_BOUND} can be recorded",
            )
        for name, bound in self.variables.items():
            bound.require_target(name, self.module)
        if self.lm is not None and any(each.lm is not None for each in self.module.predictors()):
            self.module = self.module.deepcopy()
            for each in self.module.predictors():
                each.lm = None  # which DSPy would ask first
        if self.per_session:
            copied(self.module)  # which refuses what cannot be
        self._states = [(each, each.signature, each.demos, len(each.demos)) for each in self.module.predictors()]
        self.instances = Instances(self.module, per_session=self.per_session)

    async def awaited(self, inputs: dict[str, Any], context: ToolContext) -> dict[str, Any]:
        """Run it in the loop of the caller."""
        begun = await self.begin(inputs, context)
        with self.context(context, begun):
            return self.answer(begun.module, await begun.module.acall(**inputs))

    def plain(self, inputs: dict[str, Any], context: ToolContext) -> dict[str, Any]:
        """Run it in a thread of its own, where a part of it cannot be awaited."""
        try:
            self.require_state()
            module, model = self.module, None
            if self.variables or self.per_session:
                module, model = self.instances.get(context.session_id, self._values_here(context), self.variables)
            begun = self._begun(module, model, inputs, context)
        except AltarError as refused:
            raise nothing_ran(refused) from refused.__cause__
        if begun.settings.get("lm") is not None:
            begun.settings["lm"] = interruptible(begun.settings["lm"], context)
        with self.context(context, begun):
            return self.answer(module, module(**inputs))

    async def begin(self, inputs: dict[str, Any], context: ToolContext) -> Begun:
        """What one call runs, and the settings of DSPy it runs in; nothing has run and nobody was asked by then.

        Raises whatever refuses the call, with ``ran`` no: another state of the program, variables of the session that
        do not fit, inputs with marks in them, a language model that is not there.
        """
        try:
            self.require_state()
            module, model = self.module, None
            if self.variables or self.per_session:
                values = await self._values(context)
                module, model = self.instances.get(context.session_id, values, self.variables)
            return self._begun(module, model, inputs, context)
        except AltarError as refused:
            raise nothing_ran(refused) from refused.__cause__

    def require_state(self) -> None:
        """Raise ConfigurationError INVALID_CONFIG when the program has another state than its contract says."""
        for each, signature, demos, many in self._states:
            if each.signature is not signature or each.demos is not demos or len(demos) != many:
                raise ConfigurationError(
                    "INVALID_CONFIG",
                    f"The program of {self.name!r} has got another state since its contract was made",
                    ran="no",
                    hint="load or compile it first, and make the tool of it then",
                )

    def answer(self, module: Any, prediction: Any) -> dict[str, Any]:
        """The fields of an answer that the contract promises."""
        return normal(module, prediction, fields=self.outputs, transform=self.transform)

    def context(self, context: ToolContext, begun: Begun) -> Running:
        """A context of DSPy for one call; what the language model took is told, and what it raised is translated."""
        return Running(context, begun.settings["usage_tracker"], self._dspy.context(**begun.settings))

    def _begun(self, module: Any, model: str | None, inputs: dict[str, Any], context: ToolContext) -> Begun:
        require_plain(inputs)
        set_here = self._dspy.settings
        settings = {"disable_history": True, "trace": [], "usage_tracker": Exchanges(), CALL: context}
        lm = self._language_model(model)
        if lm is None and set_here.lm is None and not all(each.lm for each in self.module.predictors()):
            lm = current_in(context)
            if lm is None:
                raise _no_lm(self.name)
        if lm is not None:
            settings["lm"] = lm
        adapter = self.adapter or set_here.adapter
        known = self._corrected
        if known is None or known[0] is not adapter:
            known = self._corrected = (adapter, correcting(adapter))
        settings["adapter"] = known[1]
        if self.runs_code == "sandboxed":
            settings["interpreter_factory"] = interpreters_of(context)
        return Begun(module, settings)

    async def _values(self, context: ToolContext) -> dict[str, Any]:
        """The values of the bound variables, of those that the session has."""
        held = await context.variables.snapshot() if self.variables else {}
        return self._checked({name: held[name].value for name in self.variables if name in held}, context)

    def _values_here(self, context: ToolContext) -> dict[str, Any]:
        held = context.sync_variables.snapshot() if self.variables else {}
        return self._checked({name: held[name].value for name in self.variables if name in held}, context)

    def _checked(self, values: dict[str, Any], context: ToolContext) -> dict[str, Any]:
        require_recorded(context.invocation, values)
        for name, value in values.items():
            self.variables[name].check(name, value)
        require_plain(values)
        return values

    def _language_model(self, model: str | None) -> Any:
        if model is not None:
            return _made(model)
        if isinstance(self.lm, str):
            return _made(self.lm)
        return self.lm


_MODELS: dict[str, Any] = {}
_MOST_MODELS = 32


def _made(spec: str) -> Any:
    """The language model that a contract's word stands for, made once."""
    if spec.partition(":")[0] == "local":
        return language_model(spec)  # which knows whether it is still there
    made = _MODELS.get(spec)
    if made is None:
        made = language_model(spec)
        if len(_MODELS) >= _MOST_MODELS:
            _MODELS.clear()
        _MODELS[spec] = made
    return made


def _no_lm(name: str) -> ConfigurationError:
    return ConfigurationError(
        "ENVIRONMENT_ERROR",
        f"{name!r} has no language model where it runs",
        ran="no",
        hint="give one: `lm` under [ai] in altar.toml, lm=… of the module or the tool, or dspy.configure(lm=…) "
        "where it is declared",
    )
