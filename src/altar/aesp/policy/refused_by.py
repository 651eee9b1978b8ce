"""Which check of a gate refuses with which code, and what would have had to differ: the one list of them.

Every code that a gate of the tier ADVANCED refuses a call with stands here, so that each refusal in a record can be
explained.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["CHECK_OF", "NEEDED"]

CHECK_OF: Mapping[str, str] = {
    "INVALID_CREDENTIALS": "authenticated",
    "SESSION_EXPIRED": "authenticated",
    "TENANT_SUSPENDED": "active",
    "UNSUPPORTED_TOOL": "visible",
    "VERSION_MISMATCH": "visible",
    "PERMISSION_DENIED": "permitted",
    "INSUFFICIENT_SCOPE": "permitted",
    "NOT_ACTIVE": "permitted",
    "RATE_LIMIT_EXCEEDED": "quota",
    "POLICY_VIOLATION": "policy",
    "POLICY_ERROR": "policy",
    "APPROVAL_PENDING": "approval",
    "APPROVAL_REFUSED": "approval",
    "APPROVAL_VOID": "approval",
    "RESOURCE_EXHAUSTED": "approval",
    "MESSAGE_TOO_LARGE": "approval",
}
"""The name of the check that refuses with a code, as explanations have it."""

_STANDING = "an approval that stands for this call at the moment it is used"

NEEDED: Mapping[str, str] = {
    "INVALID_CREDENTIALS": "a credential that has neither ended nor been revoked, of somebody who is active",
    "SESSION_EXPIRED": "a session that is open: begin another one",
    "TENANT_SUSPENDED": "the tenant would have had to be active",
    "UNSUPPORTED_TOOL": "a role that lets the caller see the tool, or another tool",
    "VERSION_MISMATCH": "a version that the host has",
    "PERMISSION_DENIED": "a role that grants the tool, and every role and permission that its contract requires",
    "INSUFFICIENT_SCOPE": "a token or key that carries the permission",
    "NOT_ACTIVE": "the contract would have had to be ACTIVE, and the host to know who may do what",
    "RATE_LIMIT_EXCEEDED": "a call later, or a larger quota",
    "APPROVAL_PENDING": "the approval that was asked for",
    "APPROVAL_REFUSED": _STANDING,
    "APPROVAL_VOID": _STANDING,
    "RESOURCE_EXHAUSTED": "fewer requests for approval that are open: some must be decided, withdrawn or expire",
    "MESSAGE_TOO_LARGE": "arguments that are short enough to be shown to an approver",
}
"""What would have had to differ for a call to pass; policies say that themselves."""
