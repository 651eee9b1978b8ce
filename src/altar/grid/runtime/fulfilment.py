"""What a runtime says of its contracts: which of the host's it fulfils and, in DEVELOPMENT, which it brings itself.

Said at the beginning of each connection, and again whenever the host offers other contracts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from altar._proto.altar.grid.v1 import runtime_pb2
from altar.adm.canonical import canonical
from altar.adm.declaration import MAX_DOCUMENT_DEPTH
from altar.adm.errors import ConfigurationError
from altar.grid import wire

if TYPE_CHECKING:
    from altar._proto.altar.grid.v1 import call_pb2
    from altar.later.registry import Registry

__all__ = ["Fulfilment"]

_log = logging.getLogger("altar.grid")


class Fulfilment:
    """The contracts of one connection, on the side of the runtime.

    ``register`` brings what the host does not have; ``session_id`` fulfils and registers for that session only.
    """

    def __init__(self, registry: Registry, *, register: bool = False, session_id: str = "") -> None:
        self.serves: list[str] = []
        self._registry = registry
        self._register = register
        self._session_id = session_id
        self._rejected: list[runtime_pb2.RejectedTool] = []
        self._due: set[str] = set()

    def first(self) -> runtime_pb2.AttachRequest:
        """What goes with the announcement: all that is fulfilled, or nothing yet for who registers what is lacking."""
        if self._register:
            return runtime_pb2.AttachRequest()
        self._due = {"fulfilled"}
        return runtime_pb2.AttachRequest(fulfill=self._fulfill())

    def announced(self, told: runtime_pb2.AnnounceRuntimeResponse) -> runtime_pb2.AttachRequest | None:
        """What is to be said now that the host has said what it has."""
        return self.answer(told.available_contracts) if self._register else None

    def answer(self, offered: Iterable[call_pb2.ContractRef]) -> runtime_pb2.AttachRequest:
        """What is to be said to a host with these contracts: what is fulfilled and, if wanted, what it lacks."""
        if not self._register:
            return runtime_pb2.AttachRequest(fulfill=self._fulfill())
        there = {(ref.name, ref.version) for ref in offered}
        said = runtime_pb2.AttachRequest(fulfill=self._fulfill(there))
        self._due = {"fulfilled"}
        lacking = [tool for tool in self._registry.tools() if (tool.name, tool.version) not in there]
        if lacking:
            self._due.add("registered")
            said.register.session_id = self._session_id
            for tool in lacking:
                document = tool.declaration.to_adm()
                said.register.declarations.append(canonical(document, max_depth=MAX_DOCUMENT_DEPTH))
        return said

    def heard(self, frame: runtime_pb2.AttachResponse) -> None:
        """Take the answers of the host; what it refused is said in the log and not asked for again by itself."""
        if frame.HasField("registered"):
            self._due.discard("registered")
            self._keep(frame.registered.accepted, frame.registered.rejected)
        if frame.HasField("fulfilled"):
            self._due.discard("fulfilled")
            self._keep(frame.fulfilled.fulfilled, frame.fulfilled.rejected)

    @property
    def is_settled(self) -> bool:
        """Whether the host has answered to everything."""
        return not self._due

    def require_some(self) -> None:
        """Raise ConfigurationError INVALID_CONFIG, with the first reason, when the host has refused everything."""
        if self._rejected and not self.serves:
            first = wire.error_from_wire(self._rejected[0].error)
            raise ConfigurationError("INVALID_CONFIG", first.message, hint=first.hint)

    def _fulfill(self, there: set[tuple[str, str]] | None = None) -> runtime_pb2.FulfillTools:
        fulfill = runtime_pb2.FulfillTools(session_id=self._session_id)
        for tool in self._registry.tools():
            if there is None or (tool.name, tool.version) in there:
                fulfill.contracts.add(name=tool.name, version=tool.version, digest=wire.digest_to_wire(tool.digest))
        return fulfill

    def _keep(self, accepted: Iterable[call_pb2.ContractRef], rejected: Iterable[runtime_pb2.RejectedTool]) -> None:
        self.serves += [ref.name for ref in accepted if ref.name not in self.serves]
        for refused in rejected:
            self._rejected.append(refused)
            error = wire.error_from_wire(refused.error)
            _log.error("tool refused by the host", extra={"tool": refused.contract.name, "reason": error.message})
