"""Figures of a host: counted in plain numbers while it works, told to Prometheus when that asks.

:class:`Meter` is what the host counts with, for each call and for each commit; it needs no package and costs about a
microsecond.
:func:`exposition` turns the status of a host, with those figures in it, into what a Prometheus server reads; that
needs ``prometheus-client``, of the extra ``observe``.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from altar.adm.errors import ConfigurationError
from altar.later.invocation import Invocation, Outcome

if TYPE_CHECKING:
    from prometheus_client.core import Metric

__all__ = ["BOUNDS", "MOST_TENANTS", "MOST_TOOLS", "OTHER", "Figures", "Meter", "Reading", "exposition", "quantile"]

BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds, in seconds, of the buckets that calls are sorted into; one more holds what took longer."""

STORE_BOUNDS: Final = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""The same for the time that a transaction of the ledger takes, which is mostly the wait for the disk."""

MOST_TOOLS: Final = 1_000
"""Tools that are counted by name, each tool of each tenant once."""

MOST_TENANTS: Final = 100
"""Tenants that are counted by name."""

OTHER: Final = "other"
"""What every call is counted under that found no contract, every tool beyond `MOST_TOOLS`, every tenant beyond its."""

SUCCESS: Final = "SUCCESS"
"""What stands for the error code of a call that had none."""


class Figures:
    """How many calls of one tool by one tenant ended how, and how long they took.

    ``codes`` counts by error code, or SUCCESS; ``buckets`` by `BOUNDS`; ``seconds`` is the sum of all.
    ``exemplars`` keeps, for each bucket, the newest call that was traced: its trace id and its seconds.
    """

    __slots__ = ("buckets", "codes", "exemplars", "seconds")

    def __init__(self) -> None:
        self.codes: defaultdict[str, int] = defaultdict(int)
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0
        self.exemplars: dict[int, tuple[str, float]] = {}

    def add(self, other: Figures) -> None:
        """Count what others have counted too; the exemplars are those of whoever is added last."""
        for code, count in other.codes.items():
            self.codes[code] += count
        self.buckets = [mine + more for mine, more in zip(self.buckets, other.buckets, strict=True)]
        self.seconds += other.seconds
        self.exemplars |= other.exemplars

    def told(self) -> dict[str, Any]:
        """Give them as values of JSON."""
        return {
            "codes": dict(self.codes),
            "buckets": list(self.buckets),
            "seconds": self.seconds,
            "exemplars": {str(bucket): list(one) for bucket, one in self.exemplars.items()},
        }


class Meter:
    """What a host counts. Calls are counted in its event loop, transactions in the thread of the ledger."""

    __slots__ = ("_clock", "_figures", "_since", "_tenants", "store_buckets", "store_seconds")

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._figures: dict[tuple[str, str], Figures] = {}
        self._tenants: set[str] = set()
        self.store_buckets = [0] * (len(STORE_BOUNDS) + 1)
        self.store_seconds = 0.0

    def begin(self, frame: Iterable[Invocation]) -> None:
        """Calls have come in: note when."""
        now = self._clock()
        for invocation in frame:
            invocation.began = now

    def count(self, invocation: Invocation, outcome: Outcome) -> None:
        """A call is answered."""
        figures = self._figures.get((invocation.tenant, invocation.name)) or self._figures_of(invocation)
        error = outcome.error
        figures.codes[SUCCESS if error is None else error.code] += 1
        seconds = self._clock() - invocation.began if invocation.began else 0.0
        bucket = bisect_left(BOUNDS, seconds)
        figures.buckets[bucket] += 1
        figures.seconds += seconds
        if invocation.trace is not None and invocation.trace.sampled:
            figures.exemplars[bucket] = (invocation.trace.trace_id, seconds)

    def stored(self, seconds: float) -> None:
        """The ledger has made a transaction durable, which took so long."""
        self.store_buckets[bisect_left(STORE_BOUNDS, seconds)] += 1
        self.store_seconds += seconds

    def snapshot(self) -> dict[str, Any]:
        """All figures, as values of JSON; counts only ever rise, from the start of the process.

        ``tools`` are those of all tenants together, ``tenants`` those of each.
        """
        tools: dict[str, Figures] = {}
        tenants: dict[str, dict[str, Any]] = {}
        for (tenant, tool), figures in sorted(self._figures.items()):
            tools.setdefault(tool, Figures()).add(figures)
            tenants.setdefault(tenant, {})[tool] = figures.told()
        return {
            "seconds_up": round(self._clock() - self._since, 3),
            "bounds": list(BOUNDS),
            "tools": {name: figures.told() for name, figures in sorted(tools.items())},
            "tenants": tenants,
            "store": {
                "bounds": list(STORE_BOUNDS),
                "buckets": list(self.store_buckets),
                "seconds": self.store_seconds,
            },
        }

    def _figures_of(self, invocation: Invocation) -> Figures:
        """The figures of a tool that has none yet: a name that only a caller knows must not become a label."""
        tenant = invocation.tenant
        if tenant not in self._tenants:
            if len(self._tenants) < MOST_TENANTS:
                self._tenants.add(tenant)
            else:
                tenant = OTHER
        known = invocation.contract is not None and len(self._figures) < MOST_TOOLS
        return self._figures.setdefault((tenant, invocation.name if known else OTHER), Figures())


def quantile(share: float, bounds: Sequence[float], buckets: Sequence[int]) -> float | None:
    """Seconds within which the given share (0 to 1) of the calls in the buckets ended; None when there are none.

    Inside of a bucket the calls count as evenly spread; what is beyond the last bound counts as that bound.
    """
    total = sum(buckets)
    if not total:
        return None
    rank, below = share * total, 0
    for at, count in enumerate(buckets[: len(bounds)]):
        if count and below + count >= rank:
            low = bounds[at - 1] if at else 0.0
            return low + (bounds[at] - low) * max(0.0, rank - below) / count
        below += count
    return bounds[-1]


class Reading(NamedTuple):
    """What a Prometheus server is answered: the text, and its media type."""

    text: bytes
    media_type: str


def exposition(status: Mapping[str, Any], *, accept: str = "", process: bool = True) -> Reading:
    """The status of a host for Prometheus, or in OpenMetrics, with exemplars, for who accepts that.

    ``accept`` is the header of the request; with ``process`` memory, time and files of this process are added.
    Raises ConfigurationError FEATURE_UNAVAILABLE when ``prometheus-client`` is not installed.
    """
    try:
        from prometheus_client import ProcessCollector
        from prometheus_client.exposition import choose_encoder
    except ModuleNotFoundError as missing:
        raise ConfigurationError(
            "FEATURE_UNAVAILABLE",
            f"Metrics need the package {missing.name!r}, which is not installed",
            hint="pip install 'altar-ai[observe]'",
        ) from missing
    encode, media_type = choose_encoder(accept)
    families = [*_families(status), *(ProcessCollector(registry=None).collect() if process else ())]
    return Reading(encode(_Told(families)), media_type)


class _Told:
    """Families that have been made, in the form of a registry."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families


def _families(status: Mapping[str, Any]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

    about = {"host": status["host"], "version": status["version"], "epoch": str(status["epoch"])}
    yield InfoMetricFamily("altar_host", "The host: its name, release and epoch.", value=about)
    ready = float(status["state"] == "serving")
    yield GaugeMetricFamily("altar_ready", "Whether the host takes calls: 1 or 0.", value=ready)
    for key, (name, help_) in _GAUGES.items():
        if key in status:
            yield GaugeMetricFamily(name, help_, value=float(status[key]))
    for key, (name, help_) in _COUNTERS.items():
        if key in status:
            yield CounterMetricFamily(name, help_, value=float(status[key]))
    yield from _session_families(status.get("sessions_of", {}))
    yield from _governance_families(status.get("governance", {}))
    yield from _queue_families(status["queue"])
    yield from _sink_families(status.get("sinks", ()))
    if "calls" in status:
        yield from _call_families(status["calls"])
    yield from _runtime_families(status["runtimes"])


_GAUGES: Mapping[str, tuple[str, str]] = {
    "in_flight": ("altar_calls_in_flight", "Calls whose intent is committed and whose outcome is not."),
    "sessions": ("altar_sessions", "Sessions that are open."),
    "streams": ("altar_streams", "Streams of values on their way to clients."),
    "clients": ("altar_clients", "Connections of clients."),
}
_COUNTERS: Mapping[str, tuple[str, str]] = {
    "commits": ("altar_ledger_commits", "Transactions of the ledger, each synced to the disk once."),
    "entries": ("altar_ledger_entries", "Entries of the audit log."),
}


def _queue_families(queue: Mapping[str, Any]) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    for key, (name, help_) in _OF_A_QUEUE.items():
        yield GaugeMetricFamily(name, help_, value=float(queue[key]))


def _sink_families(sinks: Sequence[Mapping[str, Any]]) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    for key, (name, help_) in _OF_A_SINK.items() if sinks else ():
        family = GaugeMetricFamily(name, help_, labels=("sink",))
        for sink in sinks:
            family.add_metric((sink["name"],), float(sink[key]))
        yield family


_OF_A_SINK: Mapping[str, tuple[str, str]] = {
    "behind": ("altar_audit_sink_behind", "Entries of the log that a receiver has not acknowledged."),
    "failures": ("altar_audit_sink_failures", "Attempts in vain since a receiver last acknowledged."),
}
_OF_A_QUEUE: Mapping[str, tuple[str, str]] = {
    "calls": ("altar_calls_waiting", "Calls that wait for a runtime."),
    "nested": ("altar_calls_waiting_nested", "Calls that running functions make, and that wait for a runtime."),
    "limit": ("altar_calls_waiting_limit", "Calls that may wait; further ones are refused."),
    "bytes": ("altar_calls_waiting_bytes", "Bytes of the arguments of calls that wait."),
}


def _call_families(calls: Mapping[str, Any]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

    counted = CounterMetricFamily(
        "altar_calls", "Calls that were answered, by tenant, tool and error code.", labels=("tenant", "tool", "code")
    )
    took = HistogramMetricFamily(
        "altar_call_seconds", "Seconds from a call's arrival at the host to its answer.", labels=("tenant", "tool")
    )
    for tenant, tool, figures in _by_tenant(calls):
        for code, count in figures["codes"].items():
            counted.add_metric((tenant, tool, code), float(count))
        exemplars = {int(bucket): one for bucket, one in figures["exemplars"].items()}
        took.add_metric((tenant, tool), _cumulative(calls["bounds"], figures["buckets"], exemplars), figures["seconds"])
    store = calls["store"]
    synced = HistogramMetricFamily(
        "altar_ledger_store_seconds", "Seconds that a transaction of the ledger took, its sync to the disk included."
    )
    synced.add_metric((), _cumulative(store["bounds"], store["buckets"], {}), store["seconds"])
    yield from (counted, took, synced)


def _by_tenant(calls: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for tenant, tools in calls["tenants"].items():
        for tool, figures in tools.items():
            yield tenant, tool, figures


def _session_families(sessions: Mapping[str, int]) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily("altar_sessions_of_tenant", "Sessions that a tenant has open.", labels=("tenant",))
    for tenant, count in _by_size(sessions):
        family.add_metric((tenant,), float(count))
    yield family


def _governance_families(figures: Mapping[str, Mapping[str, int]]) -> Iterator[Metric]:
    """Approvals and break-glasses by tenant, of a host that has them."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    for key, (name, help_) in _OF_GOVERNANCE.items() if figures else ():
        made = CounterMetricFamily if key == "break_glass_calls" else GaugeMetricFamily
        family = made(name, help_, labels=("tenant",))
        for tenant, count in _by_size(figures[key]):
            family.add_metric((tenant,), float(count))
        yield family


_OF_GOVERNANCE: Mapping[str, tuple[str, str]] = {
    "approvals_pending": (
        "altar_approvals_pending",
        "Requests for approval that are neither used, refused, withdrawn nor expired.",
    ),
    "break_glass_open": ("altar_break_glass_open", "Break-glasses that are open."),
    "break_glass_calls": ("altar_break_glass_calls", "Calls that a break-glass let pass, from the start of the host."),
}


def _by_size(counts: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Counts of so many tenants as are counted by name, the largest first, and of all others together."""
    by_size = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    yield from by_size[:MOST_TENANTS]
    if by_size[MOST_TENANTS:]:
        yield OTHER, sum(count for _, count in by_size[MOST_TENANTS:])


def _cumulative(
    bounds: Sequence[float], buckets: Sequence[int], exemplars: Mapping[int, Sequence[Any]]
) -> list[tuple[str, float, Any]]:
    """Buckets as Prometheus has them: each counts what is in it or below, and says its bound."""
    from prometheus_client.samples import Exemplar

    rows: list[tuple[str, float, Any]] = []
    total = 0
    for at, (bound, count) in enumerate(zip((*bounds, float("inf")), buckets, strict=True)):
        total += count
        traced = exemplars.get(at)
        exemplar = Exemplar({"trace_id": traced[0]}, traced[1]) if traced is not None else None
        rows.append(("+Inf" if bound == float("inf") else repr(bound), float(total), exemplar))
    return rows


def _runtime_families(runtimes: Sequence[Mapping[str, Any]]) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    yield GaugeMetricFamily("altar_runtimes", "Runtimes that are attached.", value=float(len(runtimes)))
    for key, help_ in _OF_A_RUNTIME.items():
        family = GaugeMetricFamily(f"altar_runtime_{key}", help_, labels=("runtime",))
        for runtime in runtimes[:MOST_TOOLS]:
            family.add_metric((runtime["runtime"],), float(runtime[key]))
        yield family
    breakers = GaugeMetricFamily(
        "altar_breaker_open",
        "Whether a runtime gets no calls of a tool because they failed: 1 or 0.",
        labels=("runtime", "tool"),
    )
    for runtime in runtimes[:MOST_TOOLS]:
        for tool, state in runtime["breakers"].items():
            breakers.add_metric((runtime["runtime"], tool), float(state == "open"))
    yield breakers


_OF_A_RUNTIME: Mapping[str, str] = {
    "in_flight": "Calls that the runtime is carrying out.",
    "credits": "Calls that the host may send to it besides.",
    "draining": "Whether it is leaving: 1 or 0.",
}
