"""A call of a DSPy program: inputs in, the fields of the answer out, in a context of DSPy for that call alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from altar.adm.errors import ConfigurationError
from altar.ai.instances import Instances, copied
from altar.ai.plain import require_plain
from altar.ai.transformers import normal
from altar.later.bound_variables import require_recorded

if TYPE_CHECKING:
    from altar.ai.transformers import Transformer
    from altar.ai.variables import Bound
    from altar.later.context import ToolContext

__all__ = ["Program"]


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
    _corrected: tuple[Any, Any] | None = field(default=None, init=False, repr=False)
    _states: list[tuple[Any, Any, Any, int]] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        """Check that the variables have something to bind to, and let the language model that is given be asked."""
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
        module, model = await self.values(context)
        require_plain(inputs)
        with self.context(context, model):
            return self.answer(module, await module.acall(**inputs))

    def plain(self, inputs: dict[str, Any], context: ToolContext) -> dict[str, Any]:
        """Run it in a thread of its own, where a part of it cannot be awaited."""
        self.require_state()
        module, model = self.module, None
        if self.variables or self.per_session:
            module, model = self.instances.get(context.session_id, self._values_here(context), self.variables)
        require_plain(inputs)
        with self.context(context, model):
            return self.answer(module, module(**inputs))

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

    @contextmanager
    def context(self, context: ToolContext, model: str | None = None) -> Iterator[None]:
        """A context of DSPy for one call; what the language model took is told, and what it raised is translated."""
        import dspy
        from dspy.utils.usage_tracker import UsageTracker

        from altar.ai.lm.configure import current
        from altar.ai.lm.correcting import CALL, correcting
        from altar.ai.lm.errors import lm_error
        from altar.ai.lm.usage import usage_of

        tracker = UsageTracker()
        settings: dict[str, Any] = {"disable_history": True, "trace": [], "usage_tracker": tracker, CALL: context}
        lm = self._language_model(model)
        if lm is None and dspy.settings.lm is None and not all(each.lm for each in self.module.predictors()):
            lm = current()
            if lm is None:
                raise _no_lm(self.name)
        if lm is not None:
            settings["lm"] = lm
        adapter = self.adapter or dspy.settings.adapter
        known = self._corrected
        if known is None or known[0] is not adapter:
            known = self._corrected = (adapter, correcting(adapter))
        settings["adapter"] = known[1]
        if self.runs_code == "sandboxed":
            settings["interpreter_factory"] = dspy.PythonInterpreter
        with dspy.context(**settings):
            try:
                yield
            except Exception as raised:
                error = lm_error(raised)
                if error is None:
                    raise
                raise error from raised
            finally:
                context.used(**usage_of(tracker))

    async def values(self, context: ToolContext) -> tuple[Any, str | None]:
        """The module that this call runs, and the language model that its session asks for."""
        self.require_state()
        if not (self.variables or self.per_session):
            return self.module, None
        return self.instances.get(context.session_id, await self._values(context), self.variables)

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
    from altar.ai.lm.configure import language_model

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
        hint="give one: tool_from_module(…, lm=…), or dspy.configure(lm=…) where the tool is declared",
    )
