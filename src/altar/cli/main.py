"""The command `altar`: finds the command asked for, runs it, and turns what went wrong into an exit code.

Commands are rows of `COMMANDS` and are imported when they are used, so that `altar --help` stays quick.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import cast

import click

import altar
from altar.adm.errors import AltarError, ConfigurationError, ExecutionError, ValidationError
from altar.cli import output

__all__ = ["COMMANDS", "cli", "main"]

COMMANDS: Mapping[str, tuple[str, str]] = {
    "approvals": ("altar.cli.approvals:approvals", "Decide on calls that wait for a person."),
    "artefacts": ("altar.cli.artefacts:artefacts", "Keep roles, prices and configuration as versions."),
    "audit": ("altar.cli.audit:audit", "List, export and verify the audit log."),
    "bindings": ("altar.cli.administration:bindings", "Who has which role, for what, until when."),
    "break-glass": ("altar.cli.approvals:break_glass", "Let calls pass without approval in an emergency."),
    "call": ("altar.cli.call:call", "Call one tool and print its result."),
    "can-i": ("altar.cli.administration:can_i", "Say whether you may do something on a host."),
    "config": ("altar.cli.config:config", "Show the settings and where each came from."),
    "conformance": ("altar.cli.conformance:conformance", "Judge JSON cases, one a line."),
    "contracts": ("altar.cli.contracts:contracts", "Which contracts of a host a tenant has approved."),
    "demo": ("altar.cli.demo:demo", "Run one application here, on a grid, and through a crash."),
    "dspy": ("altar.cli.dspy:dspy", "See what DSPy has for tools."),
    "explain": ("altar.cli.explain:explain", "Say why a call was decided on as it was."),
    "groups": ("altar.cli.administration:groups", "Groups of principals."),
    "host": ("altar.cli.host:host", "Serve a manifest to clients and runtimes."),
    "identity": ("altar.cli.identity:identity", "Begin with an administrator; see where people come from."),
    "journal": ("altar.cli.journal:journal", "Show what ran here and is not in the log of its host."),
    "keys": ("altar.cli.administration:keys", "API keys of programs."),
    "lint": ("altar.cli.lint:lint", "Say what makes tools hard for models or for promotion."),
    "lm": ("altar.cli.lm:lm", "Fetch and serve a language model on this machine."),
    "session": ("altar.cli.session:session", "See, extend and end your sessions on a host."),
    "runtime": ("altar.cli.runtime:runtime", "Run the tools of some modules for a host."),
    "doctor": ("altar.cli.doctor:doctor", "Check that this machine is ready."),
    "login": ("altar.cli.login:login", "Sign in to a host."),
    "logout": ("altar.cli.login:logout", "End the login at a host."),
    "manifest": ("altar.cli.manifest:manifest", "Build and check manifests of contracts."),
    "mcp": ("altar.cli.mcp:mcp", "Adopt tools of MCP servers, and serve tools to its clients."),
    "pipeline": ("altar.cli.pipeline:pipeline", "Check, show, run and resume pipelines."),
    "policy": ("altar.cli.policy:policy", "Write, test, deploy and roll back policies."),
    "principals": ("altar.cli.administration:principals", "People and programs of a tenant."),
    "promote": ("altar.cli.promote:promote", "Take tools of a development host into a manifest."),
    "roles": ("altar.cli.administration:roles", "What may be granted."),
    "store": ("altar.cli.store:store", "Back up, restore and migrate tenants and roles."),
    "tenants": ("altar.cli.administration:tenants", "Make, suspend and end tenants."),
    "tools": ("altar.cli.tools:tools", "List the tools that modules declare."),
    "top": ("altar.cli.top:top", "Show what a running host is doing."),
    "up": ("altar.cli.up:up", "Start a whole grid on this machine."),
    "who-can": ("altar.cli.administration:who_can", "List who may do something on a host."),
    "whoami": ("altar.cli.login:whoami", "Show who you are to a host."),
}
"""Each command: where it is, and its line in `altar --help`."""

GRID = frozenset({"grpc", "grpc_health", "grpc_reflection", "google", "cryptography", "uvloop"})
"""What the extra `grid` brings, by the names under which Python imports it."""

AESP = frozenset(
    "alembic argon2 cel_expr_python httpx joserfc psycopg scim2_models sqlalchemy starlette uvicorn".split()
)
"""What the extra `aesp` brings, likewise."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; without arguments it takes those of the process."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    as_json = output.wants_json(given)
    try:
        number = cli.main(args=given, prog_name="altar", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        output.say(error.format_message())
        return output.WRONG_USE
    except click.ClickException as error:
        return output.fail(_usage_error(error), as_json=as_json, number=output.WRONG_USE)
    except AltarError as error:
        return output.fail(error, as_json=as_json)
    except ModuleNotFoundError as missing:
        return output.fail(_missing_extra(missing), as_json=as_json)
    except (click.Abort, KeyboardInterrupt):
        return output.fail(ExecutionError("CANCELLED", "Interrupted"), as_json=as_json, number=130)
    return number if isinstance(number, int) else output.DONE


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        return cast("click.Command", getattr(importlib.import_module(module), name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # The lines come from the table: asking each command would import them all.
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])


def _show_version(ctx: click.Context, _option: click.Parameter, asked: bool) -> None:
    if asked:
        output.data(None, as_json=False, text=f"altar {altar.__version__}")
        ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version.",
)
def cli() -> None:
    """Declare a Python function once; call it here or on a governed grid."""


def _usage_error(error: click.ClickException) -> ValidationError:
    message = error.format_message()
    hint = None
    ctx = getattr(error, "ctx", None)
    if isinstance(error, click.NoSuchOption):
        message = f"There is no option {error.option_name!r}"
        near = difflib.get_close_matches(error.option_name, error.possibilities or (), n=1)
        hint = f"did you mean {near[0]!r}?" if near else None
    elif isinstance(error, click.UsageError) and message.startswith("No such command") and ctx is not None:
        word = message.split("'")[1] if "'" in message else ""
        near = difflib.get_close_matches(word, ctx.command.list_commands(ctx), n=1)
        message = f"There is no command {word!r}"
        hint = f"did you mean {near[0]!r}?" if near else None
    if hint is None and ctx is not None:
        hint = f"`{ctx.command_path} --help` says how"
    return ValidationError("MALFORMED_REQUEST", message.rstrip("."), hint=hint)


def _missing_extra(missing: ModuleNotFoundError) -> ConfigurationError:
    # Whatever else is missing is a defect, and its traceback must be seen.
    package = (missing.name or "").partition(".")[0]
    if package not in GRID | AESP:
        raise missing
    return ConfigurationError(
        "ENVIRONMENT_ERROR",
        f"This command needs the package {missing.name!r}, which is not installed",
        hint=f"pip install 'altar-ai[{'aesp' if package in AESP else 'grid'}]'",
    )
