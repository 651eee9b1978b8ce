"""The pictures of pipelines, read by the parser of Mermaid itself (from npm)."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings

from tests.providers.presence import need
from tests.unit.ai.pipeline_plans import Plan, plans
from tests.unit.ai.test_pipeline_mermaid import HOSTILE, everything

HERE = Path(__file__).parent
NODE = HERE.parents[1] / ".cache" / "providers" / "node_modules"
MERMAID = NODE / "mermaid" / "dist" / "mermaid.core.mjs"


def parsed(pictures: dict[str, str]) -> dict[str, Any]:
    need("The parser of Mermaid", MERMAID, NODE / "jsdom")
    command = ["node", str(HERE / "mermaid.mjs"), str(NODE / "any.js"), str(MERMAID)]
    done = subprocess.run(command, input=json.dumps(pictures), text=True, capture_output=True, timeout=50, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_parser_of_mermaid_finds_what_is_in_a_pipeline_and_no_more() -> None:
    pictures = {case: everything([case]).mermaid() for case in HOSTILE}

    found = parsed({**pictures, "plain": everything(["good"]).mermaid(), "broken": "flowchart TD\n  a -->"})

    assert "Parse error" in found.pop("broken")["complaint"]
    plain = found.pop("plain")
    assert ["x", "y", "z"] == plain["frames"][-3:]
    assert [["s2", "s3", "dotted"], ["s2", "s4", "dotted"]] == [one for one in plain["edges"] if one[2] == "dotted"]
    assert dict.fromkeys(HOSTILE, plain) == found


def test_the_parser_of_mermaid_finds_every_step_and_every_way_of_any_pipeline() -> None:
    pictures: dict[str, str] = {}

    @given(plans())
    @settings(max_examples=30, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    def draw(plan: Plan) -> None:
        pictures[str(len(pictures))] = plan.made().mermaid()

    draw()
    found = parsed(pictures)

    for number, picture in pictures.items():
        assert "complaint" not in found[number], (found[number], picture)
        nodes, frames, ways = written(picture)
        assert nodes == set(found[number]["nodes"]) - frames  # a frame that a way leads to counts as a node as well
        assert ways == sorted([start, end] for start, end, _ in found[number]["edges"])
        assert len(frames) == len(found[number]["frames"])


def written(picture: str) -> tuple[set[str], set[str], list[list[str]]]:
    """The nodes, the frames and the ways between them, as the lines of a picture say."""
    nodes = set(re.findall(r"^ *(s\d+)[\[({]", picture, re.MULTILINE))
    frames = set(re.findall(r"^ *subgraph (s\d+)", picture, re.MULTILINE))
    ways = re.findall(r'^ *(s\d+) (?:-->|-- "[^"]*" -->|-\. "[^"]*" \.->) (s\d+)$', picture, re.MULTILINE)
    return nodes, frames, sorted(list(one) for one in ways)
