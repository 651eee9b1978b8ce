"""The signature of requests to object stores, by the examples in Amazon's reference for S3.

"Examples: Signature Calculations", in "Authenticating Requests: Using the Authorization Header".
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from altar.aesp.audit.sinks.sigv4 import Credentials, signed_headers

EXAMPLE = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1")
NOW = datetime(2013, 5, 24, tzinfo=UTC)

CASES = [
    pytest.param(
        ("GET", "/test.txt", (), {"range": "bytes=0-9"}, b""),
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        id="GET object",
    ),
    pytest.param(
        (
            "PUT",
            "/test$file.text",
            (),
            {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
            b"Welcome to Amazon S3.",
        ),
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        id="PUT object",
    ),
    pytest.param(
        ("GET", "/", (("lifecycle", ""),), {}, b""),
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        id="GET bucket lifecycle",
    ),
    pytest.param(
        ("GET", "/", (("prefix", "J"), ("max-keys", "2")), {}, b""),
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        id="GET bucket (list objects)",
    ),
]


@pytest.mark.parametrize(("request_", "signature"), CASES)
def test_a_published_example_has_its_published_signature(
    request_: tuple[str, str, tuple[tuple[str, str], ...], dict[str, str], bytes], signature: str
) -> None:
    method, path, query, headers, payload = request_

    signed = signed_headers(
        method,
        host="examplebucket.s3.amazonaws.com",
        path=path,
        query=query,
        headers=headers,
        payload=payload,
        credentials=EXAMPLE,
        now=NOW,
    )

    assert signed["Authorization"].endswith(f"Signature={signature}")


def test_the_secret_is_not_shown() -> None:
    assert "wJalr" not in repr(EXAMPLE)
