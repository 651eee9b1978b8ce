"""ALTAR: a Python function becomes a versioned contract that runs in-process or on a governed grid.

Declare with :func:`tool`, call through :func:`session`.
Importing this module configures nothing and loads no framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import timedelta

    from altar.adm.call import ErrorObject, FunctionCall, ResultStatus, ToolResult
    from altar.adm.declaration import Annotations, FunctionDeclaration, Tool, ToolContract, ToolManifest
    from altar.adm.errors import (
        AltarError,
        AuthorizationError,
        ConfigurationError,
        DeclarationError,
        ExecutionError,
        TransportError,
        ValidationError,
    )
    from altar.adm.schema import Schema
    from altar.later.context import ToolContext
    from altar.later.loading import load_tools
    from altar.later.session import Options, Session, SyncSession
    from altar.later.tool import ToolFunction, tool
    from altar.later.variables import VariableConflictError

__version__ = "0.1.0"

__all__ = [
    "AltarError",
    "Annotations",
    "AuthorizationError",
    "ConfigurationError",
    "DeclarationError",
    "ErrorObject",
    "ExecutionError",
    "FunctionCall",
    "FunctionDeclaration",
    "ResultStatus",
    "Schema",
    "Session",
    "SyncSession",
    "Tool",
    "ToolContext",
    "ToolContract",
    "ToolFunction",
    "ToolManifest",
    "ToolResult",
    "TransportError",
    "ValidationError",
    "VariableConflictError",
    "load_tools",
    "session",
    "tool",
]

_HOME = {
    "altar.adm.call": ("ErrorObject", "FunctionCall", "ResultStatus", "ToolResult"),
    "altar.adm.declaration": ("Annotations", "FunctionDeclaration", "Tool", "ToolContract", "ToolManifest"),
    "altar.adm.errors": (
        "AltarError",
        "AuthorizationError",
        "ConfigurationError",
        "DeclarationError",
        "ExecutionError",
        "TransportError",
        "ValidationError",
    ),
    "altar.adm.schema": ("Schema",),
    "altar.later.loading": ("load_tools",),
    "altar.later.context": ("ToolContext",),
    "altar.later.session": ("Session", "SyncSession"),
    "altar.later.tool": ("ToolFunction", "tool"),
    "altar.later.variables": ("VariableConflictError",),
}


def session(
    tools: Iterable[str | ToolFunction[..., Any]] = (),
    *,
    source: str | None = None,
    timeout: float | timedelta | None = None,
    ttl: float | timedelta | None = None,
    profile: str | None = None,
    execution_mode: Literal["remote", "local_first", "governed_local"] | None = None,
    fallback: Iterable[str] | None = None,
    labels: Mapping[str, str] | None = None,
    credential: str | Callable[[], str] | None = None,
    approval: Literal["wait", "return"] | None = None,
) -> Session:
    """A session, for ``with`` or ``async with``.

    ``tools`` is what it may use: names, ``name@range``, or tools themselves, of exactly their version; empty means all.
    ``source`` is ``later:`` (this process) or ``grid://host:port``; when it is not given it comes from
    ``ALTAR_SOURCE`` or ``altar.toml``, and is ``later:`` if nobody says.
    ``timeout`` and ``ttl`` are in seconds, or timedeltas; a grid counts ``ttl`` in whole seconds, rounded up.
    ``profile`` picks a ``[profile.<name>]`` of ``altar.toml``.
    ``execution_mode`` says where calls on a grid run: there (``remote``), in this process under permits of the host
    where that is possible (``local_first``) or only so (``governed_local``).
    ``fallback`` names the tools that may run in this process when no host can be reached.
    ``labels`` are those of the runtimes that its calls prefer on a grid, such as ``{"zone": "a"}``.
    ``credential`` says who asks on a grid: a token or an API key, or a function that gives a fresh one each time;
    without it, ``ALTAR_CREDENTIAL``, the login that ``altar login`` kept, or the certificate does.
    ``approval`` says what a call does that a person must approve: ``wait`` for that until its deadline, or ``return``
    at once with APPROVAL_PENDING and a handle to resume it by.

    This is the one place in the library that reads settings, and only for what the caller did not pass.
    """
    from altar.later.session import Options, Session, time_of, tools_of

    options = Options(tools_of(tools), timeout=time_of(timeout, name="timeout"), ttl=time_of(ttl, name="ttl"))
    where = {
        "execution_mode": execution_mode,
        "fallback": None if fallback is None else list(fallback),
        "approval": approval,
    }
    return Session(_settled(options, source=source, profile=profile, where=where, labels=labels, credential=credential))


def _settled(
    options: Options,
    *,
    source: str | None,
    profile: str | None,
    where: dict[str, Any],
    labels: Mapping[str, str] | None,
    credential: str | Callable[[], str] | None,
) -> Options:
    """The options, with what the caller did not say taken from the settings."""
    from dataclasses import replace
    from datetime import timedelta

    from altar.later.labels import labels_in
    from altar.settings import Settings, credential_options, use_in_session

    settings = Settings.load(profile=profile, source=source, **where)
    language_model = use_in_session(settings.ai)
    shown = credential_options(settings, given=credential)
    tls = settings.tls
    return replace(
        options,
        source=settings.source,
        approval=settings.approval,
        language_model=language_model,
        default_timeout=timedelta(seconds=settings.timeout),
        source_options={
            "certificate": tls.certificate,
            "key": tls.key,
            "authority": tls.authority,
            "labels": labels_in(settings.labels, setting="labels") if labels is None else labels,
            "execution_mode": settings.execution_mode,
            "fallback": settings.fallback,
            "journal": settings.journal,
            "otlp_endpoint": settings.telemetry.otlp_endpoint,
            "trace_sample": settings.telemetry.sample,
            **shown,
        },
    )


if not TYPE_CHECKING:  # a type checker reads the imports above, and knows a wrong name when it sees one

    def __getattr__(name: str) -> Any:
        for module, names in _HOME.items():
            if name in names:
                value = getattr(import_module(module), name)
                globals()[name] = value
                return value
        raise AttributeError(f"module 'altar' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
