"""A comparison of chains as one program: it samples the chains that DSPy's MultiChainComparison wants to be given.

Loaded where a program is made only: importing this module imports DSPy.
"""

from __future__ import annotations

from typing import Any

import dspy

__all__ = ["ComparedChains"]


class ComparedChains(dspy.Module):
    """Samples as many chains of thought as a comparison compares, and lets it compare them.

    It takes the inputs of the comparison's signature, and answers its outputs and the ``reasoning`` behind them.
    Each chain is a request of its own (``rollout_id``), at the temperature of the comparison.
    """

    def __init__(self, comparison: dspy.MultiChainComparison) -> None:
        super().__init__()
        asked = _question_of(comparison)
        self.signature = _reasoned(asked)
        self.sample = dspy.ChainOfThought(asked)
        self.compare = comparison

    def forward(self, **inputs: Any) -> dspy.Prediction:
        """Sample the chains one after the other, and compare them."""
        chains = [self.sample(**inputs, config=self._config(index)) for index in range(self.compare.M)]
        return _answer(self.compare(chains, **inputs))

    async def aforward(self, **inputs: Any) -> dspy.Prediction:
        """Do as :meth:`forward` does, in an event loop; the comparison itself waits in a thread of its own."""
        chains = [await self.sample.acall(**inputs, config=self._config(index)) for index in range(self.compare.M)]
        return _answer(await dspy.asyncify(self.compare)(chains, **inputs))

    def _config(self, index: int) -> dict[str, Any]:
        temperature = self.compare.predict.config.get("temperature")
        return {"rollout_id": index, "temperature": 0.7 if temperature is None else temperature}


def _question_of(comparison: dspy.MultiChainComparison) -> Any:
    """The signature that the comparison was made with: without the attempts and the rationale that it adds."""
    whole = comparison.predict.signature
    attempts = {f"reasoning_attempt_{index + 1}" for index in range(comparison.M)}
    for name in [*attempts, "rationale"]:
        whole = whole.delete(name)
    return whole


def _reasoned(signature: Any) -> Any:
    if "reasoning" in signature.output_fields:
        return signature
    return signature.prepend("reasoning", dspy.OutputField(desc="${reasoning}"), type_=str)


def _answer(prediction: dspy.Prediction) -> dspy.Prediction:
    members = dict(prediction.items())
    rationale = members.pop("rationale", "")
    return dspy.Prediction(**{"reasoning": rationale, **members})
