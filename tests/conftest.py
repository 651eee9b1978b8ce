"""What holds for every test: in CI nothing may be skipped unless its reason is on the list."""

from __future__ import annotations

import os

import pytest

from altar.grid.trust.tls import require_tls13

require_tls13()  # gRPC reads its settings when it is imported, which some test module does before its first test runs

ALLOWED_SKIPS: frozenset[str] = frozenset({"the libraries of the providers are not installed: make peers"})
"""Reasons for which a test may be skipped in CI, word for word."""


def pytest_configure(config: pytest.Config) -> None:
    """With ``CI=true``, watch for skipped tests."""
    if os.environ.get("CI") == "true":
        config.pluginmanager.register(_SkipsFail(), "altar-skips-fail")


class _SkipsFail:
    """Turns a run that skipped what it should have run into a failed one."""

    def __init__(self) -> None:
        self._skipped: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._note(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._skipped and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._skipped:
            terminalreporter.section("skipped in CI, so this run has failed", red=True)
            for line in self._skipped:
                terminalreporter.line(line)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        if reason not in ALLOWED_SKIPS:
            self._skipped.append(f"{report.nodeid}: {reason}")
