"""What the two sides of a stream can do beyond plain calls, by name, and what becomes of a call that needs more.

In: the names that the other side said in its hello or its announcement.
Out: nothing, or FEATURE_UNAVAILABLE with the name of the capability and of the kind of peer that lacks it.
A call that needs a capability is never carried out without it, and never silently done in a lesser way.
Releases before capabilities had a rule, 0.1.0, announce as runtimes ``deadline``, ``cancel`` and ``drain``, and as
clients and hosts nothing.

==============  =======================================================  ==================================
name            what the side that announces it can do                   who announces it
==============  =======================================================  ==================================
deadline        ends a call when its ``remaining_ms`` are over           runtime
cancel          passes a CancelCall on to the function                   runtime
drain           says that it leaves, and finishes what it has            runtime
variables       asks for, or serves, variables of a session              runtime, client, host
nested          makes calls inside of a call, and runs such calls        runtime, host (answers them)
streaming       sends and takes values one by one, in a window           runtime, client, host
notices         sends, passes on or hears progress and log lines         runtime, client, host
contracts       tells, or hears, that contracts have changed             host, client, runtime
sessions        lists, describes and extends sessions                    host
local_dispatch  decides for calls that run where they are made           host
credentials     takes tokens and keys beside certificates                host
blobs           takes and sends large bytes beside their JSON            runtime, client, host
records         puts events of applications into its record              host
==============  =======================================================  ==================================
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum

from altar.adm.errors import AltarError, ConfigurationError, TransportError

__all__ = ["CLIENT", "HOST", "RUNTIME", "Capability", "kind_of", "lacking", "missing", "read_capabilities"]


class Capability(StrEnum):
    """The name of one capability, as it is on the wire."""

    DEADLINE = "deadline"
    CANCEL = "cancel"
    DRAIN = "drain"
    VARIABLES = "variables"
    NESTED = "nested"
    STREAMING = "streaming"
    NOTICES = "notices"
    CONTRACTS = "contracts"
    SESSIONS = "sessions"
    LOCAL_DISPATCH = "local_dispatch"
    CREDENTIALS = "credentials"
    BLOBS = "blobs"
    RECORDS = "records"


CLIENT: tuple[str, ...] = (
    Capability.VARIABLES,
    Capability.CONTRACTS,
    Capability.STREAMING,
    Capability.NOTICES,
    Capability.BLOBS,
)
"""What the client of this release announces."""
HOST: tuple[str, ...] = (
    Capability.VARIABLES,
    Capability.CONTRACTS,
    Capability.NESTED,
    Capability.STREAMING,
    Capability.NOTICES,
    Capability.SESSIONS,
    Capability.BLOBS,
    Capability.RECORDS,
)
"""What the host of this release announces, to clients and to runtimes."""
RUNTIME: tuple[str, ...] = (
    Capability.DEADLINE,
    Capability.CANCEL,
    Capability.DRAIN,
    Capability.CONTRACTS,
    Capability.VARIABLES,
    Capability.NESTED,
    Capability.STREAMING,
    Capability.NOTICES,
    Capability.BLOBS,
)
"""What the runtime of this release announces."""

MOST = 64
"""Capabilities that a peer may announce."""
LONGEST = 64
"""Characters of the name of one, and of what a peer says of its kind."""


def read_capabilities(names: Collection[str]) -> frozenset[str]:
    """What a peer said it can do; names that this release does not know are kept, and mean nothing.

    Raises TransportError PROTOCOL_VIOLATION for more than MOST of them, or a name of more than LONGEST characters.
    """
    if len(names) > MOST or any(len(name) > LONGEST for name in names):
        raise TransportError(
            "PROTOCOL_VIOLATION",
            f"A peer may announce {MOST} capabilities, with names of at most {LONGEST} characters",
            ran="no",
            hint="announce what spec and release know by name",
        )
    return frozenset(names)


def kind_of(language: str, sdk_version: str) -> str:
    """What a peer is, for people: ``python 0.2.0``."""
    return f"{language[:LONGEST] or 'unknown'} {sdk_version[:LONGEST]}".rstrip()


def lacking(needs: Iterable[str], has: Collection[str]) -> str:
    """The first capability that is needed and not there; empty when nothing is missing."""
    return next((str(need) for need in needs if need not in has), "")


def missing(capability: str, *, what: str, who: str) -> AltarError:
    """The refusal of a call that needs what nobody who could carry it out has; nothing ran.

    ``what`` names the call, ``who`` the kind of those that lack it.
    """
    return ConfigurationError(
        "FEATURE_UNAVAILABLE",
        f"{what} needs {str(capability)!r}, which {who} cannot do",
        ran="no",
        hint="start the other side with a release that announces it, or do without",
    )
