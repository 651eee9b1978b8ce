"""Asking again with the error: an adapter of DSPy for language models that answer in the wrong shape.

DSPy itself asks again in another form, without saying what was wrong.
Here the model is told what could not be read, in the instructions of the next request, and nothing else changes.
"""

from __future__ import annotations

import copy
from typing import Any, Final

from altar.ai.lm.interruptible import interruptible
from altar.ai.lm.lenient import AsConfigured
from altar.later.extras import loaded

__all__ = ["CALL", "correcting"]

CALL: Final = "altar_call"
"""The setting of DSPy that holds the context of the call for which a model is asked."""

_MOST_TOLD: Final = 600
"""Characters of a model's own answer, and of the error, that it is told again."""


def correcting(adapter: Any = None, *, attempts: int | None = None) -> Any:
    """The same adapter, asking up to ``attempts`` times more when an answer has the wrong shape.

    Without ``attempts`` it is as configured for this process (``ai.retry_on_validation_error``): once, or not at all,
    and then not in another form either, as DSPy's adapters do by themselves.
    With ``ai.result_validation`` off an answer in the wrong shape is no error: its fields are what they are.
    Without ``adapter`` it is DSPy's ``ChatAdapter``. The last error is raised as it is.
    What has been streamed to a reader already is not asked again.
    """
    dspy = loaded("dspy", extra="dspy", what="An adapter for DSPy")
    inner = dspy.ChatAdapter() if adapter is None else adapter
    if hasattr(inner, "altar_attempts"):
        return inner
    corrected = copy.copy(inner)
    corrected.__class__ = _corrected(type(inner))
    corrected.altar_attempts = attempts
    return corrected


_CLASSES: dict[Any, Any] = {}


def _corrected(base: Any) -> Any:
    """The class of an adapter that asks again, made once; DSPy tells adapters apart by the name of their class."""
    if base in _CLASSES:
        return _CLASSES[base]
    from dspy import settings
    from dspy.clients.call_context import adapter_fallback_scope
    from dspy.utils.exceptions import AdapterParseError

    class Corrected(AsConfigured, base):
        def __call__(self, lm: Any, lm_kwargs: Any, signature: Any, demos: Any, inputs: Any) -> Any:
            asked = signature
            lm = interruptible(lm, settings.get(CALL))
            for left in range(self.attempts, -1, -1):
                _require_wanted(settings.get(CALL))
                with adapter_fallback_scope() as progress:
                    try:
                        return super().__call__(lm, dict(lm_kwargs), asked, demos, inputs)
                    except AdapterParseError as error:
                        if not left or progress.emitted:
                            raise
                        asked = _told(signature, error)
            return None

        async def acall(self, lm: Any, lm_kwargs: Any, signature: Any, demos: Any, inputs: Any) -> Any:
            asked = signature
            for left in range(self.attempts, -1, -1):
                _require_wanted(settings.get(CALL))
                with adapter_fallback_scope() as progress:
                    try:
                        return await super().acall(lm, dict(lm_kwargs), asked, demos, inputs)
                    except AdapterParseError as error:
                        if not left or progress.emitted:
                            raise
                        asked = _told(signature, error)
            return None

    Corrected.__name__ = base.__name__
    Corrected.__qualname__ = base.__qualname__
    return _CLASSES.setdefault(base, Corrected)


def _require_wanted(call: Any) -> None:
    """Raise CANCELLED or TIMEOUT where nobody waits for the answer: a thread cannot be stopped, but need not ask on."""
    if call is not None:
        call.check_cancelled()


def _told(signature: Any, error: Any) -> Any:
    """The same signature, whose instructions say what was wrong with the last answer."""
    reason = str(error).partition("\n\nAdapter ")[0].partition("\n    For further information")[0].strip()
    if reason.startswith("Adapter "):
        reason = f"these fields are needed: {', '.join(signature.output_fields)}"
    words = (
        "Your last answer could not be read. It was:\n"
        f"{_short(str(error.lm_response))}\nWhat was wrong with it: {_short(reason)}\n"
        "Answer again, with every output field, in exactly the form that is asked for."
    )
    return signature.with_instructions(f"{signature.instructions}\n\n{words}")


def _short(text: str) -> str:
    return text if len(text) <= _MOST_TOLD else text[:_MOST_TOLD] + "…"
