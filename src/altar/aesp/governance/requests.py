"""A request for approval as a value: one call of one principal, and what is needed for it to run.

It names the call by digests, so that nothing of it can be exchanged afterwards; the arguments themselves are kept
elsewhere, encrypted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from altar.adm.canonical import canonical, digest

if TYPE_CHECKING:
    from altar.aesp.policy.policy import Policy

__all__ = ["CONTRACT", "PREFIX", "ApprovalLimits", "Asking", "Need", "Request", "State", "Vote", "need_of"]

CONTRACT = "(contract)"
"""What stands in the place of a policy's name where the contract itself asks; no policy can be called so."""
PREFIX = "approval-"
"""How the ids of requests begin, which are the idempotency keys of the calls they approve."""


class Asking(Protocol):
    """What the policy check leaves on a call, and what is noted there of its approval."""

    wants: Sequence[Policy]
    bundle: str
    verdict: str
    approval: str


class State(StrEnum):
    """How a request stands. Only a pending one can be decided on; only an approved one lets its call run, once."""

    PENDING = "PENDING"
    APPROVED = "APPROVED"
    REFUSED = "REFUSED"
    WITHDRAWN = "WITHDRAWN"
    EXPIRED = "EXPIRED"
    CONSUMED = "CONSUMED"


@dataclass(frozen=True, slots=True)
class Need:
    """What one policy, or the contract itself, asks for: people with one of ``approvers``, as many as ``quorum``.

    ``digest`` is of the policy as it stood when it asked; without roles it takes the permission `approvals:decide`.
    """

    policy: str
    digest: str
    approvers: tuple[str, ...]
    quorum: int

    def to_json(self) -> dict[str, Any]:
        """Give its members."""
        return {
            "approvers": list(self.approvers),
            "digest": self.digest,
            "policy": self.policy,
            "quorum": self.quorum,
        }

    @property
    def asker(self) -> str:
        """Who asks, in words."""
        return "the contract" if self.policy == CONTRACT else f"policy {self.policy!r}"

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Need:
        """Read what `to_json` gave."""
        return cls(str(said["policy"]), str(said["digest"]), tuple(map(str, said["approvers"])), int(said["quorum"]))


@dataclass(frozen=True, slots=True)
class Vote:
    """The word of one person on a request; whether it counts is asked anew each time.

    ``variables`` is the digest of the session's variables that the contract binds, "" where it binds none.
    ``account`` is when the account of that person was made, in ms since 1970: who is given the id later has not spoken.
    """

    principal: str
    approve: bool
    reason: str
    time_ms: int
    account: int


@dataclass(slots=True, eq=False)
class Request:
    """One request: the call it is for, what it needs, and what became of it so far.

    ``contract`` and ``arguments`` are digests, ``bundle`` that of the policies that asked.
    ``account`` is when the account of the requester was made, in ms since 1970: a later one of the same id is another.
    ``ended`` is how it came to its end, None as long as it has not; ``ended_ms`` when.
    ``durable`` says that it is recorded; before that nobody can decide on it.
    ``host`` is where it was asked for and approved, where that is another host than this one.
    ``key`` is the idempotency key that the caller had given the call, or "".
    ``deciding`` are those whose word is on its way into the record.
    ``sharing`` is held while other hosts are told of it; once it ``is_taken_back`` they are told no more.
    """

    id: str
    tenant: str
    principal: str
    tool: str
    version: str
    contract: str
    arguments: str
    bundle: str
    needs: tuple[Need, ...]
    created_ms: int
    expires_ms: int
    correlation: str = ""
    votes: list[Vote] = field(default_factory=list)
    ended: State | None = None
    ended_ms: int = 0
    durable: bool = False
    is_running: bool = False
    place: int = -1
    key: str = ""
    variables: str = ""
    account: int = -1
    host: str = ""
    deciding: set[str] = field(default_factory=set)
    sharing: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    is_taken_back: bool = False

    @property
    def call(self) -> tuple[str, ...]:
        """What makes two calls the same for an approval."""
        return (
            self.tenant,
            self.principal,
            str(self.account),
            self.tool,
            self.version,
            self.contract,
            self.variables,
            self.arguments,
        )

    @property
    def digest(self) -> str:
        """What an approver confirms: the digest of the call, its caller, and what is asked for."""
        said: dict[str, Any] = {
            "account": self.account,
            "arguments": self.arguments,
            "bundle": self.bundle,
            "contract": self.contract,
            "expires": self.expires_ms,
            "id": self.id,
            "needs": [need.to_json() for need in self.needs],
            "principal": self.principal,
            "tenant": self.tenant,
            "tool": self.tool,
            "version": self.version,
        } | ({"variables": self.variables} if self.variables else {})
        return digest(canonical(said))

    def end(self, how: State, *, now_ms: int) -> None:
        """Bring it to its end."""
        self.ended, self.ended_ms = how, now_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalLimits:
    """How many requests are kept, how large their arguments may be in bytes, and how long one lasts at most.

    Those that ended count for ``kept`` after their end, so that nobody fills the record by asking and withdrawing.
    """

    per_principal: int = 100
    per_tenant: int = 1_000
    in_all: int = 10_000
    argument_bytes: int = 256 * 1024
    longest: timedelta = timedelta(days=30)
    kept: timedelta = timedelta(minutes=10)


def need_of(policy: Policy, *, constants: Mapping[str, Any]) -> Need:
    """What a policy asks for, with a digest of it and of the constants that its condition may read."""
    said: dict[str, Any] = {"constants": dict(constants), "policy": policy.digest}
    return Need(policy.name, digest(canonical(said)), tuple(sorted(policy.approvers)), policy.quorum)
