"""What a policy and a bundle of policies are, and how a bundle is read from TOML.

::

    name = "payments"
    default = "ALLOW"                 # or "DENY": what no policy allows is denied
    record = ["args.amount"]          # arguments that the audit log may hold, when a policy reads them

    [constants]                       # read as constants.limit
    limit = 500

    [[policies]]
    name = "refunds-need-a-person"
    tools = ["payments.refund"]       # patterns as in permissions; all tools when left out
    condition = 'args.amount > constants.limit && !request.has_approval'
    effect = "REQUIRE_APPROVAL"       # or ALLOW, DENY, AUDIT
    approvers = ["finance"]           # roles; without it, whoever has approvals:decide
    quorum = 1
    expires = "1h"
    message = "A refund over 500 needs the approval of finance."

A bundle is read whole or not at all; each error names file and line.
Reading says nothing about types: `altar.aesp.policy.programs` compiles a bundle against contracts.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

from altar.adm.canonical import JsonValue, canonical, digest, parse
from altar.adm.errors import AltarError, ValidationError
from altar.aesp.permissions import Scope, parse_scope
from altar.aesp.policy.cel import MAX_EXPRESSION
from altar.aesp.policy.toml_lines import TomlLines

__all__ = [
    "MAX_BUNDLE_BYTES",
    "MAX_POLICIES",
    "Bundle",
    "Effect",
    "Policy",
    "bundle_of",
    "read_bundle",
]

MAX_BUNDLE_BYTES: Final = 256 * 1024
"""Most bytes of a bundle."""
MAX_POLICIES: Final = 256
"""Most policies of a bundle."""


class Effect(StrEnum):
    """What a policy does with a call for which its condition is true."""

    ALLOW = "ALLOW"
    DENY = "DENY"
    REQUIRE_APPROVAL = "REQUIRE_APPROVAL"
    AUDIT = "AUDIT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One rule: a condition in CEL, and what becomes of a call for which it is true.

    ``tools`` are patterns of names, as in permissions; ``message`` is for the caller.
    ``approvers`` are roles (none: whoever has the permission ``approvals:decide``), ``quorum`` is how many people,
    ``expires`` how long a request waits; they are for REQUIRE_APPROVAL only.
    ``dry_run``: it is evaluated and recorded, and decides nothing.
    ``break_glass``: an open break-glass passes over it, although it is a DENY.
    ``line`` is where it begins in its file, ``condition_line`` where its condition does.
    """

    name: str
    condition: str
    effect: Effect
    message: str = ""
    tools: tuple[str, ...] = ("*",)
    approvers: tuple[str, ...] = ()
    quorum: int = 1
    expires: timedelta = timedelta(hours=24)
    dry_run: bool = False
    break_glass: bool = False
    description: str = ""
    line: int = 0
    condition_line: int = 0

    def governs(self, tool: str) -> bool:
        """Tell whether this policy is about a tool of that name."""
        return any(scope.covers("tools", tool) for scope in self.scopes)

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The patterns, ready to be asked."""
        return tuple(parse_scope(f"tools/{pattern}") for pattern in self.tools)

    @property
    def digest(self) -> str:
        """``sha256:…`` over what the policy says, wherever it stands in its file."""
        held = {name: value for name, value in self.to_json().items() if name not in {"line", "condition_line"}}
        return digest(canonical(held))

    def to_json(self) -> dict[str, JsonValue]:
        """Give the policy as it is kept."""
        made: dict[str, JsonValue] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, timedelta):
                made[each.name] = int(value.total_seconds())
            else:
                made[each.name] = list(value) if isinstance(value, tuple) else value
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The policies of a tenant, as one thing that is deployed, activated and rolled back.

    ``record`` are the arguments that the audit log may hold (and ``request.source``).
    ``default`` is what becomes of a call that no policy speaks about: ALLOW or DENY.
    ``constants`` are read as ``constants.<name>``.
    ``tests`` are cases as they were written, for `altar policy test`.
    """

    name: str
    policies: tuple[Policy, ...]
    record: tuple[str, ...] = ()
    default: Effect = Effect.ALLOW
    constants: Mapping[str, Any] = field(default_factory=dict)
    tests: tuple[Mapping[str, Any], ...] = ()
    description: str = ""

    @property
    def digest(self) -> str:
        """``sha256:…`` of `body`."""
        return digest(self.body)

    @property
    def body(self) -> bytes:
        """The bundle as canonical JSON, which `bundle_of` reads again."""
        return canonical(
            {
                "name": self.name,
                "description": self.description,
                "default": self.default,
                "record": list(self.record),
                "constants": dict(self.constants),
                "policies": [policy.to_json() for policy in self.policies],
                "tests": [dict(each) for each in self.tests],
            }
        )


def read_bundle(text: str, *, path: str = "") -> Bundle:
    """Read a bundle from TOML.

    Raises ValidationError INVALID_POLICY, naming file and line, for what cannot be read or is not meant to be there.
    """
    if len(text) > MAX_BUNDLE_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BUNDLE_BYTES:
        raise ValidationError(
            "INVALID_POLICY",
            f"{path or 'The bundle'} has more than {MAX_BUNDLE_BYTES} bytes",
            hint="split it by what it governs, or let conditions be shorter",
        )
    try:
        members = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValidationError("INVALID_POLICY", f"{path or 'The bundle'} is no TOML: {error}") from None
    except RecursionError:
        raise ValidationError("INVALID_POLICY", f"{path or 'The bundle'} is nested too deep to be read") from None
    lines = TomlLines(text)
    return _bundle(members, path=path, line_of=lines.line_of, numbered=False)


def bundle_of(body: bytes) -> Bundle:
    """Read a bundle from the canonical JSON that `Bundle.body` gave.

    Raises ValidationError INVALID_POLICY for anything else.
    """
    members = parse(body, max_bytes=4 * MAX_BUNDLE_BYTES)
    if not isinstance(members, dict):
        raise ValidationError("INVALID_POLICY", "A bundle is a JSON object")
    return _bundle(members, path="", line_of=lambda _table, _at, _key: 0, numbered=True)


_LineOf = Callable[[str, int, str], int]
"""Gives the line of a key in the n-th table of a name; key "" is the table itself, table "" the top."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_CONSTANT = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_RECORDED = re.compile(r"args(\.[A-Za-z_][A-Za-z0-9_]*){1,8}|request\.source")
_DURATION = re.compile(r"(\d{1,6})(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST_WAIT = timedelta(days=30)
_MAX_TEXT = 500
_MAX_MANY = 64
_MAX_QUORUM = 16
_MAX_TESTS = 1_000
_MAX_CONSTANT_BYTES = 16 * 1024
_OF_BUNDLE = {"name", "description", "default", "record", "constants", "policies", "tests"}
_OF_POLICY = {each.name for each in fields(Policy)} - {"line", "condition_line"}
_OF_APPROVAL = ("approvers", "quorum", "expires")
_DEFAULTS = (Effect.ALLOW, Effect.DENY)


class _Table:
    """A table that is being read: gives its members, and refuses with file and line."""

    def __init__(self, members: Mapping[str, Any], what: str, path: str, line_of: Callable[[str], int]) -> None:
        self.members = members
        self._what = what
        self._path = path
        self.line_of = line_of

    def refusal(self, key: str, message: str, *, hint: str | None = None) -> ValidationError:
        line = self.line_of(key)
        where = f"{self._path}:{line}" if self._path and line else f"line {line}" if line else self._path
        return ValidationError("INVALID_POLICY", f"{where}{': ' if where else ''}{self._what}{message}", hint=hint)

    def known(self, names: set[str]) -> None:
        for key in self.members:
            if key not in names:
                raise self.refusal(
                    key, f"There is no member {key[:64]!r}", hint=f"there are {', '.join(sorted(names))}"
                )

    def text(self, key: str, *, default: str | None = None, longest: int = _MAX_TEXT) -> str:
        value = self.members.get(key, default)
        if value is None:
            raise self.refusal("", f"{key!r} is missing")
        if not isinstance(value, str):
            raise self.refusal(key, f"{key!r} must be a text, not {value!r:.80}")
        if len(value) > longest:
            raise self.refusal(key, f"{key!r} has {len(value)} characters; {longest} are the limit")
        if any("\ud800" <= each <= "\udfff" for each in value):
            raise self.refusal(key, f"{key!r} is no text")
        return value

    def name(self) -> str:
        value = self.text("name")
        if _NAME.fullmatch(value) is None:
            raise self.refusal(
                "name", f"{value[:80]!r} is no name", hint="use letters, digits, '.', '-' and '_', at most 64"
            )
        return value

    def texts(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        value = self.members.get(key)
        if value is None:
            return default
        if not (isinstance(value, list) and all(isinstance(each, str) and each for each in value)):
            raise self.refusal(key, f"{key!r} must be a list of texts, not {value!r:.80}")
        if len(value) > _MAX_MANY or any(len(each) > _MAX_TEXT for each in value):
            raise self.refusal(key, f"{key!r} has too many or too long entries; {_MAX_MANY} are the limit")
        return tuple(value)

    def flag(self, key: str) -> bool:
        value = self.members.get(key, False)
        if not isinstance(value, bool):
            raise self.refusal(key, f"{key!r} must be true or false, not {value!r:.80}")
        return value

    def effect(self, key: str, among: tuple[Effect, ...], default: str | None) -> Effect:
        value = self.text(key, default=default)
        if value not in among:
            raise self.refusal(key, f"{key!r} must be one of {', '.join(among)}, not {value[:40]!r}")
        return Effect(value)


def _bundle(members: Mapping[str, Any], *, path: str, line_of: _LineOf, numbered: bool) -> Bundle:
    table = _Table(members, "", path, lambda key: line_of("", 0, key))
    table.known(_OF_BUNDLE)
    policies, tests = _tables(table, "policies", MAX_POLICIES), _tables(table, "tests", _MAX_TESTS)
    made = Bundle(
        name=table.name(),
        description=table.text("description", default=""),
        default=table.effect("default", _DEFAULTS, "ALLOW"),
        record=_record(table),
        constants=_constants(table),
        policies=tuple(
            _policy(
                _Table(each, f"policy {each['name'][:64]!r}: " if isinstance(each.get("name"), str) else "", path, at),
                numbered=numbered,
            )
            for index, each in enumerate(policies)
            for at in [_liner(line_of, index)]
        ),
        tests=tuple(tests),
    )
    seen: dict[str, int] = {}
    for index, policy in enumerate(made.policies):
        if policy.name in seen:
            raise _Table({}, "", path, _liner(line_of, index)).refusal(
                "name", f"There are two policies {policy.name!r}", hint=f"the other stands in line {seen[policy.name]}"
            )
        seen[policy.name] = policy.line
    try:
        made.body  # noqa: B018 - what cannot be kept is refused here and not when it is stored
    except AltarError as error:
        raise ValidationError("INVALID_POLICY", f"{path or 'The bundle'} cannot be kept: {error.message}") from None
    return made


def _liner(line_of: _LineOf, index: int) -> Callable[[str], int]:
    return lambda key: line_of("policies", index, key)


def _tables(table: _Table, key: str, most: int) -> list[Mapping[str, Any]]:
    value = table.members.get(key, [])
    if not (isinstance(value, list) and all(isinstance(each, dict) for each in value)):
        raise table.refusal(key, f"{key!r} must be written as tables: [[{key}]]")
    if len(value) > most:
        raise table.refusal(key, f"There are {len(value)} {key}; {most} are the limit")
    return value


def _record(table: _Table) -> tuple[str, ...]:
    paths = table.texts("record", ())
    for each in paths:
        if _RECORDED.fullmatch(each) is None:
            raise table.refusal(
                "record",
                f"{each[:80]!r} is not for the record",
                hint="name arguments, such as 'args.amount', or 'request.source'; the rest is kept or never kept",
            )
    return paths


def _constants(table: _Table) -> dict[str, Any]:
    value = table.members.get("constants", {})
    if not isinstance(value, dict):
        raise table.refusal("constants", "'constants' must be a table")
    for name, held in value.items():
        plain = isinstance(held, bool | int | float | str) or (
            isinstance(held, list) and all(isinstance(each, str) for each in held)
        )
        if _CONSTANT.fullmatch(name) is None or not plain:
            raise table.refusal(
                "constants", f"The constant {name[:64]!r} must be a text, number, true or false, or a list of texts"
            )
    try:
        size = len(canonical(value))
    except AltarError as error:
        raise table.refusal("constants", f"A constant cannot be kept: {error.message}") from None
    if size > _MAX_CONSTANT_BYTES:
        raise table.refusal("constants", f"The constants have {size} bytes; {_MAX_CONSTANT_BYTES} are the limit")
    return value


def _policy(table: _Table, *, numbered: bool) -> Policy:
    kept = {"line", "condition_line"} if numbered else set()
    table.known(_OF_POLICY | kept)
    effect = table.effect("effect", tuple(Effect), None)
    if effect is not Effect.REQUIRE_APPROVAL and not numbered:
        for key in _OF_APPROVAL:
            if key in table.members:
                raise table.refusal(key, f"{key!r} says nothing for the effect {effect}")
    approvers = table.texts("approvers", ())
    name = table.name()
    made = Policy(
        name=name,
        condition=table.text("condition", longest=MAX_BUNDLE_BYTES),
        effect=effect,
        message=table.text("message", default=""),
        tools=table.texts("tools", ("*",)),
        approvers=approvers,
        quorum=_quorum(table),
        expires=_expires(table),
        dry_run=table.flag("dry_run"),
        break_glass=table.flag("break_glass"),
        description=table.text("description", default="", longest=4 * _MAX_TEXT),
        line=_number(table, "line") if numbered else table.line_of(""),
        condition_line=_number(table, "condition_line") if numbered else table.line_of("condition:"),
    )
    if len(made.condition) > MAX_EXPRESSION:
        raise table.refusal(
            "condition",
            f"'condition' has {len(made.condition)} characters; {MAX_EXPRESSION} are the limit",
            hint="split the policy",
        )
    if not made.tools:
        raise table.refusal("tools", "'tools' is empty, so the policy would never be asked")
    for pattern in made.tools:
        try:
            parse_scope(f"tools/{pattern}")
        except AltarError:
            raise table.refusal(
                "tools", f"{pattern[:80]!r} is no pattern of tools", hint="write a name, or 'payments.*'"
            ) from None
    return made


def _number(table: _Table, key: str) -> int:
    value = table.members.get(key, 0)
    if type(value) is not int or value < 0:
        raise table.refusal(key, f"{key!r} must be a whole number, not {value!r:.40}")
    return value


def _quorum(table: _Table) -> int:
    value = table.members.get("quorum", 1)
    if type(value) is not int or not 1 <= value <= _MAX_QUORUM:
        raise table.refusal("quorum", f"'quorum' must be a number from 1 to {_MAX_QUORUM}, not {value!r:.40}")
    return value


def _expires(table: _Table) -> timedelta:
    value = table.members.get("expires", "24h")
    if type(value) is int:
        made = timedelta(seconds=min(value, 10**9)) if value >= 0 else timedelta()
    else:
        found = _DURATION.fullmatch(value) if isinstance(value, str) else None
        made = timedelta() if found is None else timedelta(seconds=int(found[1]) * _SECONDS[found[2]])
    if not timedelta() < made <= _LONGEST_WAIT:
        raise table.refusal("expires", f"'expires' must be a time up to 30 days, not {value!r:.40}", hint='write "1h"')
    return made
