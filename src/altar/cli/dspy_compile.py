"""`altar dspy compile`: an optimizer of DSPy on a program and a file of examples, and the state that came of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from altar.adm.canonical import parse
from altar.adm.errors import AltarError, ConfigurationError, ValidationError
from altar.adm.near import nearest
from altar.cli import output
from altar.cli.progress import progress_bar
from altar.cli.tools import load_modules

__all__ = ["compile_program"]

_LARGEST_FILE = 64 * 1024 * 1024
_MODEL = "--lm MODEL, or `lm` under [ai] in altar.toml"


@click.command(name="compile")
@click.argument("program", metavar="MODULE:PROGRAM")
@click.option(
    "--trainset",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="Examples, one JSON object in each line.",
)
@click.option(
    "--input", "inputs", multiple=True, required=True, metavar="FIELD", help="Field of an example to ask with."
)
@click.option("--metric", metavar="MODULE:FUNCTION", help="Judges an answer: (example, prediction, trace=None).")
@click.option("--optimizer", metavar="NAME", help="Optimizer of DSPy; else that of the setting `ai.default_optimizer`.")
@click.option("--option", "options", multiple=True, metavar="NAME=JSON", help="Option of it: max_bootstrapped_demos=2.")
@click.option("--lm", metavar="MODEL", help="Language model, as the setting `ai.lm` takes it.")
@click.option("--again", is_flag=True, help="Compile also what was compiled before with the same things.")
@click.option("-o", "target", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File of the state.")
@output.json_option
def compile_program(
    *,
    program: str,
    trainset: Path,
    inputs: tuple[str, ...],
    metric: str | None,
    optimizer: str | None,
    options: tuple[str, ...],
    lm: str | None,
    again: bool,
    target: Path,
    as_json: bool,
) -> None:
    """Compile a program that a module holds, and write its state for `altar.ai.load_state`.

    MODULE is named as Python imports it or by its .py file, PROGRAM is a variable in it.
    What was compiled before with the same things is read, and no language model is asked.
    With `ai.distributed_optimization` each request is a call of the tool `language_model` in the session that the
    settings name; an option that is a language model, such as `reflection_lm`, names another tool there.
    """
    import altar
    from altar.ai.optimizing import compilation
    from altar.ai.state import save_state

    os.environ.setdefault("TQDM_DISABLE", "1")  # most bars of DSPy, which would be drawn through ours
    with redirect_stdout(sys.stderr):  # what modules and DSPy print is not our data
        compiled_from = _held(program, what="program")
        judged_by = None if metric is None else _held(metric, what="metric")
        examples = _examples(trainset, inputs)
        with altar.session() as session, progress_bar("compiling") as told:
            try:
                made = compilation(
                    compiled_from,
                    trainset=examples,
                    metric=judged_by,
                    optimizer=optimizer,
                    lm=lm,
                    session=session,
                    cache=False if again else None,
                    on_progress=told,
                    **_options(options),
                )
            except ConfigurationError as unfit:
                unfit.hint = unfit.hint and unfit.hint.replace("lm=…, or set `ai.lm` and open a session", _MODEL)
                raise
        try:
            digest = save_state(made.program, target)
        except OSError as unwritten:
            raise ConfigurationError(
                "INVALID_CONFIG", f"The state {str(target)!r} cannot be written: {unwritten.strerror}", ran="yes"
            ) from unwritten
    facts = {"optimizer": made.optimizer, "cached": made.is_cached, "requests": made.requests, "state_digest": digest}
    how = "was compiled before" if made.is_cached else f"{made.requests} requests to the language model"
    output.data(facts | {"file": str(target)}, as_json=as_json, text=f"{target}  {made.optimizer}, {how}  {digest}")


def _held(address: str, *, what: str) -> Any:
    """What a variable of a module holds; the module is loaded."""
    module, colon, name = address.rpartition(":")
    if not colon or not module or not name:
        raise ValidationError(
            "MALFORMED_REQUEST",
            f"{address!r} does not say where the {what} is",
            ran="no",
            hint=f"name the module and its variable, as in shop/programs.py:{what}",
        )
    (loaded,) = load_modules([module])
    held = vars(sys.modules[loaded])
    if name in held:
        return held[name]
    near = nearest(name, [each for each in held if not each.startswith("_")])
    raise ValidationError(
        "UNKNOWN_RESOURCE",
        f"The module {module!r} has no {name!r}",
        ran="no",
        hint=f"did you mean {near!r}?" if near else "name a variable of that module",
    )


def _examples(file: Path, inputs: Sequence[str]) -> list[Any]:
    """The examples of a file, each with the fields to ask with."""
    from altar.later.extras import loaded

    dspy = loaded("dspy", extra="dspy", what="Compiling a program")
    if file.stat().st_size > _LARGEST_FILE:
        raise _unread(file, f"it has more than {_LARGEST_FILE} bytes", 1)
    examples = []
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            fields = parse(line)
        except AltarError as unread:
            raise _unread(file, unread.message, number) from unread
        if not isinstance(fields, dict):
            raise _unread(file, "it is no JSON object", number)
        missing = [name for name in inputs if name not in fields]
        if missing:
            raise _unread(file, f"it has no field {missing[0]!r}", number)
        examples.append(dspy.Example(**fields).with_inputs(*inputs))
    if not examples:
        raise _unread(file, "there is no example", 1)
    return examples


def _options(words: Sequence[str]) -> dict[str, Any]:
    options = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier() or name in _OURS:
            raise ValidationError(
                "MALFORMED_REQUEST", f"{word!r} is no option of an optimizer", ran="no", hint="write it as NAME=JSON"
            )
        try:
            options[name] = parse(value.encode())
        except AltarError:
            options[name] = value
    return options


_OURS = frozenset({"cache", "lm", "metric", "on_progress", "optimizer", "program", "session", "through", "trainset"})
"""What is said in another way than as an option of the optimizer."""


def _unread(file: Path, why: str, line: int) -> ValidationError:
    return ValidationError(
        "MALFORMED_REQUEST",
        f"Line {line} of {str(file)!r} is no example: {why}",
        ran="no",
        hint='write one JSON object in each line: {"question": "…", "answer": "…"}',
    )
