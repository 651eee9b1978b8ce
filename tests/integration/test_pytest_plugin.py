"""The pytest plugin, as a user's own run of pytest sees it: fresh processes, found by its entry point."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(180)

PRICES = '''
"""Prices of a shop."""

import altar

@altar.tool(read_only=True)
def price_of(article: str, count: int = 1) -> int:
    """Say what some articles cost."""
    return 250 * count

@altar.tool
def fail(secret: str) -> int:
    """Always fail."""
    raise ValueError(secret)
'''


INI = "[pytest]\naltar_tools = prices.py\naddopts = -p no:asyncio -p no:xdist -p no:cacheprovider -W error\n"


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A directory with a module of tools, where pytest has no configuration but that of the test."""
    pytester.makepyfile(prices=PRICES)
    pytester.makeini(INI)
    for name in ("ALTAR_SOURCE", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    return pytester


def run(suite: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run pytest in a process of its own."""
    return suite.run(sys.executable, "-m", "pytest", "-v", *arguments)


def test_a_test_with_a_session_runs_on_every_row(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import altar

        def test_a_price(altar_session, altar_row, altar_gate):
            assert altar_session.tools == ["fail", "price_of"]
            assert altar_session.call("price_of", article="tea", count=2).unwrap() == 500
            failed = altar_session.call("fail", secret="s3cret").error
            assert (failed.type, failed.ran) == ("TOOL_EXECUTION_FAILED", "yes")
            assert altar_gate.calls == [("price_of", {"article": "tea", "count": 2}), ("fail", {"secret": "s3cret"})]
            assert [outcome.error is None for _, outcome in altar_gate.outcomes] == [True, False]
            assert (altar_row.grid is None) == (altar_row.name == "local")

        def test_a_gate_refuses(altar_session, altar_gate):
            altar_gate.refuse = {"price_of": altar.AuthorizationError("PERMISSION_DENIED", "not today", ran="no")}
            refused = altar_session.call("price_of", article="tea").error
            assert (refused.type, refused.message, refused.ran) == ("PERMISSION_DENIED", "not today", "no")
            assert altar_gate.calls == []

        def test_a_row_opens_sessions(altar_row):
            with altar_row.session(["price_of@^1"], timeout=5) as first, altar_row.session() as second:
                assert first.tools == ["price_of"]
                assert second.tools == ["fail", "price_of"]
                assert first.call("fail", secret="x").error.type == "UNSUPPORTED_TOOL"

        def test_what_a_test_breaks_is_mended_for_the_next(altar_row):
            if altar_row.grid is not None:
                altar_row.grid.kill_runtime(1)
                altar_row.grid.kill_runtime(2)

        def test_one_row_differs(altar_session, altar_row):
            assert altar_session.call("price_of", article="tea").unwrap() == (250 if altar_row.name == "local" else 1)
        """
    )

    result = run(suite)

    result.assert_outcomes(passed=9, skipped=5, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*::test_a_price[[]local] PASSED*",
            "*::test_one_row_differs[[]local] PASSED*",
            "*::test_a_price[[]grid] PASSED*",
            "*::test_one_row_differs[[]grid] FAILED*",
            "*assert 250 == *1*",
        ]
    )


def test_one_grid_serves_all_modules_of_tests_and_ends_with_the_run(suite: pytest.Pytester) -> None:
    serving = """
        import pytest

        def test_it(altar_row, altar_session):
            assert altar_session.call("price_of", article="tea").unwrap() == 250
            with open("pids", "a") as file:
                print(altar_row.grid.host.pid, altar_row.grid.directory, file=file)

        @pytest.mark.altar(tools="empty.py")
        def test_no_grid(altar_session):
            pass
        """
    suite.makepyfile(empty="with open(__file__ + '.tries', 'a') as file:\n    print('tried', file=file)\n")
    suite.makepyfile(test_one=serving, test_two=serving)

    result = run(suite, "--altar-rows=grid")

    result.assert_outcomes(passed=2, errors=2)
    (line,) = set((suite.path / "pids").read_text().splitlines())
    pid, directory = line.split()
    assert not Path(directory).exists()
    assert not Path("/proc", pid).exists()
    result.stdout.fnmatch_lines(["the row 'grid' cannot be started: *", "*The module 'empty' declares no tool*"])
    assert (suite.path / "empty.py.tries").read_text() == "tried\n", "a failure is told again, not tried again"


def test_marks_and_the_command_say_which_tools_and_rows(suite: pytest.Pytester) -> None:
    suite.makepyfile(other='import altar\n@altar.tool\ndef look() -> int:\n    "Look."\n    return 7\n')
    suite.makepyfile(
        """
        import altar
        import pytest
        from altar.later.registry import REGISTRY

        @altar.tool
        def before() -> int:
            "Was here before."
            return 1

        def test_all_rows(altar_session):
            assert altar_session.call("price_of", article="tea").unwrap() == 250

        @pytest.mark.altar(rows="grid")
        def test_a_row_that_was_not_chosen(altar_session):
            pytest.fail("it ran")

        @pytest.mark.altar(tools=["nosuch"], rows=["local"])
        class TestClosest:
            @pytest.mark.altar(tools="other")
            def test_the_closest_mark_counts(self, altar_session):
                assert altar_session.tools == ["look"]
                assert altar_session.call("look").unwrap() == 7

        def test_a_clock(altar_clock):
            altar_clock.advance(2.5)
            assert altar_clock() == 1002.5

        def test_a_registry_is_empty(altar_registry):
            assert altar_registry is REGISTRY
            assert len(altar_registry) == 0
            altar.tool(lambda: 1, name="inside", description="Made by a test.")
            assert [tool.name for tool in altar_registry] == ["inside"]

        def test_and_as_it_was_afterwards():
            names = {tool.name for tool in REGISTRY}
            assert "before" in names
            assert "inside" not in names

        def test_a_session_brings_its_tools(altar_registry, altar_session):
            assert altar_session.call("price_of", article="tea").unwrap() == 250
        """
    )

    run(suite, "--altar-rows=local").assert_outcomes(passed=6, skipped=1)


def test_tools_there_are_not_are_one_clear_error_each(suite: pytest.Pytester) -> None:
    suite.makepyfile(broken="1 / 0\n")
    suite.makeini(INI.replace("prices.py", ""))
    suite.makepyfile(
        """
        import pytest

        @pytest.mark.altar(tools="nosuch")
        def test_a_module(altar_session): pass

        @pytest.mark.altar(tools="nosuch.py")
        def test_a_file(altar_session): pass

        @pytest.mark.altar(tools="broken")
        def test_a_broken_one(altar_session): pass

        def test_none_at_all(altar_session): pass

        def test_another(): pass
        """
    )

    result = run(suite, "--altar-rows=local")

    result.assert_outcomes(passed=1, errors=4)
    for words in (
        "There is no module 'nosuch' (INVALID_CONFIG)",
        "There is no file '*/nosuch.py' (INVALID_CONFIG)",
        "Cannot import 'broken': ZeroDivisionError: division by zero (INVALID_CONFIG)",
        "no tools are named for this test",
    ):
        result.stdout.fnmatch_lines([words, "hint: *"])
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize(
    ("mark", "rows", "words"),
    [
        ("", "federated", "*there is no row 'federated'; there is local, governed, grid"),
        ("('prices')", "local", "*test_it: write @pytest.mark.altar(tools=*"),
        ("(rows='lokal')", "local", "*test_it: write @pytest.mark.altar(tools=*"),
    ],
)
def test_wrong_use_is_refused_before_anything_runs(suite: pytest.Pytester, mark: str, rows: str, words: str) -> None:
    suite.makepyfile(f"import pytest\n\n@pytest.mark.altar{mark}\ndef test_it(altar_session):\n    pass\n")

    result = run(suite, f"--altar-rows={rows}")

    assert result.ret in {pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.INTERRUPTED}
    pytest.LineMatcher([*result.outlines, *result.errlines]).fnmatch_lines([words])
    result.stdout.no_fnmatch_line("*PASSED*")


def test_a_run_that_has_nothing_to_do_with_altar_loads_nothing_of_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_light():
            ours = {name for name in sys.modules if name.partition(".")[0] == "altar"}
            assert ours == {"altar", "altar.testing", "altar.testing.plugin"}
            heavy = {"grpc", "pydantic", "jsonschema_rs", "orjson", "cryptography", "click", "griffe"}
            assert not heavy & set(sys.modules)
        """
    )

    # other plugins in this environment load some of these themselves
    others = (
        "hypothesispytest",
        "asyncio",
        "xdist",
        "langsmith_plugin",
        "recording",
        "syrupy",
        "codspeed",
        "benchmark",
    )
    result = run(pytester, *(word for name in others for word in ("-p", f"no:{name}")), "-W", "error")

    result.assert_outcomes(passed=1)


def test_the_plugin_can_be_left_out(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import sys\n\ndef test_it():\n    assert 'altar' not in sys.modules\n")

    run(pytester, "-p", "no:altar", "-p", "no:asyncio").assert_outcomes(passed=1)
