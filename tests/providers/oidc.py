"""A real OpenID provider (oidc-provider, on node) on loopback, and a person who signs in there without a browser."""

from __future__ import annotations

import html
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

import httpx

from altar.testing import PATIENCE
from tests.providers.presence import need

__all__ = ["OidcServer", "oidc_server", "person"]

FOLDER = Path(__file__).resolve().parents[2] / ".cache" / "providers"
PROGRAM = Path(__file__).with_name("oidc_provider.mjs")

_FORM = re.compile(r'<form[^>]*action="([^"]+)"')
_HIDDEN = re.compile(r'<input[^>]*type="hidden"[^>]*name="([^"]+)"[^>]*value="([^"]*)"')


class OidcServer:
    """The provider, which can be started again with new keys on the same address."""

    def __init__(self, log: Path) -> None:
        self._log = log
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.issuer = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, with keys it never had before."""
        with self._log.open("a") as errors:
            self._process = subprocess.Popen(
                ["node", str(PROGRAM), str(self.port), str(FOLDER)], stdout=subprocess.PIPE, stderr=errors, text=True
            )
        assert self._process.stdout is not None
        assert any("READY" in line for line in self._process.stdout), self._log.read_text()

    def stop(self) -> None:
        """End it; calling it again does nothing."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(PATIENCE)
            if process.stdout is not None:
                process.stdout.close()


@contextmanager
def oidc_server(folder: Path) -> Iterator[OidcServer]:
    """The provider while the context lasts; skips where it is not installed."""
    need("oidc-provider", FOLDER / "node_modules" / "oidc-provider" / "package.json", *_node())
    server = OidcServer(folder / "oidc.log")
    try:
        server.start()
        yield server
    finally:
        server.stop()


def person(name: str, address: str, *, deliver: bool = True) -> httpx.Response:
    """Go to an address of the provider, fill in whatever form comes, and follow to the end, as a browser would.

    Without ``deliver`` the redirect back to the callback is given and not followed.
    """
    with httpx.Client(trust_env=False, timeout=30) as browser:
        response = browser.get(address)
        for _ in range(20):
            if response.is_redirect:
                if not deliver and "/callback?" in response.headers["location"]:
                    return response
                response = browser.get(urljoin(str(response.request.url), response.headers["location"]))
                continue
            form = _FORM.search(response.text)
            if form is None:
                return response
            fields = {key: html.unescape(value) for key, value in _HIDDEN.findall(response.text)}
            if 'name="login"' in response.text:
                fields |= {"login": name, "password": "any"}
            response = browser.post(urljoin(str(response.request.url), html.unescape(form[1])), data=fields)
        raise AssertionError(f"the sign-in of {name} does not end: {response.text[:500]}")


def _node() -> list[Path]:
    return [] if shutil.which("node") else [Path("node")]
