"""Errors as a status of gRPC and of HTTP, and a status as an error: the one table, both ways.

A refused request of gRPC carries the status of its code, and the whole error beside it in trailing metadata.
An HTTP answer carries the status of its code, and the error as its body.
What comes from something between the two sides has a status and nothing else; `altar.adm.statuses` says what that
means.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from altar._proto.altar.adm.v1 import adm_pb2
from altar.adm.call import ErrorObject
from altar.adm.codes import CODES
from altar.adm.errors import AltarError, Ran, error_of
from altar.adm.statuses import STATUSES
from altar.grid import wire

if TYPE_CHECKING:
    import grpc.aio

__all__ = ["HttpAnswer", "abort", "error_of_http", "error_of_rpc", "error_of_status", "http_answer"]

ERROR_KEY: Final = "altar-error-bin"
"""Trailing metadata that holds the error, as an `altar.adm.v1.ErrorObject`."""

MOST_BYTES: Final = 4 * 1024
"""Bytes of that at most: who receives it may refuse a call whose metadata are larger than 8 KiB."""

_LONGEST_DETAILS = 1_000
_CODE = re.compile(r"(?P<words>.*) \((?P<code>[A-Z_]+)\)\Z", re.DOTALL)


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: AltarError) -> NoReturn:
    """End a request of gRPC with the status of an error; `error_of_rpc` gives that error back on the other side."""
    import grpc

    target = adm_pb2.ErrorObject()
    wire.error_to_wire(target, error)
    encoded = target.SerializeToString()
    details = f"{error.message[:_LONGEST_DETAILS]} ({error.code})"
    trailing = ((ERROR_KEY, encoded),) if len(encoded) <= MOST_BYTES else ()
    await context.abort(grpc.StatusCode[CODES[error.code].grpc_status], details, trailing)
    raise error


def error_of_rpc(failed: grpc.aio.AioRpcError, *, ran: Ran = "unknown") -> AltarError:
    """The error behind a request of gRPC that failed.

    That is the one the other side sent, where it did; else what its status means, with `ran` as the caller knows it.
    """
    for key, value in failed.trailing_metadata() or ():
        if key == ERROR_KEY and isinstance(value, bytes) and len(value) <= MOST_BYTES:
            try:
                return wire.error_from_wire(adm_pb2.ErrorObject.FromString(value))
            except ValueError:  # DecodeError is one; the status still says something
                break
    return error_of_status(failed.code().name, failed.details() or "", ran=ran)


def error_of_status(status: str, details: str = "", *, ran: Ran = "unknown") -> AltarError:
    """The error for a status of gRPC, by its name, and the words that came with it.

    Words that end with a code of ours, in brackets, are an error of ours.
    """
    said = _CODE.match(details)
    if said is not None and said["code"] in CODES and CODES[said["code"]].grpc_status == status:
        return error_of(said["code"], said["words"] or CODES[said["code"]].meaning, ran=ran)
    row = STATUSES.get(status, STATUSES["UNKNOWN"])
    code = row.code
    if status == "RESOURCE_EXHAUSTED" and "larger than max" in details:
        code = "MESSAGE_TOO_LARGE"
    info = CODES[code]
    meaning = row.meaning if code == row.code else info.meaning
    return error_of(code, meaning, ran=ran, hint=info.remedy, detail=f"gRPC {status}: {details[:_LONGEST_DETAILS]}")


# ------------------------------------------------------------------------------------------------------------- HTTP


class HttpAnswer(NamedTuple):
    """An answer of HTTP: its status, its headers, and its body."""

    status: int
    headers: dict[str, str]
    body: bytes


def http_answer(error: AltarError) -> HttpAnswer:
    """An error as an answer of HTTP: `{"error": …}` with the members of an ADM ErrorObject, never the detail.

    `Retry-After` (RFC 9110 §10.2.3) is in whole seconds, rounded up.
    """
    headers = {"Content-Type": "application/json"}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(0, math.ceil(error.retry_after.total_seconds())))
    body = json.dumps({"error": ErrorObject.of(error).to_adm()}).encode()
    return HttpAnswer(CODES[error.code].http_status, headers, body)


def error_of_http(status: int, body: bytes = b"", *, ran: Ran = "unknown") -> AltarError:
    """The error behind an answer of HTTP: the one in its body, or else what its status means."""
    told = _error_in(body)
    if told is not None:
        return told
    code = _HTTP.get(status) or ("INTERNAL" if status >= 500 else "PROTOCOL_VIOLATION")
    info = CODES[code]
    return error_of(code, f"{info.meaning} (HTTP {status})", ran=ran, hint=info.remedy)


_HTTP: Final = {
    400: "MALFORMED_REQUEST",
    401: "INVALID_CREDENTIALS",
    403: "PERMISSION_DENIED",
    408: "NETWORK_TIMEOUT",
    413: "MESSAGE_TOO_LARGE",
    429: "RESOURCE_EXHAUSTED",
    495: "TLS_HANDSHAKE_FAILED",
    501: "FEATURE_UNAVAILABLE",
    502: "CONNECTION_FAILED",
    503: "CONNECTION_FAILED",
    504: "NETWORK_TIMEOUT",
}
"""What a status of HTTP means when no error of ours is in the body."""


def _error_in(body: bytes) -> AltarError | None:
    try:
        document = json.loads(body)
    except ValueError:
        return None
    error, _defects = ErrorObject.read(document.get("error") if isinstance(document, dict) else None, mode="lenient")
    if error is None or error.type not in CODES:
        return None
    return error.to_error()
