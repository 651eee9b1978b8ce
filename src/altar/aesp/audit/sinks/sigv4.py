"""AWS Signature Version 4 for requests to an object store, whose payload is hashed.

The steps and their names are those of "Authenticating Requests: Using the Authorization Header (AWS Signature Version
4)" in Amazon's reference for S3; the tests hold the examples published there.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

__all__ = ["Credentials", "signed_headers"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key, its secret, and the region it is used in."""

    access_key: str
    secret_key: str = field(repr=False)
    region: str


def signed_headers(
    method: str,
    *,
    host: str,
    path: str,
    query: Sequence[tuple[str, str]] = (),
    headers: Mapping[str, str],
    payload: bytes,
    credentials: Credentials,
    now: datetime,
) -> dict[str, str]:
    """Give the headers of a request with those that sign it: host, date, digest of the payload, authorization.

    `path` is not yet quoted; all of `headers` are signed.
    """
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(payload).hexdigest()
    given = {**headers, "host": host, "x-amz-content-sha256": digest, "x-amz-date": stamp}
    canonical = sorted((name.lower(), " ".join(value.split())) for name, value in given.items())
    names = ";".join(name for name, _ in canonical)
    request = "\n".join(
        (
            method,
            quote(path, safe="/-_.~"),
            "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in sorted(query)),
            "".join(f"{name}:{value}\n" for name, value in canonical),
            names,
            digest,
        )
    )
    scope = f"{stamp[:8]}/{credentials.region}/s3/aws4_request"
    text = "\n".join(("AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest()))
    signature = hmac.new(_signing_key(credentials, stamp[:8]), text.encode(), hashlib.sha256).hexdigest()
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope},SignedHeaders={names},Signature={signature}"
    )
    return {**given, "Authorization": authorization}


def _signing_key(credentials: Credentials, day: str) -> bytes:
    key = f"AWS4{credentials.secret_key}".encode()
    for part in (day, credentials.region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
