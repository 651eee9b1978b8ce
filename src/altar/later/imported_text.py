"""Texts of contracts that came from elsewhere, and whether they try to give a model orders.

A declaration goes in, with its description and those of its parameters; what comes out is each place where a text
does more than describe.
A model reads these texts as if an operator had written them, so whoever writes them can steer it: to pass on what it
knows, to keep something from its user, to prefer one tool over another, or in characters that no person sees.
What is found here is what such texts look like by now; that nothing is found proves nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from altar.adm.declaration import FunctionDeclaration
from altar.adm.defect import Defect, pointer
from altar.adm.errors import DeclarationError

__all__ = ["Order", "orders_in", "require_no_orders"]

MOST_TOLD: Final = 20
"""So many places of one contract are told at most."""


@dataclass(frozen=True, slots=True)
class Order:
    """One place that does more than describe: a JSON Pointer into the declaration, what it does, and its words."""

    path: str
    what: str
    words: str


def orders_in(declaration: FunctionDeclaration) -> list[Order]:
    """The places of a contract whose texts try to give orders or hide something, at most MOST_TOLD."""
    found: list[Order] = []
    for path, text in _texts(declaration.to_adm(), ""):
        found += (Order(path, what, words) for what, words in _orders(text))
        if len(found) >= MOST_TOLD:
            break
    return found[:MOST_TOLD]


def require_no_orders(declaration: FunctionDeclaration, *, origin: str, adopted: Collection[str] = ()) -> None:
    """Return when the texts of an imported contract only describe, or when a person adopted exactly this contract.

    ``adopted`` are digests of declarations that somebody has read and accepted.
    Raises INVALID_DECLARATION with each place, and the digest to adopt.
    """
    if declaration.digest in adopted:
        return
    found = orders_in(declaration)
    if not found:
        return
    defects = [
        Defect(order.path, "FORBIDDEN", f"The text at {order.path} {order.what}: {order.words}") for order in found
    ]
    first, more = defects[0], len(defects) - 1
    raise DeclarationError(
        "INVALID_DECLARATION",
        f"{declaration.name!r} from {origin!r} is not taken in, because its texts give orders. {first.message}"
        + (f" (and {more} more)" if more else ""),
        hint=f"read it; if it only describes, adopt exactly this contract: adopted=[{declaration.digest!r}]",
        path=first.path,
        defects=defects,
    )


# ------------------------------------------------------------------------------------------------------------- places

_WORDS: Final = 60
_DEEPEST: Final = 200


def _texts(held: Any, path: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Every text of a document with its place, names of members too."""
    if isinstance(held, str):
        yield path, held
    elif depth >= _DEEPEST:
        return
    elif isinstance(held, Mapping):
        for name, one in held.items():
            place = path + pointer(name)
            yield place, str(name)
            yield from _texts(one, place, depth + 1)
    elif isinstance(held, list | tuple):
        for index, one in enumerate(held):
            yield from _texts(one, path + pointer(index), depth + 1)


def _orders(text: str) -> Iterator[tuple[str, str]]:
    """What a text does that a description does not, with the words that do it."""
    if _ONE_WORD.fullmatch(text):  # as most texts of a schema are: its keywords, types and names
        return
    hidden = _HIDDEN.search(text)
    if hidden is not None:
        yield "hides characters that no reader sees", _shown(hidden[0])
    plain = _plain(text)
    flat = " ".join(plain.split())
    for what, rule in _RULES:
        said = rule.search(flat) or rule.search(plain)
        if said is not None:
            yield what, _shown(said[0])


def _plain(text: str) -> str:
    """The text as it would be read: look-alike letters and spaces in one form, what has no width left out."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return re.sub(r"[^\S\n]+", " ", _NO_WIDTH.sub("", folded))


def _shown(words: str) -> str:
    cut = words if len(words) <= _WORDS else words[: _WORDS - 1] + "…"
    return ascii(cut) if _HIDDEN.search(cut) else repr(cut)


# -------------------------------------------------------------------------------------------------------------- rules

_NO_WIDTH: Final = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufeff\ufe00-\ufe0f\U000e0000-\U000e01ef]")

_HIDDEN: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]"  # controls, such as the escape that moves a terminal's cursor
    "|[\u202a-\u202e\u2066-\u2069]"  # turns the direction of reading, so that a person reads something else
    "|[\U000e0000-\U000e007f]"  # tags: a second alphabet that nothing shows
    "|[\ufe00-\ufe0f\U000e0100-\U000e01ef]{2,}"  # variation selectors, one after another: bytes in disguise
    "|[\u200b-\u200d\u2060-\u2064\ufeff]{4,}"  # nothing but width, again and again: bits in disguise
)

_ONE_WORD: Final = re.compile(r"[\w$.#/-]*", re.ASCII)
_NEVER: Final = r"(?:do not|don't|never|must not|should not|without)"
_ASKS: Final = (
    r"\b(?:read|open|cat|include|send|pass|upload|forward|append|copy|print|output|repeat|reveal|give|paste)\b"
    r"[^.\n]{0,80}?"
)
_MODELS_OWN: Final = (
    r"(?:system prompt|(?:whole|entire|full|complete|previous|prior) (?:conversation|chat)\b"
    r"|(?:conversation|chat) history|previous messages|\bmcp\.json\b|\.env\b file)"
)


def _any_of(*rules: str) -> re.Pattern[str]:
    return re.compile("|".join(rules), re.MULTILINE)


_RULES: Final = (
    (
        "overrides what a model was told",
        _any_of(
            r"\b(?:ignore|disregard|forget)\b[^.\n]{0,40}\b(?:previous|prior|above|earlier|preceding|system|your|safety|other)\b"
            r"[^.\n]{0,30}\b(?:instructions?|prompts?|rules|directions|guidelines|guardrails)\b",
            r"\b(?:ignore|disregard|forget) (?:all|any|every)(?: the)? (?:instructions?|prompts?)\b",
            r"\b(?:new|updated|real|actual) (?:system )?instructions?:",
            r"\bfrom now on,? (?:you|always|never|ignore|act|respond)\b",
            r"\byou are now (?:an?|dan)\b",
            r"\b(?:pretend|act as) (?:to be|if you|though you|you are)\b",
            r"ignoriere?\b[^.\n]{0,30}\b(?:vorherige|bisherige|obige|frühere)[nrs]?\b[^.\n]{0,20}\banweisungen",
            r"ignor(?:e|ez|er)\b[^.\n]{0,20}\binstructions (?:précédentes|antérieures|ci-dessus)",
            r"ignor(?:a|e|ar)\b[^.\n]{0,30}\binstrucciones (?:anteriores|previas)",
            r"忽略[^。\n]{0,12}(?:指令|指示|说明|提示)",
        ),
    ),
    (
        "keeps something from the user",
        _any_of(
            rf"\b{_NEVER} (?:ever )?(?:tell|mention|inform|reveal|disclose|telling|mentioning|informing|explain)\b"
            r"[^.\n]{0,50}\b(?:users?|human|anyone|anybody)\b",
            r"\b(?:do not|don't|never) (?:ever )?mention (?:this|that|it|these|any of)\b",
            r"\b(?:hide|conceal|keep) (?:this|that|it|these)\b[^.\n]{0,20}\bfrom the (?:user|human)\b",
            r"\bthe user (?:must|should|will|does) not (?:know|see|notice|be (?:told|informed|aware))\b",
        ),
    ),
    (
        "asks for what only the model or its user has",
        _any_of(
            rf"{_ASKS}{_MODELS_OWN}[^.\n]{{0,60}}\b(?:as|to|in|into|at|with|for|here|and|verbatim)\b",
            r"\b(?:reveal|print|repeat|output|disclose) (?:your|the) (?:system|hidden|initial) "
            r"(?:prompt|instructions)\b",
            r"~/\.(?:ssh|aws|cursor|config|gnupg|netrc|kube)|\bid_rsa\b|/etc/(?:passwd|shadow)\b",
        ),
    ),
    (
        "claims calls for itself, or takes them from others",
        _any_of(
            r"\balways (?:call|use|invoke|run|prefer) this (?:tool|function|server)\b[^.\n]{0,40}"
            r"\b(?:before|first|every|instead|any|all|regardless)\b",
            r"\bmust (?:always )?be (?:called|used|invoked|run) "
            r"(?:first|before (?:any|every|all|each)|for every|on every)\b",
            r"\b(?:do not|don't|never) (?:use|call|trust|invoke) (?:any |the )?(?:other|another) "
            r"(?:tools?|functions?|servers?)\b",
            r"\b(?:instead of|rather than|overrides?|replaces?|supersedes?) (?:any|all|every) other "
            r"(?:tools?|functions?)\b",
            r"\bwithout (?:asking|confirming|confirmation|permission|approval)\b[^.\n]{0,30}\b(?:users?|human)\b",
        ),
    ),
    (
        "writes the marks by which a model tells who speaks",
        _any_of(
            r"<\|[^|<>\n]{1,40}\|>",
            r"\[/?inst\]|<</?sys>>",
            r"</?(?:important|secret|hidden|admin|instructions?)>|</system>",
            r"</?system[_-](?:prompt|reminder|message|instructions?)>",
            r"^ ?(?:system|assistant|developer) ?: ?(?:you|ignore|always|never)\b",
        ),
    ),
)
