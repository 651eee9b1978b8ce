"""A client in a process of its own that runs tools itself, as it is told on its standard input.

Started with one argument, a JSON object: ``source`` and ``options`` of the grid.
Each line of input is a tool and its arguments; each line of output is what came of the call, in the order of the ends.
It leaves when its standard input is closed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from altar.later.session import Options, Session
from tests.integration import governed_tools


async def main(given: dict[str, Any]) -> None:
    """Call what the lines say, all at once, and say what came of each."""
    options = Options(source=given["source"], source_options=given["options"])
    async with Session(options) as session, asyncio.TaskGroup() as group:
        _say({"ready": governed_tools.__name__})
        while line := await asyncio.to_thread(sys.stdin.readline):
            asked = json.loads(line)
            group.create_task(_call(session, asked["tool"], asked["arguments"]))


async def _call(session: Session, tool: str, arguments: dict[str, Any]) -> None:
    result = await session.call(tool, arguments)
    error = result.error
    _say(
        {
            "call": result.call_id,
            "content": result.content,
            "code": "" if error is None else error.type,
            "ran": "yes" if error is None else error.ran,
            "metadata": result.metadata,
        }
    )


def _say(said: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
