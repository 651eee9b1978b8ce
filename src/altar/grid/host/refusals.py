"""What a call is told that no runtime could run, or that none ran to its end; and a runtime that is turned away."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from altar.adm.errors import AltarError, ExecutionError, Ran, ValidationError

if TYPE_CHECKING:
    from altar.grid.host.waiting import Waiting
    from altar.grid.manifests.manifest import HostContract
    from altar.later.invocation import Invocation

__all__ = [
    "cancelled",
    "crashed",
    "failing",
    "fenced",
    "full",
    "full_of_nested",
    "late",
    "mismatch",
    "nobody",
    "not_in_manifest",
    "ran_before",
]


def ran_before(invocation: Invocation) -> Ran:
    """Whether an earlier attempt at this call may have run."""
    return "unknown" if invocation.attempts else "no"


def cancelled(invocation: Invocation) -> AltarError:
    """The caller took it back before it was sent."""
    return ExecutionError("CANCELLED", "The call was cancelled while it waited to run", ran=ran_before(invocation))


def full(invocation: Invocation, waiting: Waiting) -> AltarError:
    """Too much waits already; says when that will have been served."""
    what = f"{waiting.count} calls" if waiting.count >= waiting.limit else f"Calls of {waiting.size} bytes"
    return ExecutionError(
        "RESOURCE_EXHAUSTED",
        f"{what} are waiting for a runtime already",
        ran=ran_before(invocation),
        hint="try again, or add runtimes",
        retry_after=waiting.retry_after(),
    )


def full_of_nested(invocation: Invocation, calls: int) -> AltarError:
    """Too many calls that functions made wait already."""
    return ExecutionError(
        "RESOURCE_EXHAUSTED",
        f"{calls} calls that tools made are waiting for a runtime already",
        ran=ran_before(invocation),
        hint="let tools call fewer others at a time, or add runtimes",
        retry_after=timedelta(seconds=1),
    )


def late(invocation: Invocation, *, ran: Ran) -> AltarError:
    """Its time was up: while it waited, with ``ran`` no, or after it was sent."""
    if ran == "no":
        return ExecutionError(
            "TIMEOUT", f"No runtime was free for {invocation.name!r} in time", ran="no", hint="add runtimes"
        )
    return ExecutionError(
        "TIMEOUT",
        f"{invocation.name!r} had not ended when its time was up",
        ran="unknown",
        hint="ask for less in one call, or give it more time: @altar.tool(timeout=…), or timeout=… of the session",
    )


def nobody(invocation: Invocation) -> AltarError:
    """No runtime is there that could run it."""
    labels = ["=".join(label) for label in invocation.contract.requires]
    requires, options = ", ".join(labels), "".join(f" --label {label}" for label in labels)
    which = f"No runtime with {requires}" if requires else "No runtime"
    return ExecutionError(
        "DEPENDENCY_UNAVAILABLE",
        f"{which} fulfils {invocation.name!r} at the moment",
        ran="no",
        hint=f"start one: `altar runtime --tools MODULE{options}`",
        retry_after=timedelta(seconds=1),
    )


def failing(invocation: Invocation, *, after: float) -> AltarError:
    """Every runtime that could run it has failed at it too often; another try in ``after`` seconds."""
    return ExecutionError(
        "DEPENDENCY_UNAVAILABLE",
        f"Every runtime that fulfils {invocation.name!r} has failed at it too often and is left alone for a while",
        ran=ran_before(invocation),
        hint="the log of the runtimes has the reason; `altar top` shows the breakers",
        retry_after=timedelta(seconds=after),
    )


def crashed(invocation: Invocation, reason: str) -> AltarError:
    """Its runtime was lost while it had it."""
    return ExecutionError(
        "RUNTIME_CRASH",
        f"The runtime that ran {invocation.name!r} was lost",
        ran="unknown",
        hint="a tool that may be run twice can be declared idempotent, and is then tried elsewhere",
        detail=f"runtime {invocation.runtime}: {reason}",
    )


def fenced(runtime_id: str) -> AltarError:
    """For a runtime whose id another process has announced since."""
    return ExecutionError(
        "RUNTIME_CRASH",
        f"Another process has attached as {runtime_id!r}",
        ran="no",
        hint="give each runtime process an id and a certificate of its own",
    )


def not_in_manifest(name: str, version: str) -> AltarError:
    """For a runtime that fulfils what the host does not know."""
    return ValidationError(
        "UNSUPPORTED_TOOL",
        f"The host's manifest has no {name!r} at {version}",
        ran="no",
        hint="build the manifest again with this module, or start the runtime without it",
    )


def changed(invocation: Invocation) -> AltarError:
    """For a call whose contract was replaced while it waited."""
    return ValidationError(
        "VERSION_MISMATCH",
        f"The contract of {invocation.name!r} was changed while the call waited for a runtime",
        ran=ran_before(invocation),
        hint="call again: the session reads the contract as it is now",
    )


def mismatch(contract: HostContract) -> AltarError:
    """For a runtime that means another contract than the host by the same name and version."""
    return ValidationError(
        "VERSION_MISMATCH",
        f"The runtime's {contract.name!r} at {contract.version} is not the contract of the host",
        ran="no",
        hint="deploy the same code on both sides, or build the manifest again and give it a new version",
        detail=f"the host holds {contract.digest}",
    )
