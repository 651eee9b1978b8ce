"""What a hint says in the words of Python, said in those of YAML: ``inputs={'a': 'b'}`` is ``inputs: {a: b}`` there.

A hint of :mod:`altar.ai.pipelines.refusals` or of the constructors comes in; one for the reader of a text goes out.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["in_yaml"]


def in_yaml(hint: str) -> str:
    """The same hint for somebody who writes YAML; what says nothing of Python stays as it is."""
    for python, yaml in _WHOLE.items():
        hint = hint.replace(python, yaml)
    return _SAID.sub(_written, hint)


def _written(said: re.Match[str]) -> str:
    word, value = said.group(1), said.group(2)
    if word == "inputs" and value.startswith("'"):
        return f"`{word}: {value[1:-1]}`" if _PLAIN.fullmatch(value) else f'`{word}: "{value[1:-1]}"`'
    value = _NAME.sub(r"\1", value)
    return f"`{word}: {value}`" if value else f"`{word}:`"


_SAID: Final = re.compile(
    r"\b(concurrency|default|gives|inputs|item|name|output|pipelines|takes|timeout)="
    r"(\{.*\}|\[.*\]|'[^']*'|\d[\d.]*|…|)"
)
"""An option as Python says it, with its value; a mapping reaches to the last brace."""
_NAME: Final = re.compile(r"'([A-Za-z_][\w-]*)'")
_PLAIN: Final = re.compile(r"'[\w-]+'")
_WHOLE: Final = {
    "parallel(first=tool(…), second=tool(…))": "`parallel: {first: …, second: …}`",
    "or a Retry(…)": "or such as `{attempts: 3, base: 0.5}`",
    ": {'billing': 'billing_steps'}": ": `cases: {billing: billing_steps}`",
    ": ['report']": ": `outputs: [report]`",
}
"""Hints that are said in another way altogether."""
