"""One program, compiled with the real language model of this machine, as a tool wherever it is called from.

Compiled on real reviews, saved, put into the manifest, served on a grid beside a runtime of plain functions, and called
by an agent of LangChain, an agent of Pydantic-AI and a client of MCP; the same application runs without a grid.
What the model said is recorded: with ALTAR_RECORD=1 the model itself is asked again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import httpx
import httpx2
import pytest

import altar
from altar.ai import save_state
from altar.ai.lm.local import local_lm
from altar.settings import Settings, weights_directory
from altar.testing import LocalGrid, RecordedLM, ScriptedLM, ToolUse
from tests.providers import reviews

pytestmark = [pytest.mark.providers, pytest.mark.timeout(1200)]

HERE = Path(__file__).with_name("everywhere")
PROGRAM, PLAIN = str(HERE / "sentiment_tools.py"), str(HERE / "tally_tools.py")
RECORDING = Path(__file__).with_name("everywhere.jsonl")
REVIEWS = ("The battery lasts for days and the screen is lovely.", "It broke after a week and nobody answered.")
APPLICATION = """
import asyncio, json, sys
import altar
async def main():
    async with altar.session() as session:
        told = [await session.call("sentiment", review=review) for review in sys.argv[1:]]
        counted = await session.call("tally", labels=[one.unwrap()["label"] for one in told])
    print(json.dumps({"told": [one.unwrap() for one in told], "counts": counted.content["counts"],
        "usage": [dict(one.usage or {}).get("lm_calls") for one in told], "dspy": counted.content["dspy"]}))
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of the modules above: the state of a program that was compiled here, and what the model said."""
    if not reviews.FILE.is_file():
        pytest.skip("the reviews are not on this machine: ALTAR_REVIEWS names their file")
    import dspy

    state = tmp_path_factory.mktemp("state") / "sentiment.json"
    with ExitStack() as stack:
        lm = _asked(stack)
        compiled = _compiled(dspy, lm, reviews.examples(train=6, held_out=0)[0])
        assert [demo for demo in compiled.demos if dict(demo).get("augmented")]
        if os.environ.get("ALTAR_RECORD"):
            with dspy.context(lm=lm, adapter=dspy.JSONAdapter()):
                for review in REVIEWS:
                    compiled(review=review)
    save_state(compiled, state)
    return {"SENTIMENT_STATE": str(state), "SENTIMENT_RECORDING": str(RECORDING)}


def _asked(stack: ExitStack) -> Any:
    """What the model said before, or the model itself."""
    settings = {"temperature": 0.0, "max_tokens": 60}
    if not os.environ.get("ALTAR_RECORD"):
        return RecordedLM(RECORDING).dspy(**settings)
    served = stack.enter_context(local_lm(directory=weights_directory(Settings.load().ai), context=2048))
    real = served.dspy(**settings, cache=False, num_retries=0)
    RECORDING.unlink(missing_ok=True)
    return RecordedLM(RECORDING, model=real, mode="record", keeps_requests=False).dspy(**settings)


def _compiled(dspy: Any, lm: Any, train: list[Any]) -> Any:
    class Sentiment(dspy.Signature):
        """Say whether the review is positive or negative."""

        review: str = dspy.InputField()
        label: Literal["positive", "negative"] = dspy.OutputField()

    optimizer = dspy.BootstrapFewShot(
        metric=lambda example, prediction, _=None: example.label == prediction.label,
        max_bootstrapped_demos=2,
        max_labeled_demos=2,
    )
    with dspy.context(lm=lm, adapter=dspy.JSONAdapter()):
        return optimizer.compile(dspy.Predict(Sentiment), trainset=train)


@pytest.fixture(scope="module")
def grid(environ: dict[str, str]) -> Iterator[LocalGrid]:
    with LocalGrid([PROGRAM, PLAIN], runtimes=0, environ=environ) as grid:
        grid.start_runtime(1, modules=[PROGRAM])
        grid.start_runtime(2, modules=[PLAIN])
        yield grid


def run(environ: dict[str, str], *tools: str) -> dict[str, Any]:
    """The application in a process of its own, with these modules loaded."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ALTAR_")}
    loaded = "import altar\n" + "".join(f"altar.load_tools({tool!r})\n" for tool in tools)
    done = subprocess.run(
        [sys.executable, "-c", loaded + APPLICATION, *REVIEWS],
        env=clean | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_the_application_gives_the_same_with_and_without_a_grid(environ: dict[str, str], grid: LocalGrid) -> None:
    here = run(environ, PROGRAM, PLAIN)
    there = run(
        {"ALTAR_SOURCE": grid.source} | {f"ALTAR_TLS_{name.upper()}": str(at) for name, at in grid.options.items()}
    )

    assert here.pop("dspy")
    assert not there.pop("dspy"), "the runtime of plain functions has loaded DSPy"
    assert here == there
    assert {"positive", "negative"} >= {one["label"] for one in here["told"]}
    assert [1, 1] == here["usage"]


async def test_an_agent_of_langchain_calls_it(grid: LocalGrid) -> None:
    from langchain.agents import create_agent
    from langchain_openai import ChatOpenAI

    from altar.adapters.langchain import to_langchain

    script = ScriptedLM([ToolUse("sentiment", {"review": REVIEWS[0]}), "That is what it says."])
    with script.serve() as server:
        async with grid.session(["sentiment"]) as session, httpx.AsyncClient() as web:
            model = ChatOpenAI(model="scripted", base_url=server.base_url, api_key="none", http_async_client=web)
            agent = create_agent(model, to_langchain(session))
            answer = await agent.ainvoke({"messages": [{"role": "user", "content": "Is the review kind?"}]})

    (told,) = (message for message in answer["messages"] if message.type == "tool")
    assert ("success", "label") == (told.status, next(iter(json.loads(told.content))))
    assert "That is what it says." == answer["messages"][-1].content
    assert "sentiment" == recorded_call(grid)


async def test_an_agent_of_pydantic_ai_calls_it(grid: LocalGrid) -> None:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    from altar.adapters.pydantic_ai import to_pydantic_ai

    script = ScriptedLM([ToolUse("sentiment", {"review": REVIEWS[0]}), "That is what it says."])
    with script.serve() as server:
        async with grid.session(["sentiment"]) as session, httpx2.AsyncClient() as web:
            provider = OpenAIProvider(base_url=server.base_url, api_key="none", http_client=web)
            agent = Agent(OpenAIChatModel("scripted", provider=provider), toolsets=[to_pydantic_ai(session)])
            answer = await agent.run("Is the review kind?")

    assert "That is what it says." == answer.output
    returned = [part for message in answer.all_messages() for part in message.parts if part.part_kind == "tool-return"]
    assert [{"label"}] == [set(part.content) for part in returned]
    assert "sentiment" == recorded_call(grid)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_of_mcp_calls_it(grid: LocalGrid, mode: str) -> None:
    from mcp.client.client import Client

    from altar.adapters.mcp import to_mcp

    async with grid.session(["sentiment"]) as session, Client(to_mcp(session), mode=mode) as client:
        (offered,) = (await client.list_tools()).tools
        told = await client.call_tool("sentiment", {"review": REVIEWS[0]})

    assert ["review"] == offered.input_schema["required"]
    assert not told.is_error
    assert {"label"} == set(told.structured_content)
    assert "sentiment" == recorded_call(grid)


def recorded_call(grid: LocalGrid) -> str:
    """The tool of the last call in the log of the host, once it has its outcome."""
    entries = [entry for entry in grid.entries() if entry["kind"] in {"intent", "outcome"}]
    assert "outcome" == entries[-1]["kind"]
    assert altar.ResultStatus.SUCCESS.value.lower() in json.dumps(entries[-1]).lower()
    return str(entries[-2]["tool"])
