"""What the author of a tool proposes for its governance, as a member of the contract's metadata.

It binds nobody here: a host with identities reads it from its own manifest, where an operator may say otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from altar.adm.enterprise import ANNOTATION, Governance
from altar.adm.errors import AltarError, DeclarationError

__all__ = ["governance_of"]


def governance_of(
    tool: str,
    governance: Mapping[str, Any] | None,
    *,
    required_roles: Iterable[str],
    required_permissions: Iterable[str],
    classification: str,
) -> dict[str, Any]:
    """The member of the metadata that says so; none when nothing is proposed.

    Raises DeclarationError INVALID_DECLARATION for what is no role, permission or classification.
    """
    said: dict[str, Any] = dict(governance or {})
    for name, words in (("required_roles", required_roles), ("required_permissions", required_permissions)):
        given = [words] if isinstance(words, str) else list(words)
        if given:
            said[name] = given
    if classification:
        said["security_classification"] = classification
    if not said:
        return {}
    try:
        return {ANNOTATION: Governance.from_adm(said).to_adm()}
    except AltarError as wrong:
        raise DeclarationError(
            "INVALID_DECLARATION",
            f"The governance of {tool!r} is not sound: {wrong.message}",
            hint="write required_roles=['cashier'], required_permissions=['pii:read'], classification='CONFIDENTIAL'",
        ) from wrong
