"""CEL expressions, compiled and type-checked once: the only module that knows the CEL engine.

In: the text of an expression and the types of the variables it may read.
Out: an `Expression`, which says what it reads and gives its value for values of its variables.

A variable has a name of one or more parts (``request.principal.kind``), and its type is written as CEL writes it:
``bool``, ``int``, ``double``, ``string``, ``timestamp``, ``duration``, ``list<string>``, ``map<string, dyn>``, ``dyn``.
The type ``number`` is a double beside which a whole number may be written without a point: ``args.amount > 100``.
``has(a.b)`` of a declared variable asks whether it has a value; it reads the variable ``has_a.b``.

What an expression may cost is bounded: its length, its nesting (32), its joining of texts, and the steps of its
comprehensions (10,000 for each evaluation, counted by the engine); regular expressions are RE2, linear in the text.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from altar.adm.errors import AuthorizationError, ValidationError
from altar.aesp.policy.checked import Node, checked_tree, parameters_of
from altar.aesp.policy.functions import FUNCTIONS
from altar.aesp.policy.wording import conversion, named, syntax

if TYPE_CHECKING:
    from cel_expr_python import cel as engine

__all__ = [
    "MAX_EXPRESSION",
    "NUL",
    "NUMBER",
    "Expression",
    "compile_expression",
    "has_nul",
    "presence_asked",
    "unevaluable",
]

MAX_EXPRESSION = 4096
"""Most characters of an expression."""
NUMBER = "number"
"""The type of a double that may stand beside a whole number."""


class Expression:
    """A compiled expression.

    ``text`` is as it was written; ``needs`` are the names of the variables it reads, ``reads`` the paths below them,
    such as ``("args", "customer", "country")``; ``type`` is the type of its value, as CEL writes it.
    ``source`` is what the engine was given for it, ``tree`` what it understood.
    """

    __slots__ = ("_eval", "needs", "reads", "source", "text", "tree", "type")

    def __init__(self, text: str, source: str, program: engine.Expression) -> None:
        self.text = text
        self.source = source
        self.tree: Node = checked_tree(program.serialize())
        self.type: str = program.return_type().name().lower()
        self.reads: frozenset[tuple[str, ...]] = frozenset(
            (path[0].removeprefix("has_"), *path[1:]) for path in parameters_of(self.tree)
        )
        self.needs: frozenset[str] = frozenset(_variables(self.tree, frozenset()))
        self._eval = program.eval

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """Give the value for ``values``, which has a value for each name in ``needs``; a name left out has none.

        Raises AuthorizationError POLICY_ERROR when there is none: a missing value, an overflow, too many steps.
        """
        if any(has_nul(each) for each in values.values()):
            raise unevaluable(NUL)
        return self.evaluate_checked(values)

    def evaluate_checked(self, values: Mapping[str, Any]) -> Any:
        """Do what `evaluate` does, for values whose texts are known to hold no NUL."""
        try:
            value = self._eval(data=values)
        except (RuntimeError, ValueError, TypeError) as error:
            raise unevaluable(str(error)) from None
        given = value.plain_value()
        if given is True or given is False or type(given) is list:
            return given
        if value.type().name() in _NO_VALUE:
            raise unevaluable(str(given))
        return bytes(given) if isinstance(given, bytearray) else given


def compile_expression(
    text: str,
    *,
    variables: Mapping[str, str],
    line: int = 1,
    path: str = "",
    result: str = "bool",
    longest: int = MAX_EXPRESSION,
) -> Expression:
    """Compile an expression; ``line`` of the file ``path`` is where it begins, for messages.

    ``variables`` maps names to types; ``result`` is the type its value must have, "" for any;
    ``longest`` is how many characters it may have.
    Raises ValidationError INVALID_POLICY, with line and column, for what CEL cannot read, for a variable that is not
    there, for types that do not fit, and for what goes beyond a bound.
    """
    place = _Place(path, line)
    if len(text) > longest:
        raise place.refusal(
            0, 0, f"The expression has {len(text)} characters; {longest} are the limit", hint="split the policy"
        )
    if not text.isprintable() and _unreadable(text):
        raise place.refusal(0, 0, "The expression has characters that are no text", hint="write it in UTF-8")
    env = _environment(tuple(sorted(variables.items())))
    rewritten = _presence_rewritten(text, variables)
    source, program = _compiled(env, rewritten, variables, place)
    made = Expression(text, source, program)
    _require_bounded(made.tree, place, text)
    if result and made.type not in {result, "dyn"}:
        raise place.refusal(
            0,
            0,
            f"The expression gives {named(made.type)} where {named(result)} is expected",
            hint="compare it with something, such as 'tool.name == \"payments.refund\"'" if result == "bool" else None,
        )
    return made


def unevaluable(reason: str) -> AuthorizationError:
    """Give the error for an evaluation that has no value; ``reason`` is the engine's."""
    absent = _ABSENT.search(reason)
    key = _NO_KEY.search(reason)
    if absent is not None:
        message, hint = f"{absent[1]!r} has no value in this call", f"ask first: has({absent[1]}) && …"
    elif key is not None:
        message, hint = f"A map has no member {key[1]!r}", "ask first, with has(…) or in"
    elif "budget exceeded" in reason:
        message, hint = "It takes more than 10000 steps", "compare fewer values, or bound the list in the contract"
    else:
        message, hint = _ENGINE_CODE.sub("", reason).split("\n")[0][:160] or "It has no value", ""
    return AuthorizationError("POLICY_ERROR", message, ran="no", hint=hint or None, detail=reason[:500])


def _unreadable(text: str) -> bool:
    """Tell whether there are control characters other than white space, or halves of characters."""
    return any((each < " " and each not in "\t\n\r") or "\ud800" <= each <= "\udfff" for each in text)


def has_nul(value: Any) -> bool:
    """Tell whether a text in a value holds a NUL: the engine would read it up to there, and judge something else."""
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, bytes):
        return b"\x00" in value
    if isinstance(value, Mapping):
        return any(has_nul(key) or has_nul(held) for key, held in value.items())
    return isinstance(value, list | tuple) and any(map(has_nul, value))


class _Place(NamedTuple):
    """Where an expression stands."""

    path: str
    line: int

    def refusal(self, line: int, column: int, message: str, *, hint: str | None = None) -> ValidationError:
        where = f"{self.path or 'line'}{':' if self.path else ' '}{self.line + line}"
        return ValidationError(
            "INVALID_POLICY",
            f"{where}{f', column {column}' if column else ''}: {message}",
            hint=hint,
            path=None,
        )


NUL: Final = "A text holds a NUL character"
_ABSENT = re.compile(r'No value with name "([^"]*)"')
_NO_KEY = re.compile(r'Key not found in map : "?([^"]*)"?')
_ENGINE_CODE = re.compile(r"^[A-Z_]+: |\s\[[A-Z_]+\]$", re.MULTILINE)
_NO_VALUE = frozenset({"ERROR", "UNKNOWN"})
_ERROR = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_OVERLOAD = re.compile(r"found no matching overload for '([^']*)' applied to '\(?(.*?)\)?'$")
_UNDECLARED = re.compile(r"undeclared reference to '([^']*)'")
_MAX_REPAIRS = 32
_MAX_JOINS = 8
_JOINS = frozenset({"add_string", "add_bytes", "add_list"})

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|//[^\n]*)
  | (?P<text>[rRbB]{0,2}(?:\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
  | (?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)
  | (?P<int>0[xX][0-9a-fA-F]+[uU]?|\d+[uU]?)
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*|`[^`\n]*`)
  | (?P<sign>&&|\|\||==|!=|<=|>=|.)
    """,
    re.VERBOSE | re.DOTALL,
)


class _Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int


def _tokens(text: str) -> Iterator[_Token]:
    for found in _TOKEN.finditer(text):
        if found.lastgroup and found.lastgroup != "space":
            yield _Token(found.lastgroup, found.group(), found.start(), found.end())


def presence_asked(text: str) -> Iterator[str]:
    """Give the chains that ``has(…)`` is asked about in a text, such as ``args.amount``."""
    return (name for name, _, _ in _presences(text))


def _presences(text: str) -> Iterator[tuple[str, int, int]]:
    """Give each ``has(a.b)`` of a text, also ``has((a.b))`` or ``has(.a.b)``: the chain, where it begins and ends."""
    tokens = list(_tokens(text))
    for at, token in enumerate(tokens):
        if token.text != "has" or (at and tokens[at - 1].text == "."):
            continue
        rest = tokens[at + 1 :]
        close = _closing(rest)
        inside = [each for each in rest[1:close] if each.text not in {"(", ")"}]
        if inside and inside[0].text == ".":
            inside = inside[1:]
        is_chain = all((each.text == ".") if index % 2 else (each.kind == "name") for index, each in enumerate(inside))
        if close < 1 or not is_chain:
            continue
        yield "".join(each.text.strip("`") for each in inside), token.start, rest[close].end


def _closing(tokens: list[_Token]) -> int:
    """Give the place of the parenthesis that closes the first token, -1 when that opens none, or none closes it."""
    depth = 0
    for index, each in enumerate(tokens):
        depth += (each.text == "(") - (each.text == ")")
        if depth <= 0:
            return index or -1
    return -1


def _presence_rewritten(text: str, variables: Mapping[str, str]) -> str:
    """Turn ``has(a.b)`` of a declared variable into the variable ``has_a.b``, without moving what follows it.

    The engine would read the value of a variable whose name has several parts, instead of asking for its presence.
    """
    made = text
    for name, start, end in _presences(text):
        if f"has_{name}" in variables:
            kept = made[start:end]
            lines = "".join(each for each in kept if each == "\n")
            made = made[:start] + f"has_{name}".ljust(len(kept) - len(lines)) + lines + made[end:]
    return made


@lru_cache(maxsize=256)
def _environment(variables: tuple[tuple[str, str], ...]) -> engine.Env:
    from cel_expr_python import cel

    declared = {name: cel.Type("double" if kind == NUMBER else kind) for name, kind in variables}
    functions = [
        cel.FunctionDecl(
            each.name,
            [
                cel.Overload(
                    f"{each.name}_{'_'.join(each.takes)}",
                    cel.Type(each.gives),
                    [cel.Type(kind) for kind in each.takes],
                    False,
                    each.run,
                )
            ],
        )
        for each in FUNCTIONS
    ]
    return cel.NewEnv(variables=declared, functions=functions)


def _compiled(
    env: engine.Env, rewritten: str, variables: Mapping[str, str], place: _Place
) -> tuple[str, engine.Expression]:
    """Compile; a whole number beside a number is made one, as long as that is all that was wrong."""
    source, added = rewritten, list[tuple[int, int]]()
    for _ in range(_MAX_REPAIRS):
        try:
            return source, env.compile(source)
        except (RuntimeError, ValueError, TypeError) as error:
            said = str(error)
            token = _whole_number(said, source, variables) if NUMBER in variables.values() else None
            if token is None:
                raise _refused(said, source, added, variables, place) from None
            if token.kind == "int":
                source, grown = f"{source[: token.end]}.0{source[token.end :]}", [(token.end, 2)]
            else:
                source = f"{source[: token.start]}double({token.text}){source[token.end :]}"
                grown = [(token.start, 7), (token.end + 7, 1)]
            for at, size in grown:
                added = [(each + size if each >= at else each, length) for each, length in added] + [(at, size)]
    raise place.refusal(0, 0, "The expression compares with too many whole numbers", hint="write them with a point")


def _whole_number(said: str, source: str, variables: Mapping[str, str]) -> _Token | None:
    """Give the whole number, or the variable that is one, when it alone stands on one side of what does not fit."""
    found = _ERROR.search(said)
    overload = _OVERLOAD.search(found[3]) if found is not None else None
    if found is None or overload is None or overload[2] not in {"double, int", "int, double"}:
        return None
    at = _offset(source, int(found[1]), int(found[2]))
    tokens = list(_tokens(source))
    index = next((i for i, each in enumerate(tokens) if each.start == at), -1)
    if index < 0:
        return None
    if overload[2] == "double, int":
        first = index + 2 if tokens[index + 1].text == "-" else index + 1
        last = first
        while last + 2 < len(tokens) and tokens[last + 1].text == "." and tokens[last].kind == "name":
            last += 2
        stands_alone = _ends(tokens, last + 1)
    else:
        first = last = index - 1
        while first >= 2 and tokens[first - 1].text == "." and tokens[first].kind == "name":
            first -= 2
        before = first - 2 if first and tokens[first - 1].text == "-" else first - 1
        stands_alone = before < 0 or tokens[before].text in _OPENING
    if not stands_alone:
        return None
    if first == last and tokens[first].kind == "int":
        return tokens[first] if tokens[first].text.isdecimal() else None
    name = "".join(each.text for each in tokens[first : last + 1])
    if variables.get(name) != "int":
        return None
    return _Token("name", source[tokens[first].start : tokens[last].end], tokens[first].start, tokens[last].end)


_OPENING = frozenset({"(", "[", ",", "{", ":", "?", "&&", "||", "!", "<", ">", "<=", ">=", "==", "!="})


def _ends(tokens: list[_Token], at: int) -> bool:
    return at >= len(tokens) or tokens[at].text not in {"+", "-", "*", "/", "%", ".", "[", "("}


def _offset(text: str, line: int, column: int) -> int:
    lines = text.split("\n")
    return sum(len(each) + 1 for each in lines[: line - 1]) + column - 1


def _refused(
    said: str, source: str, added: list[tuple[int, int]], variables: Mapping[str, str], place: _Place
) -> ValidationError:
    """Say in words what the engine said."""
    found = _ERROR.search(said)
    if found is None or int(found[1]) < 1:
        if "recursion" in said:
            return place.refusal(0, 0, "The expression is nested deeper than 32 levels", hint="split the policy")
        return place.refusal(0, 0, f"The expression cannot be read: {_ENGINE_CODE.sub('', said)[:200]}")
    line, column = int(found[1]), int(found[2])
    at = _offset(source, line, column)
    begins = source.rfind("\n", 0, at) + 1
    column = max(1, column - sum(size for each, size in added if begins <= each < at))
    undeclared = _UNDECLARED.search(found[3])
    if undeclared is not None:
        name = _chain_at(source, at) or undeclared[1]
        begins_at = source.rfind(name.partition(".")[0], begins, at + 1)
        column -= at - begins_at if begins_at >= 0 else 0
        return place.refusal(
            line - 1, column, f"There is no variable or function {name!r}", hint=_nearest(name, variables)
        )
    overload = _OVERLOAD.search(found[3])
    if overload is not None:
        sign = overload[1].strip("_").replace("?_:", "? :").replace("[_]", "[ ]")
        kinds = overload[2].split(", ")
        return place.refusal(
            line - 1,
            column,
            f"{sign!r} does not take {' and '.join(named(kind) for kind in kinds)}",
            hint=conversion(kinds),
        )
    return place.refusal(line - 1, column, syntax(found[3])[:240], hint=None)


def _chain_at(source: str, at: int) -> str:
    """Give the chain of names around a place, for a message."""
    tokens = list(_tokens(source))
    index = next((i for i, each in enumerate(tokens) if each.start <= at < each.end), -1)
    if index < 0 or tokens[index].kind != "name":
        return ""
    name = tokens[index].text
    index += 1
    while index + 1 < len(tokens) and tokens[index].text == "." and tokens[index + 1].kind == "name":
        called = index + 2 < len(tokens) and tokens[index + 2].text == "("
        if called:
            break
        name += "." + tokens[index + 1].text
        index += 2
    return name


def _nearest(name: str, variables: Mapping[str, str]) -> str:
    names = [each for each in variables if not each.startswith("has_")] + [each.name for each in FUNCTIONS]
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    root = name.partition(".")[0]
    below = sorted(each for each in names if each.startswith(f"{root}."))
    if below:
        return f"there are {', '.join(below[:12])}{' …' if len(below) > 12 else ''}"
    return f"there are {', '.join(sorted({each.partition('.')[0] for each in names}))}"


def _require_bounded(tree: Node, place: _Place, text: str) -> None:
    """Refuse the joining of texts that could grow without bound, which the engine does not count."""
    joins = _joins(tree, inside=False)
    refused = next((node for node, inside in joins if inside), None)
    if refused is None and len(joins) > _MAX_JOINS:
        refused = joins[_MAX_JOINS][0]
    if refused is None:
        return
    line, column = _line_of(text, refused.at)
    within = any(inside for _, inside in joins)
    raise place.refusal(
        line,
        column,
        "Texts and lists cannot be joined with + within a comprehension"
        if within
        else f"Texts and lists are joined with + more than {_MAX_JOINS} times",
        hint="for numbers, say what they are: int(a) + int(b)" if within else "compare the parts",
    )


def _joins(node: Node, *, inside: bool) -> list[tuple[Node, bool]]:
    """Give each + that may join texts or lists, and whether it stands within a comprehension.

    What macros add by themselves has its own variable as the first operand, and grows by one element a step.
    """
    found = list[tuple[Node, bool]]()
    if node.kind == "call" and node.name == "_+_" and _JOINS.intersection(node.overloads):
        left = node.children[0]
        if not (left.kind == "ident" and left.name.startswith("@")):
            found.append((node, inside))
    if node.kind == "comprehension":
        found += _joins(node.children[0], inside=inside)
        for child in node.children[1:]:
            found += _joins(child, inside=True)
        return found
    for child in node.children:
        found += _joins(child, inside=inside)
    return found


def _line_of(text: str, at: int) -> tuple[int, int]:
    before = text[: max(at, 0)]
    return before.count("\n"), len(before) - (before.rfind("\n") + 1) + 1


def _variables(node: Node, bound: frozenset[str]) -> Iterator[str]:
    """Give the names of the variables that a tree reads, without those of its comprehensions."""
    if node.kind == "ident":
        if node.name not in bound:
            yield node.name.lstrip(".")
        return
    if node.kind == "comprehension":
        yield from _variables(node.children[0], bound)
        bound |= frozenset(node.variables)
    for child in node.children[1:] if node.kind == "comprehension" else node.children:
        yield from _variables(child, bound)
