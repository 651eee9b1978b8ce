"""What each status of gRPC means when no error code comes with it.

Generated from spec/grpc_status.toml by scripts/generate_codes.py; change that file, not this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class StatusInfo:
    """One row of spec/grpc_status.toml."""

    code: str
    meaning: str


STATUSES: Final[Mapping[str, StatusInfo]] = MappingProxyType(
    {
        "OK": StatusInfo(
            code="CONNECTION_FAILED",
            meaning="The other side ended the stream without a word.",
        ),
        "CANCELLED": StatusInfo(
            code="CONNECTION_FAILED",
            meaning="The stream was reset on its way.",
        ),
        "UNKNOWN": StatusInfo(
            code="INTERNAL",
            meaning="The other side failed and did not say why.",
        ),
        "INVALID_ARGUMENT": StatusInfo(
            code="MALFORMED_REQUEST",
            meaning="The other side cannot read the request.",
        ),
        "DEADLINE_EXCEEDED": StatusInfo(
            code="NETWORK_TIMEOUT",
            meaning="Something between the two sides did not wait any longer.",
        ),
        "NOT_FOUND": StatusInfo(
            code="PROTOCOL_VIOLATION",
            meaning="The other side answered in a way that no host does.",
        ),
        "ALREADY_EXISTS": StatusInfo(
            code="PROTOCOL_VIOLATION",
            meaning="The other side answered in a way that no host does.",
        ),
        "PERMISSION_DENIED": StatusInfo(
            code="PERMISSION_DENIED",
            meaning="The other side does not let this certificate in.",
        ),
        "RESOURCE_EXHAUSTED": StatusInfo(
            code="RESOURCE_EXHAUSTED",
            meaning="The other side has no room for more.",
        ),
        "FAILED_PRECONDITION": StatusInfo(
            code="PROTOCOL_VIOLATION",
            meaning="The other side answered in a way that no host does.",
        ),
        "ABORTED": StatusInfo(
            code="PROTOCOL_VIOLATION",
            meaning="The other side answered in a way that no host does.",
        ),
        "OUT_OF_RANGE": StatusInfo(
            code="PROTOCOL_VIOLATION",
            meaning="The other side answered in a way that no host does.",
        ),
        "UNIMPLEMENTED": StatusInfo(
            code="VERSION_MISMATCH",
            meaning="The other side does not know this service or method: it is older, or no host.",
        ),
        "INTERNAL": StatusInfo(
            code="CONNECTION_FAILED",
            meaning="The stream broke off.",
        ),
        "UNAVAILABLE": StatusInfo(
            code="CONNECTION_FAILED",
            meaning="The other side cannot be reached.",
        ),
        "DATA_LOSS": StatusInfo(
            code="PROTOCOL_VIOLATION",
            meaning="What was sent arrived damaged.",
        ),
        "UNAUTHENTICATED": StatusInfo(
            code="INVALID_CREDENTIALS",
            meaning="The other side does not know who is asking.",
        ),
    }
)
"""What each status of gRPC means when no code comes with it."""
