"""`altar up --tier foundation`: a governed grid on one machine, with no server at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from altar.testing import until
from tests.e2e.command import COMMAND, Done, altar

pytestmark = pytest.mark.timeout(120)

TOOLS = """
import altar

@altar.tool(read_only=True)
def hello(name: str) -> str:
    \"\"\"Greet somebody.\"\"\"
    return f"hello {name}"
"""


def test_the_first_start_makes_an_administrator_and_this_machine_may_administer(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(TOOLS)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ALTAR_")}
    with (tmp_path / "up.log").open("wb") as log:
        up = subprocess.Popen(
            [COMMAND, "up", "shop", "--tier", "foundation", "--listen", "127.0.0.1:0", "--runtimes", "1"],
            cwd=tmp_path,
            env=environ | {"NO_COLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=log,
        )
    try:
        assert up.stdout is not None
        facts = json.loads(up.stdout.readline())
        at = {"ALTAR_SOURCE": facts["source"], "XDG_CONFIG_HOME": str(tmp_path / "config")}
        people = altar("principals", "list", "--json", at=tmp_path, environ=at)
        said = altar("call", "hello", "name=Ada", at=tmp_path, environ=at)
    finally:
        up.send_signal(signal.SIGINT)
        until(lambda: up.poll() is not None, what="end of altar up")
        if up.stdout is not None:
            up.stdout.close()

    assert 0 == people.code, people.err
    assert ["operator/admin", "operator/cert:me"] == [one["principal_id"] for one in people.json["principals"]]
    assert "hello Ada" in said.out, said.err
    assert "one-time password" in (tmp_path / "up.log").read_text()
    assert 'tier = "foundation"' in (tmp_path / "altar.toml").read_text()
    _assert_refused(altar("up", "shop", "--tier", "none", "--runtimes", "1", at=tmp_path))
    _assert_refused(altar("host", "--listen", "127.0.0.1:0", at=tmp_path, environ={"ALTAR_AESP_TIER": "none"}))


def _assert_refused(done: Done) -> None:
    """A plain host has not started over what a governed one has made."""
    assert 0 != done.code
    assert "" == done.out
    assert "a plain one would let everybody call (INVALID_CONFIG)" in done.err
