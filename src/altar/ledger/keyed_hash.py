"""A digest that only who has the key can make: HMAC-SHA-256."""

from __future__ import annotations

from hashlib import sha256

__all__ = ["mac"]

_INNER, _OUTER = (bytes(value ^ pad for value in range(256)) for pad in (0x36, 0x5C))


def mac(key: bytes, message: bytes) -> bytes:
    """Give the HMAC-SHA-256 (RFC 2104) of a message under a key of at most 64 bytes.

    Python's own goes through OpenSSL's table of algorithms at each call, which takes longer than the hashing.
    """
    block = key.ljust(64, b"\x00")
    return sha256(block.translate(_OUTER) + sha256(block.translate(_INNER) + message).digest()).digest()
