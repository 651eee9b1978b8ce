"""Signing in by SAML from the command line: a browser is sent to the host, and comes back to loopback with a code.

The assertion stays between the browser and the host; this program gets a code, worth nothing without its verifier.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable
from urllib.parse import quote, urlencode

from altar.aesp.identity.loopback import redirected

__all__ = ["by_saml"]


async def by_saml(web: str, provider: str, *, open_page: Callable[[str], object], seconds: float = 300.0) -> str:
    """Let a person sign in at a SAML provider of the host at ``web``; give the token to show to that host, once.

    Raises INVALID_CREDENTIALS when nobody comes back within ``seconds``.
    """
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()

    def page(callback: str) -> None:
        asked = {"redirect": callback, "challenge": challenge, "state": state}
        open_page(f"{web.rstrip('/')}/saml/{quote(provider, safe='')}/login?{urlencode(asked)}")

    def is_ours(query: dict[str, str]) -> bool:
        return secrets.compare_digest(query.get("state", "").encode(), state.encode()) and bool(query.get("code"))

    answer = await redirected(page, wanted=lambda query: is_ours(dict(query)), seconds=seconds)
    return f"{answer.query['code']}.{verifier}"
