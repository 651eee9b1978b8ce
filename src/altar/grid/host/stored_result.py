"""What is kept of the outcome of a call under an idempotency key: bytes that become the same outcome again.

One byte says what follows: ``+`` the canonical JSON of the content, ``-`` the ADM error object, ``!`` the size in bytes
of a content that was too large to be kept.
``*`` is a content with blobs: a line of JSON with the length of the content and, for each blob, its path and length;
then the content and the blobs, one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from altar.adm.blobs import Blob
from altar.adm.call import ErrorObject
from altar.adm.canonical import canonical, parse
from altar.adm.errors import AltarError, Ran, TransportError, error_of
from altar.later.invocation import Outcome

__all__ = ["KEPT_BYTES", "outcome_kept", "outcome_missing", "written"]

KEPT_BYTES = 64 * 1024
"""Most bytes of a content, or of an error, that are kept."""


def written(outcome: Outcome) -> bytes:
    """The bytes to keep for an outcome; of a content beyond `KEPT_BYTES` only that it was so large."""
    if outcome.error is None:
        if outcome.size > KEPT_BYTES:
            return b"!%d" % outcome.size
        return b"+" + outcome.content if outcome.blobs is None else b"*" + _with_blobs(outcome.content, outcome.blobs)
    told = ErrorObject.of(outcome.error)
    body = canonical(told.to_adm())
    return b"-" + (body if len(body) <= KEPT_BYTES else canonical(replace(told, details=None).to_adm()))


def outcome_kept(body: bytes) -> Outcome:
    """The outcome that these bytes were written for.

    A content that was too large becomes MESSAGE_TOO_LARGE with ``ran: yes``: the tool ran, and is not run again.
    """
    kind, rest = body[:1], body[1:]
    if kind == b"+":
        return Outcome(rest)
    if kind == b"*":
        return _outcome_with_blobs(rest)
    if kind == b"-":
        document: Any = parse(rest)
        return Outcome(error=ErrorObject.from_adm(document, mode="lenient").to_error())
    return Outcome(
        error=TransportError(
            "MESSAGE_TOO_LARGE",
            f"The call ran under this idempotency key, and its result of {rest.decode()} bytes was too large to be "
            f"kept: {KEPT_BYTES} bytes are the limit",
            ran="yes",
            hint="let the tool return less, such as where its result is to be found",
        )
    )


def outcome_missing(code: str, ran: str) -> Outcome:
    """What is said of a call whose result is not there, from what its outcome in the log says.

    That is so after a crash of the host in the middle of the call, and for a result that is damaged.
    """
    known: Ran = "yes" if ran == "yes" else "unknown"
    if code in {"", "OUTCOME_UNKNOWN"}:
        what = "what became of it is not known" if code else "its result is not there any more"
        return Outcome(error=_unknown(f"The call was begun under this idempotency key, and {what}", ran=known))
    return Outcome(
        error=error_of(
            code, "The call failed under this idempotency key, and the reason is not there any more", ran=known
        )
    )


def _with_blobs(content: bytes, blobs: Sequence[Blob]) -> bytes:
    lengths: list[Any] = [len(content), *([blob.path, len(blob.data)] for blob in blobs)]
    return b"".join([canonical(lengths), b"\n", content, *(blob.data for blob in blobs)])


def _outcome_with_blobs(body: bytes) -> Outcome:
    line, _, rest = body.partition(b"\n")
    lengths: Any = parse(line)
    end: int = lengths[0]
    content, blobs = rest[:end], list[Blob]()
    for path, length in lengths[1:]:
        blobs.append(Blob(path, rest[end : end + length]))
        end += length
    return Outcome(content, blobs=tuple(blobs))


def _unknown(what: str, *, ran: Ran) -> AltarError:
    return error_of(
        "OUTCOME_UNKNOWN",
        what,
        ran=ran,
        hint="look at the effect of the tool; a new key runs it again",
    )
