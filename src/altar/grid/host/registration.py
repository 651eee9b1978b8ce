"""DEVELOPMENT only: contracts that runtimes bring themselves (GRID §4.4, §5.3).

A contract is registered for all sessions or for one, and is gone when the last runtime that brought it has left.
It never takes the place of another contract of the same name and version, and nothing that it promises of itself binds:
it is treated as neither idempotent nor read-only.
What its author proposes for its governance holds, because that only asks for more: roles, permissions, an approval.
Of several that come together the valid ones are registered, and each of the others is answered with its own error.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from altar.adm.canonical import parse
from altar.adm.declaration import MAX_DOCUMENT_DEPTH, FunctionDeclaration
from altar.adm.enterprise import proposed
from altar.adm.errors import AltarError, AuthorizationError, ConfigurationError, ExecutionError, ValidationError
from altar.grid.manifests.manifest import HostContract

if TYPE_CHECKING:
    from altar.grid.host.runtimes import AttachedRuntime, RuntimeSource
    from altar.grid.host.session_gate import SessionGate
    from altar.grid.host.sessions import Sessions
    from altar.grid.manifests.manifest import Manifest

__all__ = [
    "MAX_BYTES",
    "MAX_DECLARATION_BYTES",
    "MAX_FOR_ALL",
    "MAX_PER_SESSION",
    "Offering",
    "Registered",
    "Registrations",
]

_log = logging.getLogger("altar.grid")

MAX_PER_SESSION: Final = 50
"""Most contracts that may be registered for one session."""
MAX_FOR_ALL: Final = 1000
"""Most contracts that may be registered for all sessions of a host."""
MAX_DECLARATION_BYTES: Final = 256 * 1024
"""The largest declaration that is registered."""
_MOST_NOTED: Final = 64
"""Refusals of one frame that are recorded one by one; the rest is one count."""
_LONGEST_NAME: Final = 128
MAX_BYTES: Final = 16 * 1024 * 1024
"""Bytes of declarations that a host keeps for runtimes, over all sessions."""


class Offering(Protocol):
    """A host, as far as it offers contracts."""

    manifest: Manifest
    sessions: Sessions
    runtimes: RuntimeSource
    gate: SessionGate

    def offer(self, manifest: Manifest) -> None:
        """Offer these contracts to clients and runtimes from here on."""
        ...

    def tell_contracts(self, session_id: str) -> None:
        """Tell every stream that contracts of that session have changed."""
        ...


@dataclass(frozen=True, slots=True)
class Registered:
    """What became of one declaration: the contract that is registered, or the error and what could be read of it."""

    contract: HostContract | None
    error: AltarError | None = None
    name: str = ""
    version: str = ""


@dataclass(slots=True)
class _Entry:
    """A registered contract, the session it is for (empty for all), and the runtimes that brought it."""

    contract: HostContract
    session_id: str
    runtimes: set[AttachedRuntime] = field(default_factory=set)


class Registrations:
    """The contracts that runtimes registered at one host; none unless the host is in ``development``."""

    def __init__(self, host: Offering, *, development: bool) -> None:
        self.development = development
        self._host = host
        self._manifest = host.manifest
        self._entries: dict[_Place, _Entry] = {}
        self._bytes = 0

    def register(self, runtime: AttachedRuntime, declarations: Sequence[bytes], session_id: str) -> list[Registered]:
        """Register what is valid of ``declarations`` (JSON of ADM) and let the runtime fulfil it.

        One answer for each, in order. In STRICT each is refused with INCOMPATIBLE_MODE.
        """
        answers = [self._take(runtime, text, session_id) for text in declarations]
        accepted = [answer.contract for answer in answers if answer.contract is not None]
        if accepted:
            self._offer(session_id)
            for contract in accepted:
                self._host.runtimes.grant(runtime, contract)
        self._record(runtime, answers, session_id)
        return answers

    def fulfil(self, runtime: AttachedRuntime, meant: HostContract, session_id: str) -> None:
        """Let the runtime fulfil a contract of the manifest for one session, whose calls go nowhere else then.

        Raises ValidationError INVALID_SESSION, or ExecutionError RESOURCE_EXHAUSTED beyond the bounds.
        """
        contract = self._enter(runtime, meant, session_id)
        self._offer(session_id)
        self._host.runtimes.grant(runtime, contract)

    def release(self, runtime: AttachedRuntime) -> None:
        """A runtime has left, and what only it brought is gone."""
        ended: set[str] = set()
        for place, entry in list(self._entries.items()):
            entry.runtimes.discard(runtime)
            if not entry.runtimes:
                self._forget(place)
                ended.add(entry.session_id)
        for session_id in ended:
            self._offer(session_id)

    def session_ended(self, session_id: str) -> None:
        """A session is over, and what was registered for it alone is gone."""
        if self._entries:
            for place in [place for place in self._entries if place[2] == session_id]:
                self._forget(place)

    def over(self, manifest: Manifest) -> Manifest:
        """A new manifest with what is registered for all; what the manifest says itself is forgotten here."""
        self._manifest = manifest
        gone = set()
        for place, entry in list(self._entries.items()):
            theirs = manifest.get(entry.contract.name, entry.contract.version)
            same = theirs is not None and theirs.digest == entry.contract.digest
            if theirs is not None and same:  # what the manifest says beside the contract may have changed
                entry.contract.governance = theirs.governance
            if (theirs is not None) if not entry.contract.trusted else not same:
                self._forget(place)
                gone |= {entry.contract.key} if entry.session_id else set()
                session = self._host.sessions.look(entry.session_id)
                if session is not None:
                    session.registered = tuple(self._of(entry.session_id))
        if gone:
            self._host.runtimes.revoke(gone)
        return self._joined()

    def _take(self, runtime: AttachedRuntime, text: bytes, session_id: str) -> Registered:
        declaration: FunctionDeclaration | None = None
        try:
            if not self.development:
                raise _strict()
            declaration = _declaration(text)
            offered = HostContract(declaration, trusted=False, governance=proposed(declaration))
            contract = self._enter(runtime, offered, session_id)
        except AltarError as refused:
            name, version = (declaration.name, declaration.version) if declaration is not None else _named(text)
            return Registered(None, refused, name, version)
        return Registered(contract, None, contract.name, contract.version)

    def _enter(self, runtime: AttachedRuntime, contract: HostContract, session_id: str) -> HostContract:
        """Keep the contract, as the manifest's own where it is the same."""
        session = self._host.sessions.look(session_id) if session_id else None
        if session_id and (session is None or runtime.tenant not in {"", session.tenant}):
            raise ValidationError(
                "INVALID_SESSION", "There is no such session", ran="no", hint="register for a session that is open"
            )
        place = (contract.name, contract.version, session_id)
        entry = self._entries.get(place)
        known = entry.contract if entry is not None else self._host.manifest.get(contract.name, contract.version)
        if runtime.tenant and known is None and not session_id:
            raise AuthorizationError(
                "PERMISSION_DENIED",
                "The runtime of a tenant cannot bring contracts for everybody",
                ran="no",
                hint="register them for one session, or with a runtime of the operator",
            )
        if known is not None and known.digest != contract.digest:
            raise ValidationError(
                "VERSION_MISMATCH",
                f"There is another contract of {contract.name!r} at {contract.version} here",
                ran="no",
                hint="give the changed contract a new version",
            )
        if known is not None and known.trusted and not session_id:
            return known
        if entry is None:
            self._require_room(contract, session_id)
            trusted = known is not None and known.trusted
            said = contract.governance if known is None else known.governance
            made = HostContract(contract.declaration, trusted=trusted, session_id=session_id, governance=said)
            entry = self._entries[place] = _Entry(made, session_id)
            self._bytes += len(made.declaration_bytes)
        entry.runtimes.add(runtime)
        return entry.contract

    def _require_room(self, contract: HostContract, session_id: str) -> None:
        limit = MAX_PER_SESSION if session_id else MAX_FOR_ALL
        count = sum(entry.session_id == session_id for entry in self._entries.values())
        if count >= limit:
            raise _too_many(f"{count} tools are registered here already, and the limit is {limit}")
        if self._bytes + len(contract.declaration_bytes) > MAX_BYTES:
            raise _too_many(f"The declarations that are registered here may not be more than {MAX_BYTES} bytes")

    def _forget(self, place: _Place) -> None:
        self._bytes -= len(self._entries.pop(place).contract.declaration_bytes)

    def _offer(self, session_id: str) -> None:
        """Put what is registered into effect, for one session or for all."""
        if not session_id:
            self._host.offer(self._joined())
            return
        session = self._host.sessions.look(session_id)
        if session is not None:
            session.registered = tuple(self._of(session_id))
            session.contracts = None
            self._host.tell_contracts(session_id)

    def _joined(self) -> Manifest:
        return self._manifest.joined_with(self._of(""))

    def _of(self, session_id: str) -> Iterable[HostContract]:
        return [entry.contract for entry in self._entries.values() if entry.session_id == session_id]

    def _record(self, runtime: AttachedRuntime, answers: Iterable[Registered], session_id: str) -> None:
        """What was tried is in the log of calls, and refusals in that of the process as well."""
        where = f"session {session_id[:64]}" if session_id else "all sessions"
        refused = 0
        for answer in answers:
            what = _printable(f"{answer.name}@{answer.version}")
            if answer.error is None:
                self._host.gate.note("tools.registered", runtime.runtime_id, f"{what} for {where}")
                continue
            refused += 1
            if refused > _MOST_NOTED:
                continue
            self._host.gate.note("tools.refused", runtime.runtime_id, f"{what} for {where}: {answer.error.code}")
            facts = {"runtime": runtime.runtime_id, "tool": what, "reason": answer.error.message}
            _log.warning("tool refused", extra=facts)
        if refused > _MOST_NOTED:
            self._host.gate.note("tools.refused", runtime.runtime_id, f"{refused - _MOST_NOTED} more for {where}")


_Place = tuple[str, str, str]
"""Name, version and session."""


def _strict() -> AltarError:
    return ConfigurationError(
        "INCOMPATIBLE_MODE",
        "This host takes contracts from its signed manifest only",
        hint="put the tool into the manifest: `altar promote`; or use a host that runs with --development",
    )


def _declaration(text: bytes) -> FunctionDeclaration:
    if len(text) > MAX_DECLARATION_BYTES:
        raise ValidationError(
            "MALFORMED_REQUEST",
            f"The declaration has {len(text)} bytes and the limit is {MAX_DECLARATION_BYTES}",
            ran="no",
        )
    document = parse(text, max_depth=MAX_DOCUMENT_DEPTH)
    return FunctionDeclaration.from_adm(document)  # type: ignore[arg-type]  # anything but an object is refused


def _too_many(message: str) -> AltarError:
    return ExecutionError(
        "RESOURCE_EXHAUSTED", message, ran="no", hint="register fewer, or end runtimes that are not used"
    )


def _named(text: bytes) -> tuple[str, str]:
    """What a document that is no declaration calls itself, as far as that can be read."""
    try:
        document = parse(text[:MAX_DECLARATION_BYTES], max_depth=MAX_DOCUMENT_DEPTH)
    except AltarError:
        return "", ""
    members = document if isinstance(document, dict) else {}
    return str(members.get("name", ""))[:_LONGEST_NAME], str(members.get("version", ""))[:_LONGEST_NAME]


def _printable(text: str) -> str:
    return "".join(one if one.isascii() and one.isprintable() else "?" for one in text)[: 2 * _LONGEST_NAME]
