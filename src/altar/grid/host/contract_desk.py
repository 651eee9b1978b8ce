"""Contracts on the streams of a host: what runtimes fulfil and register, and who is told when contracts change.

A stream is told by an item that is filled in when its frame is written, so that ten changes in a row are one message.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from altar._proto.altar.grid.v1 import host_pb2, runtime_pb2
from altar.adm.errors import AltarError, ValidationError
from altar.grid import wire

if TYPE_CHECKING:
    from altar._proto.altar.grid.v1 import call_pb2
    from altar.grid.host.callers import Caller
    from altar.grid.host.host import Host
    from altar.grid.host.runtimes import AttachedRuntime
    from altar.grid.host.sessions import HostSession
    from altar.grid.manifests.manifest import HostContract

__all__ = ["ClientContracts", "RuntimeContracts", "add_contracts"]

_log = logging.getLogger("altar.grid")

_LONGEST_NAME = 128
MAX_DECLARATIONS = 1000
"""Most declarations that are looked at in one frame of a runtime."""
MAX_FULFILLED = 10_000
"""Most contracts that a runtime may name in one frame as those it fulfils."""

Put = Callable[[Callable[[Any], object]], None]


class RuntimeContracts:
    """One runtime: says what it may fulfil, hears what it fulfils and registers."""

    def __init__(self, host: Host, put: Put) -> None:
        self._host = host
        self._put = put
        self._runtime: AttachedRuntime | None = None
        self._told = True

    def announced(self, runtime: AttachedRuntime, response: runtime_pb2.AnnounceRuntimeResponse) -> None:
        """The runtime is attached: tell it what there is, and from here on what changes."""
        self._runtime = runtime
        response.development = self._host.registrations.development
        for contract in self._host.manifest:
            _refer(response.available_contracts.add(), contract)
        self._host.offered.add(self._tell)

    def take(self, frame: runtime_pb2.AttachRequest) -> None:
        """What the runtime says of contracts in one frame: registrations first, so that it may rely on them."""
        if frame.HasField("register"):
            registered = self._register(frame.register)
            self._put(lambda out: out.registered.CopyFrom(registered) or registered.ByteSize())
        if frame.HasField("fulfill"):
            fulfilled = self._fulfil(frame.fulfill)
            self._put(lambda out: out.fulfilled.CopyFrom(fulfilled) or fulfilled.ByteSize())

    def close(self) -> None:
        """The runtime is gone, and what only it brought with it."""
        self._host.offered.discard(self._tell)
        if self._runtime is not None:
            self._host.registrations.release(self._runtime)

    def _tell(self, session_id: str) -> None:
        if not session_id and self._told:
            self._told = False
            self._put(self._offer)

    def _offer(self, frame: runtime_pb2.AttachResponse) -> int:
        self._told = True
        frame.offered.SetInParent()
        for contract in self._host.manifest:
            _refer(frame.offered.contracts.add(), contract)
        return frame.offered.ByteSize()

    def _fulfil(self, wanted: runtime_pb2.FulfillTools) -> runtime_pb2.FulfillToolsResponse:
        response = runtime_pb2.FulfillToolsResponse()
        if len(wanted.contracts) > MAX_FULFILLED:
            too_many = _too_many("names", len(wanted.contracts), MAX_FULFILLED)
            wire.error_to_wire(response.rejected.add().error, too_many)
            response.status = _status(response.fulfilled, response.rejected)
            return response
        for ref in wanted.contracts:
            ref.name, ref.version = ref.name[:_LONGEST_NAME], ref.version[:_LONGEST_NAME]  # it goes back as it is
            ref.digest = ref.digest[:64]  # longer than any that is right
            try:
                self._fulfil_one(ref, wanted.session_id)
            except AltarError as refused:
                _reject(response.rejected.add(), ref, refused)
            else:
                response.fulfilled.append(ref)
        if response.rejected and self._runtime is not None:
            first = response.rejected[0]
            _log.warning(
                "fulfilment refused",
                extra={
                    "runtime": self._runtime.runtime_id,
                    "tools": len(response.rejected),
                    "tool": first.contract.name,
                    "reason": first.error.message,
                },
            )
        response.status = _status(response.fulfilled, response.rejected)
        return response

    def _fulfil_one(self, ref: call_pb2.ContractRef, session_id: str) -> None:
        if self._runtime is None:
            return
        source = self._host.runtimes
        contract = source.meant(ref.name, ref.version, wire.digest_from_wire(ref.digest))
        if session_id:
            self._host.registrations.fulfil(self._runtime, contract, session_id)
        else:
            source.grant(self._runtime, contract)

    def _register(self, wanted: runtime_pb2.RegisterTools) -> runtime_pb2.RegisterToolsResponse:
        response = runtime_pb2.RegisterToolsResponse()
        if len(wanted.declarations) > MAX_DECLARATIONS:
            too_many = _too_many("registers", len(wanted.declarations), MAX_DECLARATIONS)
            wire.error_to_wire(response.rejected.add().error, too_many)
        elif self._runtime is not None:
            answers = self._host.registrations.register(self._runtime, wanted.declarations, wanted.session_id)
            for answer in answers:
                if answer.contract is not None:
                    _refer(response.accepted.add(), answer.contract)
                elif answer.error is not None:
                    rejected = response.rejected.add()
                    rejected.contract.name, rejected.contract.version = answer.name, answer.version
                    wire.error_to_wire(rejected.error, answer.error)
        response.status = _status(response.accepted, response.rejected)
        return response


class ClientContracts:
    """One client that hears of changes: says the contracts of its sessions anew when they have changed.

    ``sessions`` are the ids of the sessions that its stream has open, and in whose name.
    """

    def __init__(self, host: Host, put: Put, *, sessions: Mapping[str, Caller]) -> None:
        self._host = host
        self._put = put
        self._sessions = sessions
        self._untold: set[str] = set()

    def hear(self) -> None:
        """The client has said that it wants to know."""
        self._host.offered.add(self._tell)

    def close(self) -> None:
        """The client is gone."""
        self._host.offered.discard(self._tell)

    def _tell(self, session_id: str) -> None:
        for changed in (session_id,) if session_id else tuple(self._sessions):
            if changed in self._sessions and changed not in self._untold:
                self._untold.add(changed)
                self._put(lambda frame, changed=changed: self._say(frame, changed))  # type: ignore[misc]  # bound now

    def _say(self, frame: host_pb2.ConnectResponse, session_id: str) -> int:
        self._untold.discard(session_id)
        session, caller = self._host.sessions.look(session_id), self._sessions.get(session_id)
        if session is None or caller is None or session.principal != caller.id:
            return 0
        changed = frame.contracts_changed.add(session_id=session_id)
        add_contracts(changed, self._host, session, caller.who)
        return changed.ByteSize()


def add_contracts(told: host_pb2.SessionCreated, host: Host, session: HostSession, who: Any = None) -> None:
    """Write the contracts of a session that ``who`` may see, in full, into what its client is told."""
    weights = host.manifest.weights
    for contract in host.catalog.contracts_of(session, who):
        weighted = weights is not None and contract.name in weights
        _refer(told.contracts.add(declaration=contract.declaration_bytes, weighted=weighted).ref, contract)


def _refer(ref: call_pb2.ContractRef, contract: HostContract) -> None:
    ref.name, ref.version = contract.name, contract.version
    ref.digest = wire.digest_to_wire(contract.digest)


def _too_many(what: str, count: int, limit: int) -> AltarError:
    message = f"The frame {what} {count} tools and the limit is {limit}"
    return ValidationError("MALFORMED_REQUEST", message, ran="no", hint="send them in several frames")


def _reject(rejected: runtime_pb2.RejectedTool, ref: call_pb2.ContractRef, refused: AltarError) -> None:
    rejected.contract.CopyFrom(ref)
    wire.error_to_wire(rejected.error, refused)


def _status(accepted: Collection[object], rejected: Collection[object]) -> runtime_pb2.FulfillmentStatus:
    if not rejected:
        return runtime_pb2.FULFILLMENT_STATUS_SUCCESS
    return runtime_pb2.FULFILLMENT_STATUS_PARTIAL_SUCCESS if accepted else runtime_pb2.FULFILLMENT_STATUS_FAILURE
