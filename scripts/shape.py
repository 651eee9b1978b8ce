"""Print the figures of the house for our own code: it reports, it never fails.

Lines per file and function (median, 90th percentile, largest), depth of nesting, public names,
lines of tests per line of code, and mocks per 100 tests; each with what we aim for.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
Function = ast.FunctionDef | ast.AsyncFunctionDef
NESTING = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.Match)


def main() -> int:
    """Read the package and its tests and print a table."""
    code = _trees(ROOT / "src" / "altar")
    tests = _trees(ROOT / "tests")
    functions = [node for tree in code.values() for node in ast.walk(tree) if isinstance(node, Function)]
    sizes = {path: len(path.read_text().splitlines()) for path in code}
    lengths = {function: body_lines(function) for function in functions}
    nests = [nest(function) for function in functions]
    test_lines = sum(len(path.read_text().splitlines()) for path in tests)
    test_count = sum(1 for tree in tests.values() for node in ast.walk(tree) if _is_test(node))
    mocks = sum(path.read_text().count("mock") for path in tests)
    code_lines = sum(sizes.values())

    _row("files", f"{len(code)}, {code_lines} lines", "")
    _row("lines per file", spread(list(sizes.values())), "median about 150, p90 under 500")
    _row("lines per function", spread(list(lengths.values())), "median under 8, p90 under 30")
    _row("nesting per function", spread(nests), "at most 2")
    _row("public names of altar", str(len(public_names(ROOT / "src" / "altar" / "__init__.py"))), "about 20")
    _row("tests", f"{test_count}, {test_lines / max(code_lines, 1):.2f} lines per line of code", "about 1.5")
    _row("mocks per 100 tests", f"{100 * mocks / max(test_count, 1):.1f}", "at most 3")
    _row("modules without a docstring", str(sum(_undocumented(path, tree) for path, tree in code.items())), "0")
    for path, size in sorted(sizes.items(), key=lambda item: -item[1])[:3]:
        _row("largest file", f"{path.relative_to(ROOT)}: {size}", "under 500")
    for function, length in sorted(lengths.items(), key=lambda item: -item[1])[:3]:
        _row("longest function", f"{function.name}: {length}", "under 60")
    return 0


def body_lines(function: Function) -> int:
    """Count the lines of a function's body, without its signature and docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def nest(node: ast.AST, *, depth: int = 0) -> int:
    """Return how deep statements are nested in a function; an ``elif`` is no deeper than its ``if``."""
    deepest = depth
    for name, field in ast.iter_fields(node):
        for child in field if isinstance(field, list) else [field]:
            if not isinstance(child, ast.AST) or isinstance(child, Function):
                continue
            is_elif = isinstance(node, ast.If) and name == "orelse" and isinstance(child, ast.If)
            below = depth + (isinstance(child, NESTING) and not is_elif)
            deepest = max(deepest, nest(child, depth=below))
    return deepest


def spread(values: Sequence[int]) -> str:
    """Return median, 90th percentile and largest of some counts."""
    ordered = sorted(values) or [0]
    return f"median {median(ordered):.0f}, p90 {ordered[int(0.9 * (len(ordered) - 1))]}, largest {ordered[-1]}"


def public_names(path: Path) -> list[str]:
    """Return the names in a module's ``__all__``."""
    for node in ast.walk(ast.parse(path.read_text())) if path.exists() else ():
        if isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "__all__" for target in node.targets):
            return [str(name) for name in ast.literal_eval(node.value)]
    return []


def _trees(folder: Path) -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text()) for path in _sources(folder)}


def _sources(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*.py")) if "_proto" not in path.parts)


def _is_test(node: ast.AST) -> bool:
    return isinstance(node, Function) and node.name.startswith("test_")


def _undocumented(path: Path, tree: ast.Module) -> bool:
    return bool(path.read_text().strip()) and ast.get_docstring(tree) is None


def _row(what: str, value: str, aim: str) -> None:
    print(f"{what:<28} {value:<44} {aim and f'aim: {aim}'}".rstrip())


if __name__ == "__main__":
    sys.exit(main())
