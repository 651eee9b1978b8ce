"""Two small values that travel beside calls: `SecurityContext` and `ToolConfig`.

In: ADM documents.
Out: immutable values and their documents.
A security context belongs to a session or an envelope, never to a function call (ADM decision D28); what it
says is a claim until somebody has verified it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from altar.adm.defect import Defect
from altar.adm.reader import Members, Mode, Structure, Version


@dataclass(frozen=True, slots=True)
class SecurityContext(Structure):
    """Who asks, for which tenant, with which claims; ids are not blank, claims map text to text."""

    principal_id: str
    tenant_id: str
    claims: Mapping[str, str] = field(default_factory=dict)
    extensions: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(
        cls, document: object, *, version: Version = "1.1", mode: Mode = "strict"
    ) -> tuple[Self | None, list[Defect]]:
        """Return the context of a document, or None and everything that is wrong with it."""
        members = Members(document, what="A security context", mode=mode)
        principal = members.text("principal_id", required=True)
        tenant = members.text("tenant_id", required=True)
        claims = members.strings("claims")
        extensions = members.extensions()
        if members.found or principal is None or tenant is None:
            return None, members.found
        return cls(principal, tenant, claims, extensions), []

    def to_adm(self) -> dict[str, Any]:
        """Return the ADM document; empty claims are left out."""
        document: dict[str, Any] = {"principal_id": self.principal_id, "tenant_id": self.tenant_id}
        if self.claims:
            document["claims"] = dict(self.claims)
        return document | dict(self.extensions)


class ToolMode(StrEnum):
    """Whether a model may, must or must not call a function."""

    AUTO = "AUTO"
    ANY = "ANY"
    NONE = "NONE"


@dataclass(frozen=True, slots=True)
class ToolConfig(Structure):
    """Which functions a model may call; no names means all of them, and NONE takes no names.

    A lenient reader takes a mode of a newer peer for NONE, so that nothing is called that was not meant.
    """

    mode: ToolMode
    function_names: tuple[str, ...] = ()
    extensions: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(
        cls, document: object, *, version: Version = "1.1", mode: Mode = "strict"
    ) -> tuple[Self | None, list[Defect]]:
        """Return the configuration of a document, or None and everything that is wrong with it."""
        members = Members(document, what="A tool configuration", mode=mode)
        chosen = members.one_of("mode", tuple(ToolMode), required=True, otherwise=ToolMode.NONE)
        names = members.function_names("function_names")
        if members.members.get("mode") == "NONE" and names:
            members.say("FORBIDDEN", "The mode NONE takes no `function_names`", "function_names")
        extensions = members.extensions()
        if members.found or chosen is None:
            return None, members.found
        return cls(ToolMode(chosen), names, extensions), []

    def to_adm(self) -> dict[str, Any]:
        """Return the ADM document; no names are left out."""
        document: dict[str, Any] = {"mode": self.mode.value}
        if self.function_names:
            document["function_names"] = list(self.function_names)
        return document | dict(self.extensions)
