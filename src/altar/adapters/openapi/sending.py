"""The arguments of a call as the parts of an HTTP request, by the rules of OpenAPI for each.

Checked JSON values come in, with where each belongs: path, query, header, cookie or body, and in which style.
A path with its query, headers and a body go out.
What would change the request itself is refused: a step of the path, a line break in a header.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode

from altar.adm.canonical import canonical
from altar.adm.defect import Defect, pointer
from altar.adm.errors import ValidationError
from altar.later.imported_values import plain

__all__ = ["Body", "Parameter", "Request", "Sending"]

_JSON: Final = "application/json"
_FORM: Final = "application/x-www-form-urlencoded"
_MULTIPART: Final = "multipart/form-data"
_RESERVED: Final = ":/?[]@!$'()*,;"
_STEPS: Final = frozenset({".", ".."})
_BETWEEN: Final = re.compile(r"[/\\;]")  # after `;` stand parameters of a step
_NOT_IN_A_HEADER: Final = re.compile(r"[^\t\x20-\x7e\x80-\xff]")


@dataclass(frozen=True, slots=True)
class Parameter:
    """Where one argument goes: ``place`` is path, query, header or cookie; ``name`` what it is called there."""

    key: str
    name: str
    place: str
    style: str
    explode: bool
    reserved: bool = False
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class Body:
    """What the body is made of: one argument, by its ``key``, or all arguments for None; and its media type."""

    key: str | None
    media: str = _JSON
    encoding: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """A path with its query, headers and body, before credentials are added."""

    target: str
    headers: dict[str, str] = field(repr=False)
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sending:
    """How the calls of one operation are sent."""

    method: str
    path: str
    parameters: tuple[Parameter, ...]
    body: Body | None

    def request(self, arguments: Mapping[str, Any]) -> Request:
        """The request for checked arguments.

        Raises INVALID_TOOL_ARGS, ``ran`` no, for a value that no place of a request can hold.
        """
        target, headers, cookies, query = self.path, {"accept": f"{_JSON}, */*;q=0.5"}, [], []
        for parameter in self.parameters:
            value = arguments.get(parameter.key)
            if value is None:  # an argument that is absent or null is not sent: HTTP has no null
                if parameter.place == "path":
                    raise _unfit(parameter.key, "is part of the path, and must have a value")
                continue
            if parameter.place == "path":
                target = target.replace(f"{{{parameter.name}}}", _in_path(parameter, value))
            elif parameter.place == "query":
                query += list(_in_query(parameter, value))
            elif parameter.place == "header":
                headers[parameter.name] = _in_header(parameter, value)
            else:
                cookies.append(f"{parameter.name}={quote(_joined(value, ',', explode=False), safe='')}")
        if cookies:
            headers["cookie"] = "; ".join(cookies)
        _require_same_path(self.path, target, self.parameters)
        content = b""
        if self.body is not None:
            held = arguments if self.body.key is None else arguments.get(self.body.key)
            if self.body.key is None or self.body.key in arguments:
                content, headers["content-type"] = _written(self.body, held)
        return Request(target + ("?" + "&".join(query) if query else ""), headers, content)


# --------------------------------------------------------------------------------------------------------------- path


def _in_path(parameter: Parameter, value: Any) -> str:
    def one(held: Any) -> str:
        return quote(_text(held), safe="")

    if parameter.as_json:
        return quote(canonical(value).decode("utf-8"), safe="")
    joint = {"label": "." if parameter.explode else ",", "matrix": ",", "simple": ","}.get(parameter.style, ",")
    if parameter.style == "matrix":
        name = quote(parameter.name, safe="")
        if parameter.explode and isinstance(value, list):
            return "".join(f";{name}={one(held)}" for held in value)
        if parameter.explode and isinstance(value, Mapping):
            return "".join(f";{one(key)}={one(held)}" for key, held in value.items())
        return f";{name}={_joined(value, joint, explode=False, one=one)}"
    joined = _joined(value, joint, explode=parameter.explode, one=one)
    return f".{joined}" if parameter.style == "label" else joined


def _require_same_path(template: str, target: str, parameters: tuple[Parameter, ...]) -> None:
    """Refuse a value with a step such as `..` in it, or none at all: it would lead elsewhere.

    That holds for what is escaped too: servers, and what stands before them, differ in when they undo that.
    """
    for before, after in zip(template.split("/"), target.split("/"), strict=True):
        if before != after and (not after or not _STEPS.isdisjoint(_BETWEEN.split(unquote(unquote(after))))):
            held = next((one for one in parameters if f"{{{one.name}}}" in before), None)
            raise _unfit(held.key if held else "", "would lead to another place of the server")


# ------------------------------------------------------------------------------------------------------ query, header


def _in_query(parameter: Parameter, value: Any) -> Iterator[str]:
    safe = _RESERVED if parameter.reserved else ""

    def one(held: Any) -> str:
        return quote(_text(held), safe=safe)

    name = quote(parameter.name, safe="")
    if parameter.as_json:
        yield f"{name}={quote(canonical(value).decode('utf-8'), safe='')}"
    elif parameter.style == "deepObject" and isinstance(value, Mapping):
        for path, held in _deep(value):
            yield f"{name}{''.join(f'%5B{one(step)}%5D' for step in path)}={one(held)}"
    elif parameter.explode and isinstance(value, list):
        yield from (f"{name}={one(held)}" for held in value)
    elif parameter.explode and isinstance(value, Mapping):
        yield from (f"{one(key)}={one(held)}" for key, held in value.items() if held is not None)
    else:
        joint = {"spaceDelimited": "%20", "pipeDelimited": "%7C"}.get(parameter.style, ",")
        yield f"{name}={_joined(value, joint, explode=False, one=one)}"


def _deep(value: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, held in value.items():
        if isinstance(held, Mapping):
            yield from _deep(held, (*path, key))
        elif isinstance(held, list):
            yield from (((*path, key), one) for one in held)
        elif held is not None:
            yield (*path, key), held


def _in_header(parameter: Parameter, value: Any) -> str:
    text = json.dumps(value) if parameter.as_json else ""  # with escapes for all beyond ASCII
    text = text or _joined(value, ",", explode=parameter.explode)
    if _NOT_IN_A_HEADER.search(text):
        raise _unfit(parameter.key, "is sent as a header, which takes one line of Latin-1 text")
    return text


def _joined(value: Any, joint: str, *, explode: bool, one: Any = None) -> str:
    """A value as text: lists and objects as their parts, with ``joint`` between them (RFC 6570)."""
    write = one or _text
    if isinstance(value, list):
        return joint.join(write(held) for held in value)
    if isinstance(value, Mapping):
        pairs = [(key, held) for key, held in value.items() if held is not None]
        if explode:
            return joint.join(f"{write(key)}={write(held)}" for key, held in pairs)
        return joint.join(write(part) for pair in pairs for part in pair)
    return str(write(value))


def _text(value: Any) -> str:
    """A plain value as it is written; what is nested deeper, as JSON."""
    return value if isinstance(value, str) else canonical(value).decode("utf-8")


# --------------------------------------------------------------------------------------------------------------- body


def _written(body: Body, value: Any) -> tuple[bytes, str]:
    """The bytes of a body and their media type."""
    if body.media == _FORM:
        return urlencode(list(_fields(value)), quote_via=quote).encode("ascii"), _FORM
    if body.media == _MULTIPART:
        return _parts(value, body)
    if body.media == _JSON or body.media.endswith("+json"):
        return canonical(plain(value)), body.media
    if isinstance(value, bytes):
        return value, body.media
    text = _text(value)
    if body.media.startswith("text/"):
        return text.encode("utf-8"), f"{body.media.partition(';')[0]}; charset=utf-8"
    return _bytes(text), body.media


def _fields(value: Any) -> Iterator[tuple[str, str]]:
    """The members of an object as fields of a form; a list is sent as its items, an object as its members."""
    for key, held in (value if isinstance(value, Mapping) else {"value": value}).items():
        if isinstance(held, list):
            yield from ((key, _text(one)) for one in held)
        elif isinstance(held, Mapping):
            yield from ((key + "".join(f"[{step}]" for step in path), _text(one)) for path, one in _deep(plain(held)))
        elif held is not None:
            yield key, _text(held)


def _parts(value: Any, body: Body) -> tuple[bytes, str]:
    """A form in parts (RFC 7578); what the document calls binary is sent as a file."""
    mark = secrets.token_hex(16)
    written = bytearray()
    for key, held in (value if isinstance(value, Mapping) else {"value": value}).items():
        for one in held if isinstance(held, list) else [held]:
            name = key.replace("\\", "\\\\").replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
            head = f'--{mark}\r\nContent-Disposition: form-data; name="{name}"'
            if isinstance(one, bytes) or key in body.encoding:
                kind = str(body.encoding.get(key, {}).get("contentType", "application/octet-stream"))
                data = one if isinstance(one, bytes) else _bytes(_text(one))
                head += f'; filename="{name}"\r\nContent-Type: {kind}'
            elif isinstance(one, Mapping | list):
                head, data = f"{head}\r\nContent-Type: {_JSON}", canonical(plain(one))
            else:
                data = _text(one).encode("utf-8")
            written += head.encode("utf-8") + b"\r\n\r\n" + data + b"\r\n"
    written += f"--{mark}--\r\n".encode("ascii")
    return bytes(written), f"{_MULTIPART}; boundary={mark}"


def _bytes(text: str) -> bytes:
    """The bytes of base64 text; what is none is sent as it is."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return text.encode("utf-8")


def _unfit(key: str, why: str) -> ValidationError:
    found = Defect(pointer(key) if key else "", "FORBIDDEN", f"Argument `{key}` {why}")
    return ValidationError.from_defects("INVALID_TOOL_ARGS", [found], ran="no")
