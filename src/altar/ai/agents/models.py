"""One value for the language model of an agent, under each framework.

In: what :func:`altar.ai.language_model` takes as a text, a ``dspy.LM``, a model of Pydantic-AI, or a model of ours such
as ``ScriptedLM``; None for the language model of this process.
Out: what the framework takes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from altar.adm.errors import ConfigurationError
from altar.ai.lm.chat import ChatModel
from altar.ai.lm.configure import Choice, LMOptions, chosen_in, language_model, local_address, made_of
from altar.ai.lm.recorded import RecordedLM, asked_by_us
from altar.ai.lm.scripted import ScriptedLM
from altar.later.extras import loaded

__all__ = ["AgentModel", "kind_of"]


def kind_of(model: Any) -> str:
    """What kind of value it is: ``text``, ``dspy``, ``pydantic_ai`` or ``chat``; "" for none of them."""
    if isinstance(model, str):
        return "text"
    for one in type(model).__mro__:
        package = one.__module__.partition(".")[0]
        if (package, one.__name__) == ("dspy", "BaseLM"):
            return "dspy"
        if (package, one.__name__) == ("pydantic_ai", "Model"):
            return "pydantic_ai"
    return "chat" if callable(getattr(model, "complete", None)) and hasattr(model, "name") else ""


@dataclass(slots=True)
class AgentModel:
    """The language model of an agent; what is made of a text is made once, so that a script goes on where it was."""

    given: Any = field(repr=False)
    _made: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        """Raise ConfigurationError INVALID_CONFIG for what is no language model."""
        if self.given is not None and not kind_of(self.given):
            raise ConfigurationError(
                "INVALID_CONFIG",
                f"A value of the type {type(self.given).__name__!r} is no language model",
                ran="no",
                hint="give a text such as 'openai/gpt-4.1-mini', a dspy.LM, a model of Pydantic-AI, or a ScriptedLM",
            )

    def dspy(self, own: Choice | None) -> Any:
        """The ``dspy.LM``; ``own`` is the language model of the session, for an agent that was given none.

        Raises ENVIRONMENT_ERROR where there is none at all.
        """
        from altar.ai.lm.engine import dspy_lm

        model, kind = self._resolved(own)
        if kind == "dspy":
            return model
        if kind == "text":
            choice = chosen_in(own)
            return made_of(choice) if self.given is None else language_model(model, _options(choice, model))
        if kind == "pydantic_ai":
            from altar.ai.agents.pydantic_engine import pydantic_lm

            return self._once(f"dspy {id(model)}", lambda: pydantic_lm(model))
        return self._once(f"dspy {id(model)}", lambda: dspy_lm(model))

    @asynccontextmanager
    async def pydantic_ai(self, own: Choice | None) -> AsyncIterator[tuple[Any, dict[str, Any]]]:
        """The model of Pydantic-AI for one run, and the settings to ask it with.

        What it opens for the run, such as a web client, is closed then.
        Raises ENVIRONMENT_ERROR for a provider whose package is not installed, INVALID_CONFIG for one that is not known
        or has no key.
        """
        model, kind = self._resolved(own)
        if kind == "text":
            options = _options(chosen_in(own), model)
            async with _provided(model, options) as made:
                yield made, {} if options.timeout is None else {"timeout": options.timeout}
            return
        if kind == "pydantic_ai":
            yield model, {}
            return
        from altar.ai.agents.pydantic_model import OurModel

        yield OurModel(_chat_model(model) if kind == "dspy" else model), {}

    def _resolved(self, own: Choice | None) -> tuple[Any, str]:
        """The value and its kind; scripts and recordings are read once."""
        given = self.given
        if given is None:
            choice = chosen_in(own)
            given = _of_dspy() if choice is None else choice.spec
        if given is None:
            raise ConfigurationError(
                "ENVIRONMENT_ERROR",
                "The agent has no language model",
                ran="no",
                hint="agent(model='openai/gpt-4.1-mini'), or `lm` in [ai] of altar.toml",
            )
        kind = kind_of(given)
        if kind == "text":
            scheme, _, rest = given.partition(":")
            if scheme == "scripted" and rest:
                return self._once(given, lambda: ScriptedLM.from_file(rest)), "chat"
            if scheme == "recorded" and rest:
                return self._once(given, lambda: RecordedLM(rest)), "chat"
        return given, kind

    def _once(self, name: str, make: Any) -> Any:
        if name not in self._made:
            self._made.setdefault(name, make())  # runs may be in several threads: the first one counts
        return self._made[name]


def _of_dspy() -> Any:
    """The language model that DSPy was configured with, if it is loaded at all."""
    import sys

    dspy = sys.modules.get("dspy")
    return None if dspy is None else dspy.settings.lm


def _options(choice: Choice | None, model: str) -> LMOptions:
    """How a model is reached: as the one that was chosen is, whose key and address are for its own provider alone."""
    if choice is None:
        return LMOptions()
    if _provider(choice.spec) == _provider(model):
        return choice.options
    return replace(choice.options, key=None, base_url="")


def _provider(spec: str) -> str:
    """Who serves a model, by the words for it."""
    kind = spec.partition(":")[0]
    return kind if "/" not in kind else spec.partition("/")[0]


def _chat_model(lm: Any) -> ChatModel:
    """The model behind a ``dspy.LM``: ours, where it is one, else the LM itself, asked by us."""
    ours: ChatModel | None = getattr(getattr(lm, "engine", None), "model", None)
    return ours if ours is not None and kind_of(ours) == "chat" else asked_by_us(lm)


@asynccontextmanager
async def _provided(spec: str, options: LMOptions) -> AsyncIterator[Any]:
    """A model of a provider, or the local one by its address, with a client of its own."""
    loaded("pydantic_ai", extra="pydantic-ai", what="An agent of Pydantic-AI")
    provider, _, name = spec.partition("/")
    if spec == "local" or spec.startswith("local:"):
        made = _openai(*local_address(spec.partition(":")[2], options))
    elif options.base_url and provider not in _OWN_FORM:
        made = _openai(name, options.base_url, "" if options.key is None else options.key())
    else:
        made = _inferred(provider, name, options)
    async with made:
        yield made


def _openai(name: str, base_url: str, key: str) -> Any:
    """A model at an OpenAI-compatible address; its provider owns its web client, which ends with the run."""
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    return OpenAIChatModel(name, provider=OpenAIProvider(base_url=base_url, api_key=key or "none"))


def _inferred(provider: str, name: str, options: LMOptions) -> Any:
    """The model of a provider, whose key is that of the options, or in the environment."""
    from pydantic_ai.exceptions import UserError
    from pydantic_ai.models import infer_model
    from pydantic_ai.providers import infer_provider_class

    known = _NAMES.get(provider, provider)
    given: dict[str, str] = {} if options.key is None else {"api_key": options.key()}
    if options.base_url:
        given["base_url"] = options.base_url.rstrip("/").removesuffix(_VERSIONS.get(known, ""))
    try:
        return infer_model(f"{known}:{name}", provider_factory=lambda asked: infer_provider_class(asked)(**given))
    except ImportError as missing:
        raise ConfigurationError(
            "ENVIRONMENT_ERROR",
            f"Pydantic-AI cannot reach {_shown(provider, name)}: the package of that provider is not installed",
            ran="no",
            hint=f'pip install "pydantic-ai-slim[{_EXTRAS.get(known, known)}]"',
            detail=str(missing),
        ) from missing
    except (UserError, ValueError, TypeError) as refused:
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"{_shown(provider, name)} names no language model that Pydantic-AI can reach",
            ran="no",
            hint="write 'provider/model'; the key belongs into the environment, under the name its provider gives it",
            detail=f"{type(refused).__name__}: {refused}",
        ) from refused


def _shown(provider: str, name: str) -> str:
    return repr(f"{provider}/{name}"[:100] if name else provider[:100])


_NAMES = {"gemini": "google", "vertex_ai": "google-cloud", "together_ai": "together"}
"""What Pydantic-AI calls the providers that DSPy calls otherwise."""

_EXTRAS = {"google-cloud": "google"}
"""The extras of Pydantic-AI that are not called as their provider is."""

_VERSIONS = {"anthropic": "/v1"}
"""What ends an address for DSPy, where the package of the provider adds it by itself."""

_OWN_FORM = frozenset(
    ("anthropic", "bedrock", "cohere", "gemini", "google", "groq", "huggingface", "mistral", "vertex_ai")
)
"""Providers that are asked in a form of their own, also where they have another address."""
