"""`altar tools` and `altar call`: tools of a module, listed and called from the shell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from altar.adm.errors import ValidationError
from altar.cli.call import arguments_of
from tests.e2e.command import altar

SHOP = '''"""Tools of a shop."""

from __future__ import annotations

from typing import Literal

import altar


@altar.tool(read_only=True)
def get_weather(
    city: str, unit: Literal["c", "f"] = "c", days: int = 1, tags: list[str] | None = None
) -> dict[str, object]:
    """The weather of a city.

    More about it.
    """
    return {"city": city, "unit": unit, "days": days, "tags": tags}


@altar.tool
def breaks(x: int) -> int:
    """Always fails."""
    raise ValueError("a secret of the tool")


@altar.tool
async def double(x: float) -> float:
    """Twice as much."""
    return x * 2
'''


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


@pytest.mark.parametrize("module", ["shop", "shop.py", "./shop.py"])
def test_tools_lists_what_a_module_declares(shop: Path, module: str) -> None:
    shown = altar("tools", module, at=shop)

    assert (shown.code, shown.err) == (0, "")
    assert shown.out == (
        "breaks(x: integer)\n    Always fails.\n"
        "double(x: number)\n    Twice as much.\n"
        'get_weather(city: string, days: integer = 1, tags: string[] | null = null, unit: "c" | "f" = "c")\n'
        "    The weather of a city.\n"
    )


def test_tools_as_json_holds_the_declarations(shop: Path) -> None:
    (shop / "altar.toml").write_text('[runtime]\ntools = ["shop"]\n')

    listed = altar("tools", "--json", at=shop).json

    assert [one["name"] for one in listed] == ["breaks", "double", "get_weather"]
    assert listed[0]["module"] == "shop"
    assert listed[0]["digest"].startswith("sha256:")
    assert listed[2]["declaration"]["parameters"]["properties"]["city"] == {"type": "STRING"}


def test_every_version_of_a_tool_is_listed_and_can_be_called(shop: Path) -> None:
    newer = "\n@altar.tool(name='double', version='2.0.0')\ndef twice(x: int) -> int:\n    'Twice.'\n    return x * 2\n"
    (shop / "shop.py").write_text(SHOP + newer)

    listed = altar("tools", "shop", at=shop).out
    results = [altar("call", tool, "x=3", "--tools", "shop", at=shop) for tool in ("double", "double@^1", "double@3")]

    assert "double@2.0.0(x: integer)\n    Twice.\ndouble@1.0.0(x: number)\n    Twice as much.\n" in listed
    assert [result.out for result in results] == ["6\n", "6\n", ""]
    assert "error: Tool 'double' has no version '3' here (VERSION_MISMATCH)" in results[2].err
    assert "hint: there is 2.0.0, 1.0.0" in results[2].err


def test_tools_of_installed_packages_are_listed_when_that_is_asked(shop: Path) -> None:
    facts = shop / "shop_tools-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: shop-tools\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[altar.tools]\nshop = shop:double\n")
    here = {"PYTHONPATH": str(shop)}

    assert "double(x: number)" in altar("tools", "--installed", at=shop, environ=here).out
    assert "no modules are named" in altar("tools", at=shop, environ=here).err

    (facts / "entry_points.txt").write_text("[altar.tools]\nshop = shop:nothing\n")
    broken = altar("tools", "--installed", at=shop, environ=here)
    assert (broken.code, broken.out) == (2, "")
    assert "error: The package 'shop-tools' offers tools at 'shop:nothing', which cannot be loaded" in broken.err


def test_no_installed_tools_are_nothing_on_stdout_and_a_warning(tmp_path: Path) -> None:
    shown = altar("tools", "--installed", at=tmp_path)

    assert (shown.code, shown.out) == (0, "")
    assert shown.err.startswith("warning: no installed package offers tools")


@pytest.mark.parametrize(
    ("files", "module", "message"),
    [
        ({}, "nosuch", "There is no module 'nosuch' (INVALID_CONFIG)"),
        ({}, "nosuch.py", "There is no file 'nosuch.py' (INVALID_CONFIG)"),
        (
            {"a.py": "import nosuch\n"},
            "a",
            "Cannot import 'a': ModuleNotFoundError: No module named 'nosuch'",
        ),
        ({"a.py": "1 / 0\n"}, "a.py", "Cannot import 'a.py': ZeroDivisionError: division by zero"),
        ({"a.py": "def f(:\n"}, "a", "Cannot import 'a': SyntaxError: invalid syntax"),
        ({"json.py": ""}, "json.py", "Cannot import 'json.py': another module is already called 'json'"),
        (
            {"a.py": "import altar\n@altar.tool\ndef f(x): 'F.'\n"},
            "a",
            "(INVALID_DECLARATION)",
        ),
    ],
)
def test_a_module_that_cannot_be_used_is_refused(
    tmp_path: Path, files: dict[str, str], module: str, message: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    shown = altar("tools", module, at=tmp_path)

    assert (shown.code, shown.out) == (2, "")
    assert message in shown.err
    assert "Traceback" not in shown.err


def test_the_line_that_failed_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n\n1 / 0\n")

    assert altar("tools", "a", at=tmp_path).err.rstrip().endswith("a.py:3")


def test_no_tools_are_nothing_on_stdout_and_a_warning(tmp_path: Path) -> None:
    shown = altar("tools", at=tmp_path)

    assert (shown.code, shown.out, shown.err) == (
        0,
        "",
        "warning: no modules are named; name one, as in `altar tools weather.py`, or set runtime.tools in altar.toml\n",
    )


def test_a_call_without_a_module_and_without_a_grid_says_what_to_name(tmp_path: Path) -> None:
    shown = altar("call", "get_weather", at=tmp_path)

    assert (shown.code, shown.out) == (2, "")
    assert "no module is named, and the source is this process (UNSUPPORTED_TOOL)" in shown.err
    assert "hint: name a module with --tools, or a host with --source grid://host:port" in shown.err


def test_a_file_whose_name_is_misspelt_is_answered_with_the_nearest(shop: Path) -> None:
    assert "hint: did you mean 'shop.py'?" in altar("tools", "shpo.py", at=shop).err


def test_call_prints_the_result_as_json(shop: Path) -> None:
    shown = altar("call", "get_weather", "city=Øslo", "days=3", 'tags=["a"]', "--tools", "shop", at=shop)

    assert (shown.code, shown.err) == (0, "")
    assert shown.out == '{"city": "Øslo", "days": 3, "tags": ["a"], "unit": "c"}\n'


def test_call_takes_the_modules_from_the_settings(shop: Path) -> None:
    shown = altar("call", "double", "x=1.5", at=shop, environ={"ALTAR_RUNTIME_TOOLS": "shop.py"})

    assert (shown.code, shown.json) == (0, 3)


def test_call_with_json_prints_the_whole_result(shop: Path) -> None:
    result = altar("call", "double", "--json-args", '{"x": 4}', "--tools", "shop", "--json", at=shop).json

    assert (result["name"], result["status"], result["content"]) == ("double", "SUCCESS", 8)
    assert result["call_id"]


def test_a_missing_argument_is_wrong_use_and_shows_the_signature(shop: Path) -> None:
    shown = altar("call", "get_weather", "--tools", "shop", at=shop)

    assert (shown.code, shown.out) == (2, "")
    assert shown.err.startswith("error: Argument `city` is missing (INVALID_TOOL_ARGS)\n\nhint: get_weather(city")


def test_a_tool_that_does_not_exist_is_wrong_use(shop: Path) -> None:
    shown = altar("call", "get_wether", "city=x", "--tools", "shop", at=shop)

    assert shown.code == 2
    assert "(UNSUPPORTED_TOOL)\n\nhint: did you mean 'get_weather'?\n" in shown.err


def test_a_tool_that_fails_is_exit_code_1_and_keeps_its_secret(shop: Path) -> None:
    shown = altar("call", "breaks", "x=1", "--tools", "shop", at=shop)
    as_json = altar("call", "breaks", "x=1", "--tools", "shop", "--json", at=shop)

    assert (shown.code, as_json.code) == (1, 1)
    assert "(TOOL_EXECUTION_FAILED)" in shown.err
    assert as_json.json["error"]["type"] == "TOOL_EXECUTION_FAILED"
    assert as_json.json["error"]["ran"] == "yes"
    assert "secret" not in shown.out + as_json.out
    assert "secret" not in shown.err.partition("error: ")[2], "the sentence for the caller keeps it too"
    assert "ValueError: a secret of the tool" in shown.err, "the log where the tool ran has the reason"


PARAMETERS: dict[str, Any] = {
    "properties": {
        "text": {"type": "string"},
        "whole": {"type": "integer"},
        "number": {"type": "number"},
        "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "both": {"type": ["string", "number"]},
        "choice": {"enum": ["1", "2"]},
        "place": {"$ref": "#/$defs/Place"},
        "kind": {"$ref": "#/$defs/Kind"},
        "any": {},
    },
    "$defs": {"Place": {"type": "object"}, "Kind": {"type": "string", "enum": ["a"]}},
}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("text=5", "5"),
        ("text=", ""),
        ("text=a=b", "a=b"),
        ("whole=5", 5),
        ("whole=five", "five"),
        ("number=5", 5),
        ("maybe=null", None),
        ("maybe=5", "5"),
        ("both=5", 5),
        ("both=true", "true"),
        ("choice=1", "1"),
        ('place={"a": 1}', {"a": 1}),
        ("kind=5", "5"),
        ("any=5", 5),
        ("any=Oslo", "Oslo"),
        ("unknown=[1]", [1]),
    ],
)
def test_the_schema_says_whether_a_value_is_text_or_json(word: str, expected: object) -> None:
    key = word.partition("=")[0]

    assert arguments_of([word], parameters=PARAMETERS) == {key: expected}


BYTES = {
    "properties": {
        "data": {"type": "string", "contentEncoding": "base64"},
        "maybe": {"anyOf": [{"$ref": "#/$defs/Photo"}, {"type": "null"}]},
        "text": {"type": "string"},
    },
    "$defs": {"Photo": {"type": "string", "contentEncoding": "base64"}},
}


def test_bytes_come_from_a_file_and_text_that_begins_like_one_stays_text(tmp_path: Path) -> None:
    photo = tmp_path / "photo"
    photo.write_bytes(b"\x00\xff")

    read = arguments_of([f"data=@{photo}", f"maybe=@{photo}", "text=@home"], parameters=BYTES)

    assert {"data": b"\x00\xff", "maybe": b"\x00\xff", "text": "@home"} == read
    assert {"data": "AP8="} == arguments_of(["data=AP8="], parameters=BYTES)


def test_a_file_of_bytes_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="for the argument 'data' cannot be read") as refused:
        arguments_of([f"data=@{tmp_path}/none"], parameters=BYTES)

    assert "MALFORMED_REQUEST" == refused.value.code


def test_call_gives_a_tool_the_bytes_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "sums.py").write_text(
        'import altar\n\n\n@altar.tool()\ndef weigh(data: bytes) -> int:\n    """Weigh."""\n    return len(data)\n'
    )
    (tmp_path / "photo").write_bytes(bytes(5000))

    done = altar("call", "weigh", "data=@photo", "--tools", "sums.py", at=tmp_path)

    assert (0, 5000) == (done.code, done.json), done.err


def test_words_are_added_to_the_json_object() -> None:
    assert arguments_of(["b=2"], json_args='{"a": 1}', parameters={}) == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("words", "json_args", "message"),
    [
        (["city"], None, "'city' is not an argument"),
        (["=x"], None, "'=x' is not an argument"),
        (["a=1", "a=2"], None, "The argument 'a' is given twice"),
        (["a=1"], '{"a": 1}', "The argument 'a' is given twice"),
        ([], "[1]", "--json-args must be a JSON object"),
    ],
)
def test_words_that_are_no_arguments_are_refused(words: list[str], json_args: str | None, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        arguments_of(words, json_args=json_args, parameters={})

    assert (caught.value.code, str(caught.value)) == ("MALFORMED_REQUEST", message)


@pytest.mark.parametrize("text", ["{", '{"a": 1, "a": 2}', '{"a": NaN}'])
def test_json_arguments_are_read_strictly(text: str) -> None:
    with pytest.raises(ValidationError):
        arguments_of([], json_args=text, parameters={})
