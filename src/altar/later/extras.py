"""Packages that only some installations have: what is said when one is missing.

The name of an extra of the distribution comes in, the error with its install line goes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from altar.adm.errors import ConfigurationError

__all__ = ["extra_of", "loaded", "missing_extra"]

_EXTRAS: Mapping[str, str] = {
    "agents": "openai-agents",
    "dspy": "dspy",
    "grpc": "grid",
    "langchain_core": "langchain",
    "mcp": "mcp",
    "pydantic_ai": "pydantic-ai",
    "semantic_kernel": "semantic-kernel",
    "xllamacpp": "local-lm",
}
"""The packages that programs import themselves, each with the extra that installs it."""


def extra_of(missing: BaseException) -> str:
    """The extra that installs the package which an import did not find; "" for another error, or another package."""
    return _EXTRAS.get(missing.name or "", "") if isinstance(missing, ModuleNotFoundError) else ""


def missing_extra(extra: str, *, what: str) -> ConfigurationError:
    """The error to raise where ``what`` needs packages that the extra ``extra`` installs.

    ``what`` begins a sentence, such as ``A DSPy program as a tool``.
    """
    return ConfigurationError(
        "ENVIRONMENT_ERROR",
        f"{what} needs the extra {extra!r}, which is not installed",
        ran="no",
        hint=f'pip install "altar-ai[{extra}]"',
    )


def loaded(module: str, *, extra: str, what: str) -> Any:
    """The module ``module`` of a package that the extra ``extra`` installs; importing it may take seconds.

    Raises ConfigurationError ENVIRONMENT_ERROR, with the install line, when the package itself is not there.
    What the package in its turn does not find is a defect of that installation, and is raised as it is.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as missing:
        package = module.partition(".")[0]
        if (missing.name or "").partition(".")[0] != package:
            raise
        raise missing_extra(extra, what=what) from missing
