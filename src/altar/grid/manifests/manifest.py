"""The contracts a host trusts: loaded from a file, found by name and version.

The manifest is the source of truth (GRID §2.3, STRICT).
A runtime says "I fulfil X at this version, digest D"; it never says what X is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from altar.adm.canonical import canonical, digest, parse, parse_canonical
from altar.adm.declaration import MAX_DOCUMENT_DEPTH, Annotations, FunctionDeclaration, ToolManifest
from altar.adm.enterprise import Governance, governed
from altar.adm.errors import AltarError, ConfigurationError
from altar.adm.ranges import named
from altar.grid.manifests.weights import Weights
from altar.later.beside import checked_arguments, checked_result
from altar.later.bound_variables import bound_by
from altar.later.contracts import Contracts
from altar.later.invocation import Invocation, Outcome
from altar.later.labels import required_by

__all__ = ["HostContract", "Manifest"]


class HostContract:
    """One function of the manifest, ready to check calls and results against.

    ``annotations`` are those that bind: a contract that a runtime registered (``trusted=False``) states some, and
    none of them counts.
    ``key`` is what runtimes fulfil: name and version, and for a contract of one session that session as well.
    ``governance`` is what the manifest says beside the declaration, None where it says nothing.
    ``requires`` are the labels that a runtime must have; of ``stateful`` ones the calls of a session go to one runtime.
    ``variables`` are the names of the session's variables that it binds, None without any.
    """

    __slots__ = (
        "annotations",
        "declaration",
        "declaration_bytes",
        "digest",
        "governance",
        "idempotent",
        "key",
        "name",
        "read_only",
        "requires",
        "stateful",
        "trusted",
        "variables",
        "version",
    )

    def __init__(
        self,
        declaration: FunctionDeclaration,
        *,
        trusted: bool = True,
        session_id: str = "",
        governance: Governance | None = None,
    ) -> None:
        self.declaration = declaration
        self.governance = governance
        self.name = declaration.name
        self.version = declaration.version
        self.key = (f"{session_id}/{self.name}" if session_id else self.name, self.version)
        self.trusted = trusted
        self.annotations = declaration.annotations if trusted else Annotations()
        self.declaration_bytes = canonical(declaration.to_adm(), max_depth=MAX_DOCUMENT_DEPTH)
        self.digest = digest(self.declaration_bytes)
        self.read_only = self.annotations.read_only
        self.requires = required_by(declaration)
        self.stateful = self.annotations.stateful
        self.idempotent = self.annotations.idempotent or self.read_only
        self.variables = bound_by(declaration)

    def check(self, arguments: bytes) -> None:
        """Step 2: the arguments are canonical JSON and fit the host's own schema, never a runtime's."""
        self.declaration.check_arguments(parse_canonical(arguments))

    def check_beside(self, invocation: Invocation) -> None:
        """Step 2 for a call with blobs, each of which is verified."""
        checked_arguments(self.declaration, invocation)

    def check_result_beside(self, outcome: Outcome) -> None:
        """Step 6 for a result with blobs, each of which is verified."""
        checked_result(self.declaration, outcome)

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

    def __init__(
        self,
        contracts: Iterable[FunctionDeclaration],
        *,
        source: str = "memory",
        metadata: Mapping[str, str] | None = None,
        governance: Mapping[tuple[str, str], Governance] | None = None,
    ) -> None:
        said = governance or {}
        self.source = source
        self._contracts = Contracts(
            HostContract(one, governance=said.get((one.name, one.version))) for one in contracts
        )
        self.weights = Weights.of(metadata or {}, self._contracts)

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
            document: Any = parse(text, max_depth=MAX_DOCUMENT_DEPTH)
        except AltarError as broken:
            raise _not_valid(str(path), broken) from broken
        return cls.of(document, source=str(path))

    @classmethod
    def of(cls, document: Mapping[str, Any], *, source: str) -> Manifest:
        """The manifest of an ADM document; ``source`` names it in errors.

        Raises ConfigurationError INVALID_CONFIG when the document is not one.
        """
        try:
            manifest = ToolManifest.from_adm(document)
        except AltarError as broken:
            raise _not_valid(source, broken) from broken
        declarations = [function for contract in manifest.contracts for function in contract.function_declarations]
        try:
            governance = {key: held for contract in manifest.contracts for key, held in governed(contract).items()}
            return cls(declarations, source=source, metadata=manifest.global_metadata, governance=governance)
        except AltarError as broken:
            raise _not_valid(source, broken) from broken

    def only(self, wanted: Callable[[HostContract], bool]) -> Manifest:
        """A manifest of those contracts for which ``wanted`` says yes, with the same weights."""
        part = Manifest((), source=self.source)
        part._contracts = Contracts(contract for contract in self if wanted(contract))
        part.weights = self.weights
        return part

    def joined_with(self, more: Iterable[HostContract]) -> Manifest:
        """A manifest of these contracts and ``more``, which take the place of those of the same name and version."""
        joined = Manifest((), source=self.source)
        joined._contracts = Contracts([*self, *more])
        joined.weights = self.weights
        return joined

    def find(self, name: str, asked: str = "") -> HostContract:
        """The contract a call means: the highest version that the version or range asked for admits.

        Raises ValidationError UNSUPPORTED_TOOL or, saying what there is, VERSION_MISMATCH.
        """
        return self._contracts.find(name, asked)

    def get(self, name: str, version: str) -> HostContract | None:
        """The contract of exactly that name and version, or None."""
        return self._contracts.get(name, version)

    def get_any(self, name: str) -> HostContract | None:
        """Some contract of that name, in whatever version; None when there is none."""
        return next(iter(self._contracts.versions(name)), None)

    def choose(self, tools: Iterable[str]) -> Contracts[HostContract]:
        """The contracts that ``tools`` allow, each a name or ``name@range``; all for none."""
        return self._contracts.choose(tools)

    def part(self, tools: Iterable[str], more: Iterable[HostContract] = ()) -> Contracts[HostContract]:
        """As :meth:`choose`, but tools that are not here are left out; ``more`` take the place of what they are named.

        All contracts for no ``tools``; none where nothing of what they ask for is here.
        """
        asked = list(tools)
        here = [tool for tool in asked if self._contracts.look(*named(tool)) is not None]
        part = self._contracts.choose(here) if here or not asked else Contracts[HostContract]()
        for contract in more:
            part.add(contract)
        return part

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


def _not_valid(source: str, broken: AltarError) -> ConfigurationError:
    where = f" at {broken.path!r}" if broken.path else ""
    return ConfigurationError(
        "INVALID_CONFIG",
        f"The manifest {source!r} is not valid{where}: {broken.message}",
        hint="`altar manifest build MODULE -o manifest.json` writes a manifest",
    )
