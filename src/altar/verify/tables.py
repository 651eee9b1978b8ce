"""The b-trees of the tables: every page visited once, every key in its order.

`walk` yields the pages of one table in the order of their keys, and notes whatever does not fit together.
`Visit` is one page with what it holds, and `describe` says that in words.
`walk_freelist` yields the pages that belong to no table because they are free.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from .report import Findings
from .sqlite_pages import LOCK_PAGE, PAGE, Cell, Page, Pages, RecordError, parse_page, read_record

KEY_WORDS = {
    "sqlite_schema": "rows",
    "logs": "logs",
    "places": "places",
    "entries": "entries",
    "outcomes": "intents",
    "checkpoints": "checkpoints",
}
"""What the keys of each table count."""

_DEEPEST = 20


@dataclass(frozen=True, slots=True)
class Visit:
    """One page of a table; its keys lie above `low` and up to `high` (None: no bound)."""

    table: str
    number: int
    data: bytes
    page: Page
    low: int | None
    high: int | None


@dataclass(frozen=True, slots=True)
class _Descend:
    """Still to do: visit page `number`, which page `parent`, described by `name`, points to."""

    number: int
    parent: int
    name: str
    low: int | None
    high: int | None
    depth: int


@dataclass(frozen=True, slots=True)
class _Separate:
    """Still to do: the largest key so far must be `key`, says a cell of `visit`."""

    visit: Visit
    key: int
    at: int


class Claims:
    """Which page points to which; every page but the first belongs to exactly one other."""

    def __init__(self, findings: Findings) -> None:
        """Start with page 1, which belongs to nobody."""
        self._findings = findings
        self._parent = {1: (0, "")}

    def claim(self, number: int, parent: int, name: str, count: int) -> bool:
        """Note that page `parent`, described by `name`, points to page `number` of `count`.

        Returns False, with findings, if it may not.
        """
        if not 2 <= number <= count or number == LOCK_PAGE:
            self._findings.add(name, f"leads to page {number}, which the file does not have", page=parent)
            return False
        if number in self._parent:
            for page, what in (self._parent[number], (parent, name)):
                if page:
                    self._findings.add(what, f"leads to page {number}, and so does another pointer", page=page)
            return False
        self._parent[number] = (parent, name)
        return True

    def tell_unclaimed(self, count: int) -> None:
        """Note the pages up to `count` that nothing points to."""
        first = 1
        for number in sorted({*self._parent, count + 1} | ({LOCK_PAGE} if count >= LOCK_PAGE else set())):
            if number > first:
                name = f"page {first}" if number == first + 1 else f"pages {first}–{number - 1}"
                self._findings.add(name, "belongs to no table", page=first)
            first = number + 1


def walk(pages: Pages, table: str, root: int, claims: Claims, findings: Findings) -> Iterator[Visit]:
    """Yield the pages of the table whose tree begins at page `root`, each before what is below it."""
    todo: list[_Descend | _Separate] = [_Descend(root, 1, "page 1: sqlite_schema leaf", None, None, 0)]
    largest: int | None = None
    sound = True  # the newest leaf could be read
    leaf_depth = -1
    while todo:
        step = todo.pop()
        if isinstance(step, _Separate):
            if sound and step.key != largest:
                findings.add(
                    describe(step.visit),
                    f"separates at {step.key}, but the largest key before is {largest}",
                    page=step.visit.number,
                    offset=pages.offset(step.visit.number, step.at),
                )
            continue
        visit = _visit(pages, table, step, claims, findings)
        if visit is None:
            sound = False
            continue
        yield visit
        if visit.page.kind == "interior":
            todo.extend(reversed(_below(visit, step)))
            continue
        largest, sound = _check_order(visit, largest, pages, findings), None not in visit.page.cells
        if leaf_depth not in {-1, step.depth}:
            findings.add(describe(visit), "does not lie as deep as the other leaves", page=visit.number)
        leaf_depth = step.depth


def walk_freelist(pages: Pages, claims: Claims, findings: Findings) -> Iterator[tuple[int, list[int]]]:
    """Yield each trunk page of the freelist with the free pages it lists.

    SQLite frees a page now and then when it balances a tree, though nothing is ever deleted.
    Header, trunks and pages must agree on how many are free.
    """
    header = pages.read(1) or bytes(PAGE)
    number, due = struct.unpack_from(">II", header, 32)
    trunks: list[int] = []
    parent, name, free = 1, "page 1: file header, freelist", 0
    while number and claims.claim(number, parent, name, pages.count):
        data = pages.read(number)
        if data is None:
            findings.add(f"page {number}", "is not in the file", page=number, offset=pages.offset(number))
            break
        trunks.append(number)
        following, count = struct.unpack_from(">II", data, 0)
        if count > PAGE // 4 - 2:
            findings.add(f"page {number}: freelist", f"lists {count} pages, more than fit in", page=number)
            break
        parent, name = number, f"page {number}: freelist"
        leaves = list(struct.unpack_from(f">{count}I", data, 8))
        for leaf in leaves:
            claims.claim(leaf, number, name, pages.count)
        free += 1 + count
        yield number, leaves
        number = following
    if free != due:
        for page, part in [(1, "file header, freelist"), *((trunk, "freelist") for trunk in trunks)]:
            what = f"{due} free pages are counted in the header, and {free} are listed"
            findings.add(f"page {page}: {part}", what, page=page, offset=pages.offset(page))


def describe(visit: Visit) -> str:
    """Say which page this is and what it holds: "page 12: entries leaf, entries 40–57"."""
    number, page = visit.number, visit.page
    kind = "page" if page.kind == "none" else page.kind
    first = 0 if visit.low is None else visit.low + 1
    last = visit.high
    if last is None and page.kind == "leaf" and page.cells and page.cells[-1] is not None:
        last = page.cells[-1].key
    keys = f"{first} and later" if last is None or last < first else f"{first}–{last}"
    return f"page {number}: {visit.table} {kind}, {KEY_WORDS[visit.table]} {keys}"


def numbers_of(visit: Visit) -> list[int]:
    """Return the number of each entry on a leaf.

    That is its key, as long as the keys go up within the bounds of the leaf.
    If they do not, one of them is damaged: then the others vote, because entries on a leaf are consecutive.
    """
    cells = visit.page.cells
    keys = [cell.key for cell in cells if cell is not None]
    low = -1 if visit.low is None else visit.low
    upward = all(a < b for a, b in pairwise([low, *keys]))
    if len(keys) == len(cells) and upward and (visit.high is None or not keys or keys[-1] <= visit.high):
        return keys
    votes = Counter(cell.key - index for index, cell in enumerate(cells) if cell is not None)
    votes[low + 1] += 1
    first = votes.most_common(1)[0][0]
    return list(range(first, first + len(cells)))


def columns_of(visit: Visit, cell: Cell, count: int) -> list[tuple[int, int, int]]:
    """Return the columns of a row, the first of which is the key and therefore stored as nothing."""
    columns = read_record(visit.data, cell.payload, cell.end)
    if len(columns) != count or columns[0][0] != 0:
        raise RecordError(f"the row has not the {count} columns of its table")
    return columns


def _visit(pages: Pages, table: str, step: _Descend, claims: Claims, findings: Findings) -> Visit | None:
    """Read and take apart one page; None, with findings, if there is nothing to go on with."""
    if not claims.claim(step.number, step.parent, step.name, pages.count):
        return None
    data = pages.read(step.number)
    if data is None:
        findings.add(f"page {step.number}", "is not in the file", page=step.number, offset=pages.offset(step.number))
        return None
    visit = Visit(table, step.number, data, parse_page(data), step.low, step.high)
    for what, at in visit.page.defects:
        findings.add(describe(visit), what, page=step.number, offset=pages.offset(step.number, at))
    if step.depth > _DEEPEST:
        findings.add(describe(visit), "lies deeper than any tree can be", page=step.number)
        return None
    return None if visit.page.kind == "none" else visit


def _below(visit: Visit, step: _Descend) -> list[_Descend | _Separate]:
    """List what is to be done below an interior page, in order."""
    todo: list[_Descend | _Separate] = []
    name = describe(visit)
    low = visit.low
    for cell in visit.page.cells:
        if cell is not None:
            todo.append(_Descend(cell.child, visit.number, name, low, cell.key, step.depth + 1))
            todo.append(_Separate(visit, cell.key, cell.start))
            low = cell.key
    todo.append(_Descend(visit.page.right, visit.number, name, low, visit.high, step.depth + 1))
    return todo


def _check_order(visit: Visit, largest: int | None, pages: Pages, findings: Findings) -> int | None:
    """Keys go up within the leaf, and from the leaf before; return the last one."""
    for cell in visit.page.cells:
        if cell is None:
            continue
        if largest is not None and cell.key <= largest:
            findings.add(
                describe(visit),
                f"key {cell.key} comes after {largest}",
                page=visit.number,
                offset=pages.offset(visit.number, cell.start),
            )
            return cell.key
        largest = cell.key
    return largest
