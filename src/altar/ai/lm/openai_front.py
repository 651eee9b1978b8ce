"""An OpenAI-compatible address for a model of ours, on loopback.

What comes in: ``POST /v1/chat/completions``, plain or streamed, and ``GET /v1/models``.
What goes out: what a provider of that interface would send, also for failures: status, `Retry-After`, error object.
Everything that speaks to such an interface can be pointed at it: Pydantic-AI, the OpenAI SDKs, DSPy.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from types import TracebackType
from typing import Any, Final, Self

from altar.ai.lm.addresses import ends_at, serves_at
from altar.ai.lm.chat import ChatAnswer, ChatFailure, ChatModel, FailureKind, streamed
from altar.ai.lm.openai_form import Asked, BadRequest, chunks, completion, error_object, request_from

__all__ = ["MAX_BODY_BYTES", "ChatServer"]

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
"""The longest request that is read."""


class ChatServer:
    """Serves one model on ``127.0.0.1`` while it is entered; ``base_url`` is what a client is given.

    ``port`` 0 takes a free one. A client must show ``api_key`` if there is one.
    A failure of the kind ``timeout`` is no answer at all until the client gives up, or the server ends.
    """

    def __init__(self, model: ChatModel, *, port: int = 0, api_key: str = "") -> None:
        self._model = model
        self._ending = threading.Event()
        self._server = _Server(("127.0.0.1", port), model, api_key, self._ending)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="chat-server", daemon=True
        )
        serves_at(self.base_url, lambda: getattr(model, "identity", None))

    @property
    def port(self) -> int:
        """The port that was taken."""
        return int(self._server.server_address[1])

    @property
    def base_url(self) -> str:
        """The address for clients, such as ``http://127.0.0.1:40123/v1``."""
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End: what is under way is cut off."""
        ends_at(self.base_url)
        self._ending.set()
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


_STATUS: dict[FailureKind, int] = {
    "rate_limit": 429,
    "timeout": 504,
    "auth": 401,
    "billing": 402,
    "invalid_request": 400,
    "context_length": 400,
    "unknown_model": 404,
    "server": 500,
}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], model: ChatModel, api_key: str, ending: threading.Event) -> None:
        super().__init__(address, _Handler)
        self.model = model
        self.api_key = api_key
        self.ending = ending

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing about a client that went away."""


class _Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    server: _Server
    timeout = 120  # seconds that a connection may be idle

    def do_GET(self) -> None:
        """Name the model."""
        if not self._may_ask():
            return
        if self.path not in {"/v1/models", "/health"}:
            self._refuse(404, "not_found", f"There is nothing at {self.path!r}.")
            return
        listed = {"id": self.server.model.name, "object": "model", "created": 0, "owned_by": "altar"}
        self._send(200, {"object": "list", "data": [listed]})

    def do_POST(self) -> None:
        """Answer a request for a completion."""
        body = self._body()
        if body is None or not self._may_ask():
            return
        if self.path != "/v1/chat/completions":
            self._refuse(404, "not_found", f"There is nothing at {self.path!r}.")
            return
        try:
            asked = request_from(body)
            if asked.stream:
                self._stream(asked)
            else:
                answer = self.server.model.complete(asked.request)
                self._send(200, completion(answer, model=asked.request.model or self.server.model.name))
        except BadRequest as error:
            self._refuse(400, "invalid_request_error", str(error))
        except ChatFailure as failure:
            self._fail(failure)
        except OSError:
            self.close_connection = True  # the client has gone
        except Exception as error:  # noqa: BLE001 (the edge of a server: what a model raises is its failure)
            self._refuse(500, "server_error", f"{type(error).__name__} in the language model: {error}")

    def log_message(self, format: str, *args: Any) -> None:
        """Write no log: requests hold what people asked."""

    def _body(self) -> bytes | None:
        try:
            length = int(self.headers.get("Content-Length") or "")
        except ValueError:
            length = -1
        if not 0 <= length <= MAX_BODY_BYTES:
            self.close_connection = True
            self._refuse(413, "invalid_request_error", f"A request says its length, at most {MAX_BODY_BYTES} bytes.")
            return None
        return self.rfile.read(length)

    def _may_ask(self) -> bool:
        """Whether the client names this machine (RFC 9110 §7.2, against rebound names) and shows the key."""
        host = (self.headers.get("Host") or "").rpartition(":")[0] or (self.headers.get("Host") or "")
        if host not in {"127.0.0.1", "localhost", "[::1]"} or self.headers.get("Origin"):
            self._refuse(403, "permission_error", "This address serves programs on this machine only.")
            return False
        shown = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if self.server.api_key and not hmac.compare_digest(shown.encode(), self.server.api_key.encode()):
            self._refuse(401, "authentication_error", "The key is missing or wrong.")
            return False
        return True

    def _fail(self, failure: ChatFailure) -> None:
        if failure.kind == "timeout":
            self.server.ending.wait(120)
            self.close_connection = True
            return
        wait = {} if failure.retry_after is None else {"Retry-After": f"{failure.retry_after:g}"}
        self._refuse(_STATUS[failure.kind], failure.kind, failure.message, headers=wait)

    def _refuse(self, status: int, kind: str, message: str, *, headers: dict[str, str] | None = None) -> None:
        self._send(status, error_object(kind, message), headers=headers)

    def _send(self, status: int, document: Any, *, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(document, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, asked: Asked) -> None:
        """Send the answer as it comes; what fails before its first piece is answered as any failure is."""
        name = asked.request.model or self.server.model.name
        steps = streamed(self.server.model, asked.request)
        first = next(steps, ChatAnswer())
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with contextlib.closing(steps):
            for event in _events(chunks(chain([first], steps), model=name, usage=asked.stream_usage)):
                self.wfile.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
                self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")


def _events(documents: Iterator[Any]) -> Iterator[bytes]:
    try:
        for document in documents:
            yield b"data: " + json.dumps(document, ensure_ascii=False).encode() + b"\n\n"
    except ChatFailure as failure:
        yield b"data: " + json.dumps(error_object(failure.kind, failure.message)).encode() + b"\n\n"
    yield b"data: [DONE]\n\n"
