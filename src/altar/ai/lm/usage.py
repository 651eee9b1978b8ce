"""What language models took in one call, as numbers for :meth:`altar.ToolContext.used`.

A tracker or a prediction of DSPy comes in, numbers by name go out: tokens, calls of a model, and the cost where the
price of every model that was asked is known. An unknown price is never taken for zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

__all__ = ["Exchanges", "usage_of"]

_MOST_TOKENS: Final = 10**12
"""Most tokens of one exchange: what a server claims beyond that is no count of anything."""


class Exchanges:
    """What DSPy tells of each exchange with a language model during one call, from whichever thread it runs in.

    It stands where DSPy has a tracker of its own, which it copies for each thread of a ``dspy.Parallel``: what those
    took would not be known here.
    """

    __slots__ = ("entries",)

    def __init__(self) -> None:
        self.entries: list[tuple[str, Mapping[str, Any]]] = []

    def __deepcopy__(self, _: object) -> Exchanges:
        """The same one: there is one call."""
        return self

    def add_usage(self, lm: str, usage_entry: Mapping[str, Any]) -> None:
        """Keep what one exchange took, as DSPy tells it; nothing when that is nothing."""
        if usage_entry:
            self.entries.append((lm, {name: _plain(held) for name, held in usage_entry.items()}))


def usage_of(source: Any) -> dict[str, int | float]:
    """The numbers of :class:`Exchanges`, or of a ``UsageTracker`` or ``Prediction`` of DSPy; empty when none was asked.

    ``input_tokens``, ``output_tokens``, ``total_tokens``, ``cached_tokens`` (of those in), ``lm_calls`` (of a tracker
    only: a prediction does not say) and ``cost_usd``, in US dollars, by the prices that DSPy ships or has fetched.
    """
    entries, counted = _entries(source)
    if not entries:
        return {}
    read = written = cached = 0
    for _, entry in entries:
        read += _count(entry, "prompt_tokens")
        written += _count(entry, "completion_tokens")
        cached += _cached(entry)
    total: dict[str, int | float] = {
        "input_tokens": read,
        "output_tokens": written,
        "cached_tokens": cached,
        "total_tokens": read + written,
    }
    if counted:
        total["lm_calls"] = len(entries)
    cost = _cost(entries)
    if cost is not None:
        total["cost_usd"] = cost
    return total


def _plain(held: Any) -> Any:
    """A part of an entry; some libraries give the details as a model of pydantic."""
    return held.model_dump() if hasattr(held, "model_dump") else held


def _entries(source: Any) -> tuple[list[tuple[str, Mapping[str, Any]]], bool]:
    """Each exchange (or the sum of a model's exchanges), with the model's name; and whether they are counted."""
    if isinstance(source, Exchanges):
        return source.entries, True
    held = getattr(source, "usage_data", None)
    if held is not None:
        return [(model, entry) for model, entries in held.items() for entry in entries], True
    usage = source.get_lm_usage() if hasattr(source, "get_lm_usage") else source
    return [(model, entry) for model, entry in (usage or {}).items()], False


def _count(entry: Mapping[str, Any], name: str) -> int:
    value = entry.get(name)
    return min(value, _MOST_TOKENS) if isinstance(value, int) and value >= 0 else 0


def _cached(entry: Mapping[str, Any]) -> int:
    return _count(entry.get("prompt_tokens_details") or {}, "cached_tokens")


def _cost(entries: Iterable[tuple[str, Mapping[str, Any]]]) -> float | None:
    """The sum of what the exchanges cost, or None as soon as one price is not known."""
    sum_of_all = 0.0
    for model, entry in entries:
        cost = _cost_of(model, entry)
        if cost is None:
            return None
        sum_of_all += cost
    return round(sum_of_all, 12)


def _cost_of(model: str, entry: Mapping[str, Any]) -> float | None:
    provider, slash, name = model.partition("/")
    if not slash or provider in {"altar", "altar-local"}:
        return None
    from dspy.clients.model_metadata import model_info, rate

    details = entry.get("completion_tokens_details") or {}
    if _count(details, "audio_tokens") or _count(entry.get("prompt_tokens_details") or {}, "audio_tokens"):
        return None
    info = model_info(provider, name)
    read, cached, written = _count(entry, "prompt_tokens"), _cached(entry), _count(entry, "completion_tokens")
    into, out = rate(info, "input_cost_per_token"), rate(info, "output_cost_per_token")
    if into is None or out is None:
        return None
    again = rate(info, "cache_read_input_token_cost")
    return float(max(read - cached, 0) * into + cached * (into if again is None else again) + written * out)
