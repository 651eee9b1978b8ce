"""The contracts a host trusts: loaded from a file, found by name and version.

The manifest is the source of truth (GRID §2.3, STRICT).
A runtime says "I fulfil X at this version, digest D"; it never says what X is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from altar.adm.canonical import canonical, digest, parse, parse_canonical
from altar.adm.declaration import FunctionDeclaration, ToolManifest
from altar.adm.errors import AltarError, ConfigurationError, ValidationError
from altar.later.registry import unknown_tool

__all__ = ["HostContract", "Manifest", "Version"]


class Version(NamedTuple):
    """A semantic version, comparable."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read ``1.2.3``; raises ValidationError VERSION_MISMATCH for anything else."""
        match = _VERSION.fullmatch(text)
        if match is None:
            raise ValidationError(
                "VERSION_MISMATCH", f"{text!r} is not a version", hint="write major.minor.patch, such as 1.2.0"
            )
        return cls(*(int(part) for part in match.groups()))


_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", re.ASCII)


class HostContract:
    """One function of the manifest, ready to check calls and results against."""

    __slots__ = ("declaration", "declaration_bytes", "digest", "idempotent", "name", "version", "version_key")

    def __init__(self, declaration: FunctionDeclaration) -> None:
        self.declaration = declaration
        self.name = declaration.name
        self.version = declaration.version
        self.version_key = Version.parse(declaration.version)
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
    """Contracts by name and version. Immutable; a new one replaces it as a whole."""

    def __init__(self, contracts: Iterable[FunctionDeclaration], *, source: str = "memory") -> None:
        self.source = source
        self._contracts: dict[str, list[HostContract]] = {}
        for declaration in contracts:
            self._contracts.setdefault(declaration.name, []).append(HostContract(declaration))
        for versions in self._contracts.values():
            versions.sort(key=lambda contract: contract.version_key, reverse=True)

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

    def find(self, name: str, version: str = "") -> HostContract:
        """The contract a call means: the highest version, or exactly the one asked for."""
        versions = self._contracts.get(name)
        if not versions:
            raise unknown_tool(name, self._contracts)
        if not version:
            return versions[0]
        for contract in versions:
            if contract.version == version:
                return contract
        raise ValidationError(
            "VERSION_MISMATCH",
            f"Tool {name!r} has no version {version!r} here",
            ran="no",
            hint="there is " + ", ".join(contract.version for contract in versions),
        )

    def get(self, name: str, version: str) -> HostContract | None:
        """The contract of exactly that name and version, or None."""
        return next((known for known in self._contracts.get(name, ()) if known.version == version), None)

    @property
    def digest(self) -> str:
        """One digest over all contracts: it changes when any of them does."""
        return digest("\n".join(sorted(contract.digest for contract in self)).encode())

    @property
    def names(self) -> list[str]:
        """Names of all tools, sorted."""
        return sorted(self._contracts)

    def __iter__(self) -> Iterator[HostContract]:
        for name in self.names:
            yield from self._contracts[name]
