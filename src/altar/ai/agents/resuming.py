"""Going on with a run that waited for a person: the calls that waited are made under their handles, and answered."""

from __future__ import annotations

from altar.adapters.dspy.answers import answer
from altar.adm.errors import ValidationError
from altar.ai.agents.result import AgentCall, AgentResult
from altar.ai.agents.turn import USE, Turn, ends_run
from altar.ai.lm.chat import ToolUse
from altar.later.both_ways import BothWays

__all__ = ["resumed", "waiting_in"]


def waiting_in(stopped: AgentResult) -> list[AgentCall]:
    """The calls of a run that wait for a person; raises MALFORMED_REQUEST for a run that waits for nobody."""
    waiting = [call for call in stopped.tool_calls if call.status == "pending" and call.handle]
    if not waiting:
        raise ValidationError(
            "MALFORMED_REQUEST",
            "Only a run that ended with APPROVAL_PENDING can be resumed",
            ran="no",
            hint="ask again with agent.run(session, prompt)",
        )
    return waiting


async def resumed(turn: Turn, stopped: AgentResult) -> None:
    """Make the calls that waited, so that the turn can go on; raises what ends the run again."""
    turn.begin_again(stopped)
    for call in waiting_in(stopped):
        USE.set(call.use_id)
        use = ToolUse(call.name, call.arguments, call.use_id)
        turn.wait_for(use)
        result = await BothWays(turn.session).aresume(call.handle)
        turn.heard(result)
        if result.error is None or not ends_run(result.error):
            content = answer(result)
            await turn.told(use, content if isinstance(content, str) else turn.written(content))
    turn.step_ended()
