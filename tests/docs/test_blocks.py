"""Every block of code in the README and in docs does what the page says; every link leads somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.reader import ROOT, Block, Reader, blocks_of, missing_line

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    somebody = Reader(tmp_path)
    yield somebody
    somebody.close()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("page", [page for page in PAGES if blocks_of(page)], ids=name_of)
def test_a_reader_who_does_what_the_page_says_sees_what_it_shows(page: Path, reader: Reader) -> None:
    for block in blocks_of(page):
        reader.do(block)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    broken = []
    for match in LINK.finditer(prose):
        target, _, anchor = match["target"].partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        path = (page.parent / target).resolve() if target else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(match["target"])

    assert [] == broken


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_says_something_and_leaves_nothing_to_be_written(page: Path) -> None:
    text = page.read_text()

    assert len(text.split()) >= 40, "a page with nothing on it helps nobody"
    assert [] == re.findall(r"\b(?:TODO|TBD|FIXME|coming soon|lorem ipsum)\b", text, flags=re.IGNORECASE)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as Markdown viewers make them."""
    headings = re.findall(
        r"^#+ +(.+?) *$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), flags=re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# ── the reader itself can be disappointed ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("shown", "real", "missing"),
    [
        ("4 °C\n", "Oslo\n4 °C\n", None),
        ("took … ms\n", "took 3.2 ms\n", None),
        ("first\n…\nlast\n", "first\nx\ny\nlast\n", None),
        ("second\nfirst\n", "first\nsecond\n", "first"),
        ("4 °C\n", "14 °C\n", "4 °C"),
        ("anything\n", "", "anything"),
    ],
)
def test_shown_lines_must_appear_in_order(shown: str, real: str, missing: str | None) -> None:
    assert missing == missing_line(shown, real)


def block(language: str, text: str, directive: str = "") -> Block:
    return Block("page.md", 1, language, text, directive)


def test_python_blocks_of_one_page_share_their_names_and_may_await(reader: Reader) -> None:
    reader.do(block("python", "import asyncio\nx = 20\n"))
    reader.do(block("python", "await asyncio.sleep(0)\nprint(x + 1)\n"))
    reader.do(block("text", "21\n", "output"))


def test_files_of_a_page_can_be_imported_and_run(reader: Reader) -> None:
    reader.do(block("python", "answer = 42\n", "file: thing.py"))
    reader.do(block("console", "$ python -c 'import thing; print(thing.answer)'\n42\n"))
    reader.do(block("python", "import thing\nassert thing.answer == 42\n"))


def test_a_command_in_the_background_goes_on_until_the_page_ends(reader: Reader) -> None:
    program = "import time; print('ready'); time.sleep(60)"

    reader.do(block("console", f'$ python -c "{program}" &\nready\n$ echo next\nnext\n'))


@pytest.mark.parametrize(
    ("language", "text", "directive", "words"),
    [
        ("python", "1 / 0\n", "", "ZeroDivisionError"),
        ("python", "raise SystemExit\n", "", "SystemExit"),
        ("console", "$ false\n", "", "ended with 1"),
        ("console", "$ true\nerror: no\n", "", "ended with 0"),
        ("console", "$ echo one\ntwo\n", "", "does not print 'two'"),
        ("console", "$ make nonsense\n", "", "make has no"),
        ("console", "echo one\n", "", "begins with a command"),
        ("console", "$ echo one &\ntwo\n", "", "does not print 'two'"),
        ("text", "shown\n", "output", "does not print 'shown'"),
        ("ruby", "puts 1\n", "", "what language is 'ruby'"),
        ("", "x\n", "", "what language is ''"),
        ("python", "x\n", "not run", "say why"),
        ("python", "x = 1\n", "file: ../x.py", "outside"),
    ],
)
def test_a_page_that_does_not_hold_is_found(
    reader: Reader, language: str, text: str, directive: str, words: str
) -> None:
    with pytest.raises(AssertionError, match=re.escape(words)):
        reader.do(block(language, text, directive))


def test_blocks_are_found_with_their_language_line_and_comment(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A\n\n<!-- file: a.toml -->\n```toml\nx = 1\n```\n\n- item\n\n  ```python\n  y = 2\n  ```\n")

    found = [(b.line, b.language, b.text, b.directive) for b in blocks_of(page)]

    assert [(4, "toml", "x = 1\n", "file: a.toml"), (10, "python", "y = 2\n", "")] == found
