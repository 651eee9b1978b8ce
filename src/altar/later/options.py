"""How a session is opened: its options, and the times that somebody may give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from altar.adm.errors import ConfigurationError
from altar.later.contracts import no_tool
from altar.later.gate import Gate, OpenGate
from altar.later.tool import ToolFunction

__all__ = ["DEFAULT_TIMEOUT", "DEFAULT_TTL", "ApprovalMode", "Options", "time_of", "tools_of"]

ApprovalMode = Literal["wait", "return"]
"""What becomes of a call that needs approval: wait until its deadline, or return APPROVAL_PENDING with the handle."""

DEFAULT_TIMEOUT = timedelta(seconds=30)
DEFAULT_TTL = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Options:
    """How a session is opened.

    ``tools`` names what the session may use, empty for every declared tool.
    ``timeout`` is the limit of a call that the caller asked for; without it the tool's own limit holds, and
    without that ``default_timeout``.
    ``source_options`` are settings of the source's own kind, such as certificates.
    ``gate`` decides and records on this side, before a host does; it lets everything pass unless given.
    In a session of this process its ``intend`` runs what it lets pass before it returns: the caller's own task awaits a
    coroutine, and does not wait to be given one.
    ``approval`` says whether a call that a person must approve waits for that until its deadline, or returns.
    ``language_model`` is what tools of this process that ask one are told to ask, in the words of ``altar.ai``; None
    leaves it to the process.
    Raises ConfigurationError INVALID_CONFIG for a time that is negative, and for what is no such word.
    """

    tools: tuple[str, ...] = ()
    source: str = "later:"
    timeout: timedelta | None = None
    default_timeout: timedelta = DEFAULT_TIMEOUT
    ttl: timedelta | None = None
    principal: str = "local"
    source_options: Mapping[str, Any] | None = None
    gate: Gate = field(default_factory=OpenGate)
    approval: ApprovalMode = "return"
    language_model: Any = None

    def __post_init__(self) -> None:
        """Refuse a time that is negative."""
        for name in ("timeout", "default_timeout", "ttl"):
            time_of(getattr(self, name), name=name)
        mode_of(self.approval)


def time_of(value: float | timedelta | None, *, name: str) -> timedelta | None:
    """A time that somebody gave, in seconds or as a timedelta; None stays None.

    Raises ConfigurationError INVALID_CONFIG, with the ``name`` of the option, for one that is negative or endless.
    """
    try:
        given = value if value is None or isinstance(value, timedelta) else timedelta(seconds=value)
    except (OverflowError, ValueError, TypeError):  # infinite, or beyond what a timedelta holds; or no number
        given = timedelta.min
    if given is not None and given < timedelta():
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"The {name} is {value!r}, and must be a time that is neither negative nor endless",
            ran="no",
            hint=f"give seconds, or a timedelta: {name}=2.5",
        )
    return given


def mode_of(mode: str) -> ApprovalMode:
    """The mode, if it is one; ConfigurationError INVALID_CONFIG otherwise."""
    if mode not in {"wait", "return"}:
        raise ConfigurationError(
            "INVALID_CONFIG", f"approval is {mode!r}, and must be 'wait' or 'return'", ran="no", hint="approval='wait'"
        )
    return "wait" if mode == "wait" else "return"


def tools_of(tools: object) -> tuple[str, ...]:
    """The tools that somebody named for a session, each as a text; a tool itself means exactly its version.

    Raises ConfigurationError INVALID_CONFIG for one text, which would be read letter by letter, for one tool, and for
    what is not a tool, a name or ``name@range``.
    """
    if isinstance(tools, str):
        shown = repr(tools[:_LONGEST])
        hint = f"write source={shown}" if "://" in tools else f"write tools=[{shown}]"
        raise _misnamed(f"The tools are the one text {shown}, and must be a list", hint=hint)
    if isinstance(tools, ToolFunction):
        raise _misnamed(f"The tools are {tools!r} alone, and must be a list", hint=f"write tools=[{tools.name}]")
    if not isinstance(tools, Iterable):
        kind = type(tools).__name__
        raise _misnamed(f"The tools are of type {kind!r}, and must be a list", hint="leave them out for all there are")
    return tuple(_named(tool, place) for place, tool in enumerate(tools))


_LONGEST = 64


def _named(tool: object, place: int) -> str:
    if isinstance(tool, str):
        return tool
    if isinstance(tool, ToolFunction):
        return f"{tool.name}@{tool.version}"
    what, hint = no_tool(tool)
    raise _misnamed(f"Item {place} of the tools: {what}", hint=hint)


def _misnamed(what: str, *, hint: str) -> ConfigurationError:
    return ConfigurationError("INVALID_CONFIG", what, ran="no", hint=hint)
