"""A host with sinks in its settings: the log arrives, and a receiver that hangs holds up no call."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from urllib.request import urlopen

import pytest

from altar.testing import LocalGrid, until
from tests.integration import record_tools
from tests.providers.receivers import Asked, Reply, http_receiver


def with_sinks(folder: Path, lines: str) -> None:
    (folder / "altar.toml").write_text(lines)


def arrived(path: Path, event: str) -> int:
    if not path.exists():
        return 0
    return sum(json.loads(line)["event"] == event for line in path.read_text().splitlines() if line.endswith("}"))


def test_a_host_sends_its_log_on_and_its_checkpoints_elsewhere(tmp_path: Path) -> None:
    with_sinks(
        tmp_path,
        '[audit]\nanchor = "kept"\nanchor_interval = 0.2\nredact = ["order"]\n'
        '[[audit.sinks]]\nname = "copy"\nkind = "file"\naddress = "copy.ndjson"\n',
    )
    with LocalGrid([record_tools.__name__], directory=tmp_path) as grid:
        with grid.session() as session:
            session.call("record_plainly", order="o-1").unwrap()
        until(lambda: arrived(tmp_path / "copy.ndjson", "call.ended") == 1, what="the call in the copy")
        until(lambda: any((tmp_path / "kept").glob("*.checkpoint")), what="a checkpoint elsewhere")

    (recorded,) = [line for line in (tmp_path / "copy.ndjson").read_text().splitlines() if "app.order.sent" in line]
    assert {"order": "[redacted]"} == json.loads(json.loads(recorded)["data"])


def test_metrics_say_how_far_a_receiver_is_behind(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k")
    with_sinks(
        tmp_path,
        '[[audit.sinks]]\nname = "dead"\nkind = "datadog"\naddress = "http://127.0.0.1:9"\ntoken_file = "key"\n',
    )
    with LocalGrid([record_tools.__name__], directory=tmp_path, settings={"host.operations": "127.0.0.1:0"}) as grid:
        assert grid.host is not None
        address = grid.host.ready()["operations"]

        def figures() -> list[str]:
            with urlopen(f"{address}/metrics") as answer:
                return [line for line in answer.read().decode().splitlines() if line.startswith("altar_audit_sink")]

        until(lambda: any("failures" in line and not line.endswith(" 0.0") for line in figures()), what="a failure")
        behind = next(line for line in figures() if "behind" in line)

    assert behind.startswith('altar_audit_sink_behind{sink="dead"} ')
    assert float(behind.split()[1]) > 0


def test_a_receiver_that_never_answers_holds_up_no_call(tmp_path: Path) -> None:
    asked = threading.Event()
    release = threading.Event()

    def reply(_: Asked) -> Reply | None:
        asked.set()
        release.wait(60)
        return None

    (tmp_path / "key").write_text("k")
    with http_receiver(reply) as address:
        with_sinks(
            tmp_path,
            f'[[audit.sinks]]\nname = "dd"\nkind = "datadog"\naddress = "{address}"\n'
            'token_file = "key"\ntimeout = 60\n',
        )
        with LocalGrid([record_tools.__name__], directory=tmp_path) as grid, grid.session() as session:
            assert asked.wait(60)
            results = [session.call("record_plainly", order=f"o-{number}") for number in range(50)]
            assert ["recorded"] * 50 == [result.unwrap() for result in results]
        release.set()


def test_a_sink_that_cannot_be_made_does_not_stop_the_host(tmp_path: Path) -> None:
    with_sinks(
        tmp_path,
        '[[audit.sinks]]\nname = "s"\nkind = "syslog"\naddress = "127.0.0.1:1"\nauthority = "nowhere.pem"\n',
    )
    with LocalGrid([record_tools.__name__], directory=tmp_path) as grid, grid.session() as session:
        assert "recorded" == session.call("record_plainly", order="o-1").unwrap()


@pytest.mark.timeout(120)
def test_the_process_that_forwards_leaves_with_its_host(tmp_path: Path) -> None:
    with_sinks(tmp_path, '[[audit.sinks]]\nname = "copy"\nkind = "file"\naddress = "copy.ndjson"\n')
    with LocalGrid([record_tools.__name__], directory=tmp_path) as grid:
        until(lambda: arrived(tmp_path / "copy.ndjson", "log.started") == 1, what="the first entry")
        assert grid.host is not None
        grid.host.end()

        until(lambda: not forwarders(tmp_path), what="the end of the forwarder")


def forwarders(folder: Path) -> list[str]:
    """Processes that forward the log of this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = process.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "forward" in words and any(str(folder) in word for word in words):
            found.append(process.parent.name)
    return found
