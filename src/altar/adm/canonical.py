"""JSON text in and out: a strict reader, and one canonical form of bytes for digests and signatures.

In: bytes or text from anywhere, or values made of None, bool, int, float, str, list, tuple and dict.
Out: values, canonical bytes, or a digest of bytes.
The canonical form is RFC 8785 (JCS) with one stated deviation: integers within int64 are written exactly,
where RFC 8785 would round those beyond 2^53.
Text is read so that no two readers can understand it differently: duplicate members, NaN, numbers beyond
a double, lone surrogates, bad UTF-8 and deep nesting are refused.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NoReturn, TypeAlias

import orjson

from altar.adm.defect import Defect, Kind, pointer, quoted
from altar.adm.errors import AltarError, error_of

JsonValue: TypeAlias = "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
"""Any JSON value; objects are dicts, arrays are lists or tuples."""

MAX_BYTES: Final = 4 * 1024 * 1024
"""The longest text that is read unless the caller says otherwise, in bytes."""

MAX_DEPTH: Final = 64
"""The deepest nesting of arrays and objects that is read or written unless the caller says otherwise."""

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1


def parse(text: bytes | str, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> JsonValue:
    """Return the value that a JSON text (RFC 8259) stands for.

    An integer literal within int64 is read exactly.
    One beyond it becomes a float only where that float is written with the very same digits.
    Otherwise it stays an exact int, which no INTEGER and no canonical form will take.
    Raises MESSAGE_TOO_LARGE beyond `max_bytes`, and MALFORMED_REQUEST for anything that is not strict JSON.
    """
    data = _utf8(text)
    if len(data) > max_bytes:
        raise error_of("MESSAGE_TOO_LARGE", f"The JSON text has {len(data)} bytes; the limit is {max_bytes}")
    try:
        value: JsonValue = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_members,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
        )
    except _NotStrictError as error:
        raise _malformed(str(error)) from None
    except RecursionError:
        raise _malformed(f"it is nested deeper than {max_depth} levels") from None
    except UnicodeDecodeError:
        raise _malformed("it is not UTF-8") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise _malformed(f"{error.msg} ({where})") from None
    _inspect(value, max_depth)
    return value


def canonical(value: JsonValue, *, max_depth: int = MAX_DEPTH) -> bytes:
    """Return the canonical bytes of a value: RFC 8785, with integers within int64 written exactly.

    Integral floats are written as integers, with the digits of RFC 8785, tuples as arrays.
    Raises SERIALIZATION_ERROR, with the JSON Pointer of the place, for NaN, infinities, integers beyond
    int64, keys that are not text, lone surrogates, nesting deeper than `max_depth`, and what is not JSON.
    """
    data = written_plainly(value, max_depth=max_depth)
    return data if data is not None else _written_exactly(value, max_depth)


def written_plainly(value: object, *, max_depth: int = MAX_DEPTH) -> bytes | None:
    """Return the canonical bytes of a value that a fast writer is known to write canonically, else None.

    None says nothing against the value: `canonical` writes it in another way, or says what is wrong with it.
    """
    if _is_plain(value, max_depth):
        try:
            data = orjson.dumps(value, option=_FAST)
            if data.isascii() or _keys_sort_alike(value):
                return data
        except (TypeError, ValueError):
            pass  # an integer beyond 53 bits, or no JSON at all: the exact writer decides
    return None


def parse_canonical(data: bytes, *, max_depth: int = MAX_DEPTH) -> JsonValue:
    """Return the value of canonical bytes, having proved that they are exactly its canonical form.

    Raises SERIALIZATION_ERROR otherwise; two texts that mean the same can therefore not both pass.
    Bytes that are refused cost about as much as bytes that pass: they are read once and written at most once.
    """
    try:
        value: JsonValue = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise error_of("SERIALIZATION_ERROR", "The bytes are not canonical JSON", detail=str(error)) from None
    written = written_plainly(value, max_depth=max_depth)
    if written is None:
        value = _with_floats(value, max_depth)
        written = _written_exactly(value, max_depth)
    if written != data:
        raise _not_canonical()
    return value


def is_within_depth(value: object, max_depth: int = MAX_DEPTH) -> bool:
    """Tell whether a value is nested at most `max_depth` levels deep; one that holds itself never is."""
    if isinstance(value, dict):
        items: Iterable[object] = value.values()
    elif isinstance(value, list | tuple):
        items = value
    else:
        return True
    if max_depth <= 0:
        return False
    return all(is_within_depth(item, max_depth - 1) for item in items if isinstance(item, dict | list | tuple))


def depth_of(value: object) -> int:
    """Return how many levels deep a finite value is nested; 0 for one that is neither array nor object."""
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list | tuple) else 0


def digest(data: bytes) -> str:
    """Return the SHA-256 digest of bytes as `sha256:` and 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def number_text(value: float) -> str:
    """Return a finite float as ECMAScript writes it, which is what RFC 8785 §3.2.2.3 asks for."""
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    digits, _, exponent_text = repr(abs(value)).partition("e")
    whole, _, fraction = digits.partition(".")
    fraction = fraction.rstrip("0")
    # `significant` without its zeros on both sides, times ten to the power of `point - len(significant)`
    point = len(whole) + int(exponent_text or 0)
    significant = whole + fraction
    stripped = significant.lstrip("0")
    point -= len(significant) - len(stripped)
    significant = stripped.rstrip("0")
    count = len(significant)
    if count <= point <= _LONGEST_INTEGER:
        return sign + significant + "0" * (point - count)
    if 0 < point <= _LONGEST_INTEGER:
        return f"{sign}{significant[:point]}.{significant[point:]}"
    if _SMALLEST_PLAIN < point <= 0:
        return f"{sign}0.{'0' * -point}{significant}"
    mantissa = significant[0] + (f".{significant[1:]}" if count > 1 else "")
    return f"{sign}{mantissa}e{point - 1:+d}"


_LONGEST_INTEGER: Final = 21
_SMALLEST_PLAIN: Final = -6


class _NotStrictError(ValueError):
    """The text is JSON to some readers only; the message says why."""


def _utf8(text: bytes | str) -> bytes:
    if isinstance(text, bytes):
        return text
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise _malformed("it holds a lone surrogate") from None


def _malformed(reason: str) -> AltarError:
    message = f"The text is not strict JSON: {reason}"
    return error_of("MALFORMED_REQUEST", message, defects=(Defect(None, "PARSE", message),))


def _members(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise _NotStrictError(f"the member {quoted(twice)} is given more than once")
    return members


def _constant(name: str) -> NoReturn:
    raise _NotStrictError(f"{name} is not a JSON number")


def _float(literal: str) -> float:
    value = float(literal)
    if math.isinf(value):
        raise _NotStrictError("a number is beyond the range of a double")
    return value


def _int(literal: str) -> int | float:
    if len(literal) > _LONGEST_LITERAL:
        raise _NotStrictError("a number is beyond the range of a double")
    value = int(literal)
    if INT64_MIN <= value <= INT64_MAX:
        return value
    try:
        number = float(value)
    except OverflowError:
        raise _NotStrictError("a number is beyond the range of a double") from None
    return number if number_text(number) == literal else value


_LONGEST_LITERAL: Final = 310  # a double has at most 309 digits before the point


def _inspect(value: JsonValue, max_depth: int) -> None:
    """Refuse what the standard library's reader lets through: deep nesting and lone surrogates."""
    level: list[JsonValue] = [value]
    depth = 0
    while level:
        deeper: list[JsonValue] = []
        nested = False
        for item in level:
            if isinstance(item, str):
                _refuse_surrogates(item)
            elif isinstance(item, dict):
                nested = True
                for name in item:
                    _refuse_surrogates(name)
                deeper.extend(item.values())
            elif isinstance(item, list):
                nested = True
                deeper.extend(item)
        depth += 1
        if nested and depth > max_depth:
            raise _malformed(f"it is nested deeper than {max_depth} levels")
        level = deeper


def _refuse_surrogates(text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise _malformed("it holds a lone surrogate") from None


def _written_exactly(value: JsonValue, max_depth: int) -> bytes:
    parts: list[str] = []
    _write(value, parts, (), max_depth)
    return "".join(parts).encode("utf-8")


def _with_floats(value: JsonValue, depth: int) -> JsonValue:
    """The value that canonical bytes stand for, from what orjson read.

    An integral float beyond int64 is written in digits only, and orjson reads it as an integer up to 2^64.
    Raises SERIALIZATION_ERROR for what no canonical bytes are read as: nesting too deep, and an integral float
    within int64, which is written as the integer.
    """
    if isinstance(value, int):  # a truth value too, which stays what it is
        return value if INT64_MIN <= value <= INT64_MAX else float(value)
    if isinstance(value, float):
        if value.is_integer() and INT64_MIN <= value < INT64_MAX:
            raise _not_canonical()
    elif isinstance(value, dict | list):
        if depth <= 0:
            raise _not_canonical()
        if isinstance(value, dict):
            return {name: _with_floats(item, depth - 1) for name, item in value.items()}
        return [_with_floats(item, depth - 1) for item in value]
    return value


def _not_canonical() -> AltarError:
    return error_of("SERIALIZATION_ERROR", "The bytes are JSON, but not in canonical form")


def _is_plain(value: object, depth: int) -> bool:
    """Tell whether compact output of orjson writes each part of this value as the canonical form does.

    That is so for exact built-in types, and for floats that are not integral and neither tiny nor huge.
    Integers beyond 53 bits are refused by the writer's own option, and keys are looked at afterwards.
    """
    kind = type(value)
    if kind is dict:
        items: Iterable[object] = value.values()  # type: ignore[attr-defined]  # a dict
    elif kind is list or kind is tuple:
        items = value  # type: ignore[assignment]  # a list or a tuple
        if depth > 0 and _PLAIN_SCALARS.issuperset(map(type, items)):
            return True
    else:
        items, depth = (value,), depth + 1
    if depth <= 0:
        return False
    for item in items:
        kind = type(item)
        if kind is str or kind is int or kind is bool or item is None:
            continue
        if kind is float:
            size: float = abs(item)  # type: ignore[arg-type]  # a float
            if not (_TINY <= size < _HUGE and size % 1):
                return False
        elif not (kind is list or kind is dict or kind is tuple) or not _is_plain(item, depth - 1):
            return False
    return True


def _keys_sort_alike(value: object) -> bool:
    """Tell whether the keys have one order by code point and by UTF-16 unit; beyond U+D7FF they may not."""
    if isinstance(value, dict):
        return all(max(name, default="") < "\ud800" for name in value) and all(map(_keys_sort_alike, value.values()))
    return not isinstance(value, list | tuple) or all(map(_keys_sort_alike, value))


_PLAIN_SCALARS: Final = frozenset({type(None), bool, int, str})
_TINY: Final = 1e-3
_HUGE: Final = 1e15
_FAST: Final = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER | orjson.OPT_PASSTHROUGH_SUBCLASS


def _write(value: object, parts: list[str], path: tuple[str | int, ...], depth: int) -> None:
    if value is None:
        parts.append("null")
    elif isinstance(value, bool):
        parts.append("true" if value else "false")
    elif isinstance(value, str):
        parts.append(_text(value, path))
    elif isinstance(value, int):
        if not INT64_MIN <= value <= INT64_MAX:
            raise _unwritable(path, "RANGE", "an integer beyond 64 bits")
        parts.append(int.__repr__(value))
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise _unwritable(path, "RANGE", f"{value!r}, which JSON cannot hold")
        parts.append(number_text(value))
    elif isinstance(value, (dict, list, tuple)):
        if depth <= 0:
            raise _unwritable(path, "RANGE", "a value nested too deeply")
        _write_container(value, parts, path, depth - 1)
    else:
        raise _unwritable(path, "TYPE", f"a {type(value).__name__}, which is not a JSON value")


def _write_container(
    value: dict[object, object] | list[object] | tuple[object, ...],
    parts: list[str],
    path: tuple[str | int, ...],
    depth: int,
) -> None:
    separator = ""
    if not isinstance(value, dict):
        parts.append("[")
        for index, item in enumerate(value):
            parts.append(separator)
            _write(item, parts, (*path, index), depth)
            separator = ","
        parts.append("]")
        return
    members: list[tuple[bytes, str, object]] = []
    for name, item in value.items():
        if not isinstance(name, str):
            raise _unwritable(path, "TYPE", f"the key {name!r}, which is not text")
        members.append((name.encode("utf-16-be", "surrogatepass"), name, item))
    members.sort(key=lambda member: member[0])  # RFC 8785 §3.2.3: by UTF-16 code units
    parts.append("{")
    for _, name, item in members:
        parts.append(f"{separator}{_text(name, path)}:")
        _write(item, parts, (*path, name), depth)
        separator = ","
    parts.append("}")


def _text(value: str, path: tuple[str | int, ...]) -> str:
    try:
        return orjson.dumps(str.__str__(value)).decode("utf-8")
    except (TypeError, ValueError):
        raise _unwritable(path, "PARSE", "text with a lone surrogate") from None


def _unwritable(path: tuple[str | int, ...], kind: Kind, what: str) -> AltarError:
    place = pointer(*path)
    message = f"The value{f' at {place}' if place else ''} cannot be written as JSON: it is or holds {what}"
    return error_of("SERIALIZATION_ERROR", message, path=place, defects=(Defect(place, kind, message),))
