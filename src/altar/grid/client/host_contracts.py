"""The contracts that a host told: the catalog of a session on a grid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from altar.adm.canonical import parse
from altar.adm.declaration import MAX_DOCUMENT_DEPTH, FunctionDeclaration
from altar.later.contracts import Contracts, note_deprecated
from altar.later.invocation import Invocation, Outcome

__all__ = ["HostContracts", "RemoteContract"]


@dataclass(frozen=True)
class RemoteContract:
    """A contract as the host told it. It checks nothing: the host does.

    Of a ``weighted`` one the host chooses the version, by the rule of its operator.
    """

    name: str
    version: str
    digest: str
    declaration_bytes: bytes
    weighted: bool = False

    @cached_property
    def declaration(self) -> FunctionDeclaration:
        """The declaration, read as a peer's: members this release does not know are kept and not looked at."""
        document: Any = parse(self.declaration_bytes, max_depth=MAX_DOCUMENT_DEPTH)
        return FunctionDeclaration.from_adm(document, mode="lenient")

    @property
    def is_deprecated(self) -> bool:
        """Whether the host says that the tool will go; read without the schemas, which a call need not understand."""
        document: Any = parse(self.declaration_bytes, max_depth=MAX_DOCUMENT_DEPTH)
        said = document.get("annotations") if isinstance(document, dict) else None
        return isinstance(said, dict) and said.get("deprecated") is True

    def check(self, arguments: bytes) -> None:
        """Left to the host."""

    def check_result(self, content: bytes) -> None:
        """Left to the host."""

    def check_beside(self, invocation: Invocation) -> None:
        """Left to the host."""

    def check_result_beside(self, outcome: Outcome) -> None:
        """Left to the host; that the blobs are what the result refers to is seen when they are put in their places."""


class HostContracts:
    """The catalog of a grid session: the contracts the host told it when it was opened."""

    def __init__(self) -> None:
        self._contracts: Contracts[RemoteContract] = Contracts()
        self._noted: set[str] = set()

    def find(self, invocation: Invocation) -> RemoteContract:
        """The contract of a call, whose exact version and digest go with it; the version not where the host chooses."""
        contract = self._contracts.find(invocation.name, invocation.version)
        invocation.known_digest = contract.digest
        if not contract.weighted:
            invocation.version = contract.version
        if contract.digest not in self._noted:
            self._noted.add(contract.digest)
            if contract.is_deprecated:
                note_deprecated(contract)
        return contract

    def replace(self, contracts: Iterable[RemoteContract]) -> None:
        """Take what the host told at the newest connection."""
        self._contracts = Contracts(contracts)

    def __iter__(self) -> Iterator[RemoteContract]:
        """Every contract of the session, in every version."""
        return iter(self._contracts)

    @property
    def names(self) -> list[str]:
        """Names of the tools, sorted."""
        return self._contracts.names

    def declaration(self, name: str, asked: str = "") -> FunctionDeclaration | None:
        """What the host says a tool is, in the version asked for; None for one that is not in the session."""
        contract = self._contracts.look(name, asked)
        return contract.declaration if contract is not None else None
