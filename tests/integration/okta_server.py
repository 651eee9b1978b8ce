"""A small HTTP server that speaks the documented shapes of Okta's users and groups API: pages, limits, search."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

__all__ = ["Okta", "okta"]

TOKEN = "00abcdefghijk"


@dataclass
class Okta:
    """What the server has, and what was asked of it."""

    address: str = ""
    users: list[dict[str, Any]] = field(default_factory=list)
    groups: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    members_updated: str = "2026-01-01T00:00:00.000Z"
    limited: int = 0
    page: int = 2
    next_host: str = ""
    asked: list[str] = field(default_factory=list)

    def add(self, id: str, login: str, *, status: str = "ACTIVE", updated: str = "2026-01-01T00:00:00.000Z") -> None:
        """Add a user as Okta writes one."""
        profile = {"login": login, "email": login, "firstName": login.title(), "lastName": "X"}
        self.users.append({"id": id, "status": status, "lastUpdated": updated, "profile": profile})


@contextmanager
def okta() -> Iterator[Okta]:
    """Serve on loopback while the block lasts."""
    state = Okta()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            state.asked.append(self.path)
            if self.headers.get("authorization") != f"SSWS {TOKEN}":
                return self.answer(401, {"errorCode": "E0000011"})
            if state.limited > 0:
                state.limited -= 1
                return self.answer(429, {"errorCode": "E0000047"}, {"X-Rate-Limit-Reset": "1"})
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            found = rows(state, parts.path, query)
            if found is None:
                return self.answer(404, {"errorCode": "E0000007"})
            start = int(query.get("after", 0))
            headers = {}
            if start + state.page < len(found):
                host = state.next_host or state.address
                rest = re.sub(r"&?after=\d+", "", parts.query)
                headers["Link"] = (
                    f'<{state.address}{self.path}>; rel="self", '
                    f'<{host}{parts.path}?{rest}&after={start + state.page}>; rel="next"'
                )
            return self.answer(200, found[start : start + state.page], headers)

        def answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def rows(state: Okta, path: str, query: dict[str, str]) -> list[dict[str, Any]] | None:
    """What a path lists; None for one that is not there."""
    if path == "/api/v1/users":
        since = re.fullmatch(r'lastUpdated ge "(.+)"', query.get("search", ""))
        alive = [user for user in state.users if user["status"] != "DEPROVISIONED"]  # as Okta's default listing
        return alive if since is None else [user for user in state.users if user["lastUpdated"] >= since.group(1)]
    if path == "/api/v1/groups":
        return [
            {"id": id, "profile": {"name": name}, "lastMembershipUpdated": state.members_updated}
            for id, (name, _) in state.groups.items()
        ]
    found = re.fullmatch(r"/api/v1/groups/([^/]+)/users", path)
    if found is None or found.group(1) not in state.groups:
        return None
    members = state.groups[found.group(1)][1]
    return [user for user in state.users if user["id"] in members]
