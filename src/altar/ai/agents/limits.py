"""How much an agent may take: requests, calls of tools, tokens, money, and the same call again and again.

All of it is counted here and not by a framework, so that the same run ends at the same place under each of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from altar.adm.errors import AuthorizationError, ConfigurationError

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one run of an agent may take; None for no limit.

    ``requests`` to language models and ``total_tokens`` count those of the agent and those that its tools tell of.
    ``tool_calls`` counts the calls that the model wants; those of one answer are made all or not at all.
    ``cost_usd`` is in US dollars; a model whose price is not known ends the run.
    ``same_call`` is how often the same call may follow on itself while its answer stays the same.
    Tokens and money are known when they are spent: a run ends after the request that went beyond.

    Raises ConfigurationError INVALID_CONFIG for a limit that is none.
    """

    requests: int | None = 20
    tool_calls: int | None = 50
    total_tokens: int | None = None
    cost_usd: float | None = None
    same_call: int | None = 3

    def __post_init__(self) -> None:
        """Refuse what is no limit."""
        counts = {"requests": 1, "tool_calls": 0, "total_tokens": 1, "same_call": 1}
        for name, least in counts.items():
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < least):
                raise _no_limit(name, value, f"a whole number from {least}, or None")
        cost: object = self.cost_usd
        if cost is not None and not _is_amount(cost):
            raise _no_limit("cost_usd", cost, "US dollars above zero, or None")

    def require_request(self, agent: str, usage: Mapping[str, int | float], *, ran: bool) -> None:
        """Raise BUDGET_EXCEEDED where another request would be one too many."""
        if self.requests is not None and usage.get("lm_calls", 0) >= self.requests:
            raise exceeded(
                f"The agent {agent!r} came to no end in {self.requests} requests to language models,"
                " those of its tools among them",
                hint=f"limits=Limits(requests={2 * self.requests}), or tell it in its instructions when it is done",
                ran=ran,
            )

    def require_calls(self, agent: str, *, made: int, wanted: int, ran: bool) -> None:
        """Raise BUDGET_EXCEEDED where the calls that the model wants now would be too many."""
        if wanted and self.tool_calls is not None and made + wanted > self.tool_calls:
            raise exceeded(
                f"The agent {agent!r} wants {made + wanted} calls of tools, and may make {self.tool_calls}",
                hint=f"limits=Limits(tool_calls={2 * (made + wanted)})",
                ran=ran,
            )

    def require_within(self, agent: str, usage: Mapping[str, int | float], *, ran: bool, priced: bool) -> None:
        """Raise BUDGET_EXCEEDED where more was taken than may be, INVALID_CONFIG where nobody knows what it cost."""
        tokens = usage.get("total_tokens", 0)
        if self.total_tokens is not None and tokens > self.total_tokens:
            raise exceeded(
                f"The agent {agent!r} has taken {tokens} tokens, and may take {self.total_tokens}",
                hint="limits=Limits(total_tokens=…), or a new conversation: each request holds all that was said",
                ran=ran,
            )
        if self.cost_usd is None:
            return
        if not priced:
            raise ConfigurationError(
                "INVALID_CONFIG",
                f"The agent {agent!r} may cost {self.cost_usd:g} USD, and the price of its language model is not known",
                ran="yes" if ran else "no",
                hint="limits=Limits(total_tokens=…) needs no price",
            )
        cost = usage.get("cost_usd", 0)
        if cost > self.cost_usd:
            raise exceeded(
                f"The agent {agent!r} has cost {cost:.6f} USD, and may cost {self.cost_usd:g}",
                hint="limits=Limits(cost_usd=…)",
                ran=ran,
            )


def exceeded(message: str, *, hint: str, ran: bool) -> AuthorizationError:
    """The error of a run that may take no more; ``ran`` says whether a tool has run by then."""
    return AuthorizationError("BUDGET_EXCEEDED", message, ran="yes" if ran else "no", hint=hint)


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0


def _no_limit(name: str, value: object, wanted: str) -> ConfigurationError:
    return ConfigurationError(
        "INVALID_CONFIG", f"The limit {name!r} of an agent is {value!r}", ran="no", hint=f"it is {wanted}"
    )
