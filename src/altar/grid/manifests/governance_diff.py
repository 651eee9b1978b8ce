"""What changed between two manifests in the governance of contracts, beside what changed in the contracts.

A change that keeps callers out who were let in breaks them: another role or permission that is required, or a contract
that is not ACTIVE any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from altar.adm.canonical import canonical
from altar.adm.enterprise import MEMBERS, Governance
from altar.adm.required_approval import RequiredApproval
from altar.grid.manifests.manifest import HostContract, Manifest
from altar.grid.manifests.manifest_diff import Change, Finding

__all__ = ["with_governance"]

_NONE = Governance()


def with_governance(changes: Iterable[Change], old: Manifest, new: Manifest) -> list[Change]:
    """The changes of contracts, and those of their governance; by name and version."""
    joined = {(change.tool, change.before, change.after): change for change in changes}
    for contract in new:
        before = old.get(contract.name, contract.version)
        found = tuple(_findings(before, contract))
        if not found:
            continue
        key = (contract.name, contract.version if before is not None else "", contract.version)
        known = joined.get(key)
        if known is None:
            joined[key] = Change(contract.name, "changed", contract.version, contract.version, found)
        else:
            joined[key] = replace(known, findings=(*known.findings, *found))
    return [joined[key] for key in sorted(joined)]


def _findings(before: HostContract | None, after: HostContract) -> Iterator[Finding]:
    was = (before.governance if before is not None else None) or _NONE
    now = after.governance or _NONE
    is_new = before is None
    for name in MEMBERS:
        old, new = getattr(was, name), getattr(now, name)
        if old == new:
            continue
        if name in {"required_roles", "required_permissions"}:
            what = name.removeprefix("required_").removesuffix("s")
            for added in sorted(set(new) - set(old)):
                yield Finding("contract", "", f"requires the {what} {added} now", breaks=not is_new)
            for gone in sorted(set(old) - set(new)):
                yield Finding("contract", "", f"does not require the {what} {gone} any more", breaks=False)
        elif name == "requires_approval":
            what = "asks for the approval of people" if new is not None else "asks nobody for approval"
            yield Finding("contract", "", f"{what} now{_asked(new)}", breaks=new is not None and not is_new)
        elif name == "approval_status":
            stops = new not in {"", "ACTIVE"} and not is_new
            yield Finding("contract", "", f"is {new or 'without approval'} now", breaks=stops)
        else:
            yield Finding(
                "contract", "", f"says {name} = {_shown(new)} now" if new else f"says no {name} any more", False
            )


def _asked(required: RequiredApproval | None) -> str:
    if required is None:
        return ""
    roles = " or ".join(required.approvers) or "who may approvals:decide"
    return f": {required.quorum} of {roles}, within {required.expires}"


def _shown(value: object) -> str:
    held = list(value) if isinstance(value, tuple) else value
    return canonical(held).decode()  # type: ignore[arg-type]  # members of a Governance are JSON
