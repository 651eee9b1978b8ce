"""The contracts a host trusts: loaded from a file, found by name and version.

The manifest is the source of truth (GRID §2.3, STRICT).
A runtime says "I fulfil X at this version, digest D"; it never says what X is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from altar.adm.canonical import canonical, digest, parse, parse_canonical
from altar.adm.declaration import FunctionDeclaration, ToolManifest
from altar.adm.errors import AltarError, ConfigurationError
from altar.later.contracts import Contracts

__all__ = ["HostContract", "Manifest"]


class HostContract:
    """One function of the manifest, ready to check calls and results against."""

    __slots__ = ("declaration", "declaration_bytes", "digest", "idempotent", "name", "version")

    def __init__(self, declaration: FunctionDeclaration) -> None:
        self.declaration = declaration
        self.name = declaration.name
        self.version = declaration.version
        self.declaration_bytes = canonical(declaration.to_adm())
        self.digest = digest(self.declaration_bytes)
        self.idempotent = declaration.annotations.idempotent or declaration.annotations.read_only

    def check(self, arguments: bytes) -> None:
        """Step 2: the arguments are canonical JSON and fit the host's own schema, never a runtime's."""
        self.declaration.check_arguments(parse_canonical(arguments))

    def check_result(self, content: bytes) -> None:
        """Step 6: the result is canonical JSON and what the contract promised."""
        try:
            value = parse_canonical(content)
        except AltarError as broken:
            broken.ran = "yes"
            raise
        self.declaration.check_result(value)


class Manifest:
    """Contracts by name and version, several versions of a name side by side.

    Immutable; a new one replaces it as a whole.
    """

    def __init__(self, contracts: Iterable[FunctionDeclaration], *, source: str = "memory") -> None:
        self.source = source
        self._contracts = Contracts(map(HostContract, contracts))

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read an ADM ToolManifest (§4.6) from a file.

        Raises ConfigurationError MISSING_MANIFEST when there is none, INVALID_CONFIG when it is not one.
        """
        try:
            text = path.read_bytes()
        except OSError as missing:
            raise ConfigurationError(
                "MISSING_MANIFEST",
                f"The manifest {str(path)!r} cannot be read: {missing.strerror}",
                hint="`altar manifest build MODULE -o manifest.json` writes one",
            ) from missing
        try:
            document: Any = parse(text)
            manifest = ToolManifest.from_adm(document)
        except AltarError as broken:
            where = f" at {broken.path!r}" if broken.path else ""
            raise ConfigurationError(
                "INVALID_CONFIG",
                f"The manifest {str(path)!r} is not valid{where}: {broken.message}",
                hint="`altar manifest build MODULE -o manifest.json` writes a manifest",
            ) from broken
        declarations = [function for contract in manifest.contracts for function in contract.function_declarations]
        return cls(declarations, source=str(path))

    def find(self, name: str, asked: str = "") -> HostContract:
        """The contract a call means: the highest version that the version or range asked for admits.

        Raises ValidationError UNSUPPORTED_TOOL or, saying what there is, VERSION_MISMATCH.
        """
        return self._contracts.find(name, asked)

    def get(self, name: str, version: str) -> HostContract | None:
        """The contract of exactly that name and version, or None."""
        return self._contracts.get(name, version)

    def choose(self, tools: Iterable[str]) -> Contracts[HostContract]:
        """The contracts that ``tools`` allow, each a name or ``name@range``; all for none."""
        return self._contracts.choose(tools)

    @property
    def digest(self) -> str:
        """One digest over all contracts: it changes when any of them does."""
        return digest("\n".join(sorted(contract.digest for contract in self)).encode())

    @property
    def names(self) -> list[str]:
        """Names of all tools, sorted."""
        return self._contracts.names

    def __iter__(self) -> Iterator[HostContract]:
        return iter(self._contracts)
