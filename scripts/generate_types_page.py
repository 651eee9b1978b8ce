"""Write the reference page of types from the table that the tests are run on.

In: `tests/unit/later/introspection/type_table.py` and the classes in `named_types.py` beside it.
Out: `docs/reference/types.md`.
Run it from anywhere: `python scripts/generate_types_page.py`.
With `--check` nothing is written, and the exit code is 1 when the page is out of date.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

if TYPE_CHECKING:
    from tests.unit.later.introspection.type_table import Row

PAGE = ROOT / "docs/reference/types.md"
CLASSES = ROOT / "tests/unit/later/introspection/named_types.py"
HEAD = """# Types

What each annotation of a tool's parameters and result becomes.
Each row is a test: the argument in JSON arrives as the Python value beside it, and each value that is refused is.

Three rules hold everywhere:

- A JSON value becomes what it is, and nothing near it: `"1"` is no number, `true` is no 1, a number is no date.
  Only 1.0 and 1 are the same number.
- Arguments arrive as the annotated Python objects, whole and already read.
- A result leaves as the JSON of its annotation, in canonical form, and is held against the contract.

A parameter without a default is required, and one that may be null is not optional by that:
`a: str | None` must be sent, `a: str | None = None` need not be.
A default is shown in the schema when it has a form in JSON; a call that leaves the argument out gets the function's
own default object.

## Signatures

| you write | the contract says |
| --- | --- |
| `a: int` | a required member |
| `a: int = 3` | an optional member, with its default |
| `a: int, /` and `*, a: int` | a member like any other; it is passed as the function wants it |
| `*names: str` | an optional list `names` |
| `**labels: str` | any further member, of that type |
| `**options: Unpack[Movie]` | the members of the TypedDict |
| `a: Annotated[int, Field(alias="from")]` | a member `from` |
| `context: altar.ToolContext` | nothing: it is filled in for each call |
| `-> Iterator[int]`, `-> AsyncIterator[int]`, a generator | an array of the values, given one by one |
| no annotation of the result | nothing is promised, and any JSON value may be returned |

Functions, coroutine functions, methods of an object or a class, static methods, objects with `__call__`,
`functools.partial` and functions decorated with `functools.wraps` can all be tools.
Of a function with overloads the implementation counts.
What a generator returns at its end is not part of its result.
"""
REFUSED = """
## What is refused

These are refused where they are declared, also inside of other types.

| annotation | Parameter 'x' … | write instead |
| --- | --- | --- |
"""
TAIL = """
## The classes above

<!-- file: named_types.py -->
```python
{classes}```

```python
import altar
from named_types import Pet, Point

@altar.tool
def describe(pet: Pet, at: Point) -> str:
    \"\"\"Describe a pet.\"\"\"
    return f"{{type(pet).__name__}} at {{at.x}}"

with altar.session(["describe"]) as session:
    print(session.call("describe", pet={{"kind": "cat"}}, at={{"x": 1}}).content)
```

<!-- output -->
```text
Cat at 1
```

This page is generated from `tests/unit/later/introspection/type_table.py`.
"""


def main(arguments: list[str]) -> int:
    """Write the page, or with `--check` only compare it; return the exit code."""
    text = generate()
    current = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    if current == text:
        return 0
    if "--check" in arguments:
        print(f"{PAGE.relative_to(ROOT)} is out of date: run scripts/{Path(__file__).name}", file=sys.stderr)
        return 1
    PAGE.write_text(text, encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


def generate() -> str:
    """Return the page as it should be."""
    from tests.unit.later.introspection.type_table import REFUSED as NONE
    from tests.unit.later.introspection.type_table import ROWS

    parts = [HEAD]
    for title, rows in ROWS.items():
        parts.append(f"\n## {title}\n\n")
        parts.append("| annotation | JSON Schema | argument | arrives as | result | refused, for example |\n")
        parts.append("| --- | --- | --- | --- | --- | --- |\n")
        parts += [_line(row) for row in rows]
    parts.append(REFUSED)
    parts += [f"| {_code(row.annotation)} | … {row.why} | {row.hint} |\n" for row in NONE]
    classes = CLASSES.read_text(encoding="utf-8").split('"""\n\n', 1)[1]
    parts.append(TAIL.format(classes=classes))
    return "".join(parts)


def _line(row: Row) -> str:
    result = _code(row.result) if row.result is not None else "the same"
    if row.returns is not None:
        result += f", by {_schema(row.returns)}"
    refused = ", ".join(_code(wrong) for wrong in row.refused) or "nothing"
    note = f"<br>{row.note}" if row.note else ""
    cells = (_code(row.annotation) + note, _schema(row.schema), _code(row.argument), _code(row.value), result, refused)
    return f"| {' | '.join(cells)} |\n"


def _schema(schema: dict[str, Any]) -> str:
    """The schema on one line, with the definition of a class in place of a lone reference to it."""
    definitions = schema.get("$defs", {})
    name = schema.get("$ref", "").removeprefix("#/$defs/")
    shown = definitions[name] if name in definitions and len(definitions) == 1 else schema
    return _code(json.dumps(shown, ensure_ascii=False))


def _code(text: str) -> str:
    """Text as code in a cell of a table, where a bar would end the cell."""
    return f"`{text}`".replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
