"""Runs and resumes pipelines, each time in a fresh child of its own that may be killed at any moment.

A line of standard input is one time, a JSON object: ``folder``, ``pipeline``, ``unknown`` (null to begin anew), the
``source`` and its ``options``. The answer is a line as well: the number of the signal that ended the child, or 0, and
in the file ``answer`` of the folder what the pipeline answered.
Beside the moments of the tools there are those of the checkpoints: before and after each of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from altar.adm.errors import AltarError
from altar.ai.pipelines import AGAIN, running
from altar.ai.pipelines.checkpoints import new_run
from altar.ai.pipelines.kept import Kept
from altar.grid.trust.tls import require_tls13
from altar.later.options import Options
from altar.later.session import Session
from tests.integration import pipeline_kill_tools as scene


def main() -> None:
    """Fork once for each line; this process has one thread, so that the child has all there is."""
    scene.EVERY.check()
    assert callable(running.running), "what a run loads is there before the first child"
    assert callable(new_run)
    require_tls13()
    assert import_module("altar.grid.client.client").__name__
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _child(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, flush=True)


def _child(given: dict[str, Any]) -> None:
    folder = Path(given["folder"])
    code = 1
    try:
        (folder / "pid").write_text(str(os.getpid()))
        answer = asyncio.run(_answer(given, folder))
        (folder / "answer").write_text(json.dumps(answer))
        code = 0
    finally:
        os._exit(code)


async def _answer(given: dict[str, Any], folder: Path) -> dict[str, Any]:
    watched = ("begin", "ended", "over", "settle")
    for name in watched:
        setattr(Kept, name, _with_moments(getattr(Kept, name), name, str(folder)))
    pipeline, unknown = getattr(scene, given["pipeline"]), given["unknown"]
    options = Options(source=given["source"], source_options=given["options"])
    async with Session(options) as session:
        kept: dict[str, Any] = {"checkpoint": folder / "runs.db", "timeout": 60}
        try:
            if unknown is None:
                result = await pipeline.run(session, {"folder": str(folder)}, run_id="r1", **kept)
            else:
                said = {path: AGAIN if value == "AGAIN" else value for path, value in unknown.items()}
                result = await pipeline.resume(session, "r1", unknown=said, **kept)
        except AltarError as error:
            return {"code": error.code, "message": error.message}
    answer: dict[str, Any] = result.to_json()
    return answer


def _with_moments(method: Callable[..., Awaitable[Any]], name: str, folder: str) -> Callable[..., Awaitable[Any]]:
    async def around(self: Kept, first: Any, *args: Any, **named: Any) -> Any:
        path = first if isinstance(first, str) else ""
        scene.moment(folder, f"before {name} {path}")
        value = await method(self, first, *args, **named)
        scene.moment(folder, f"after {name} {path}")
        return value

    return around


if __name__ == "__main__":
    main()
