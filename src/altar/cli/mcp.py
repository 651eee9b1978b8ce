"""`altar mcp`: look at a server of MCP and adopt its tools; offer the tools of a session to clients of MCP."""

from __future__ import annotations

import asyncio
import os
import secrets
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from altar.adm.errors import ConfigurationError
from altar.cli import output
from altar.cli.tools import load_modules, named_or_set

if TYPE_CHECKING:
    from altar.adapters.mcp import Adopted, Adoption, Change, McpServer

__all__ = ["mcp"]


@click.group()
def mcp() -> None:
    """Adopt the tools of servers of MCP, and offer tools to its clients."""


@mcp.command("import")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("command", nargs=-1)
@click.option("--url", metavar="URL", help="Address of the server, instead of a command that starts one.")
@click.option("--name", metavar="NAME", help="What the server is called here; the name of FILE without this.")
@click.option("--env", "variables", multiple=True, metavar="NAME", help="Variable of this shell that the server needs.")
@click.option(
    "--header", "headers", multiple=True, metavar="NAME=VARIABLE", help="Header that it needs, from a variable."
)
@click.option("--tool", "tools", multiple=True, metavar="NAME", help="Take this tool only; may be repeated.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), default=30.0, metavar="SECONDS")
@click.option("--adopt", is_flag=True, help="Write FILE: what is shown is what may be called from now on.")
@click.option("--all", "every", is_flag=True, help="Take every tool; FILE keeps to its own once it exists.")
@click.option("--accept", multiple=True, metavar="DIGEST", help="Contract whose texts look like orders, and are not.")
@output.json_option
def import_(
    *,
    file: Path,
    command: tuple[str, ...],
    url: str | None,
    name: str | None,
    variables: tuple[str, ...],
    headers: tuple[str, ...],
    tools: tuple[str, ...],
    timeout: float,
    adopt: bool,
    every: bool,
    accept: tuple[str, ...],
    as_json: bool,
) -> int:
    """Look at what a server of MCP offers, beside what was adopted in FILE.

    The server is started by COMMAND, written after `--`, or is behind `--url`; FILE says where it is once it exists.
    Without `--adopt` nothing is written, and the exit code is 1 when anything differs.
    With it FILE holds each tool and its digest; a tool that the server changes later is refused until it is adopted
    again.
    """
    from altar.adapters.mcp import Adoption, offered

    held = Adoption.read(file) if file.exists() else None
    server, given = _server(held, file, command, url=url, variables=variables, headers=headers)
    called = name or (held.name if held is not None else file.stem)
    found = asyncio.run(offered(server, name=called, secrets=given, patience=timeout, stderr="/dev/stderr"))
    there = [tool.name for tool in found.tools]
    chosen = tools or (there if held is None or every else [one.name for one in held.tools if one.name in there])
    now = found.only(chosen)
    now = replace(now, accepted=tuple(dict.fromkeys((*(held.accepted if held is not None else ()), *accept))))
    changes = (held or Adoption(called, server, ())).changes(now)
    _show(now, changes, others=[name for name in there if name not in chosen], as_json=as_json)
    if adopt:
        now.require_plain()
        now.write(file)
        output.say(f"{len(now.tools)} tools are adopted in {file}")
        return output.DONE
    if changes:
        output.say("nothing was written; with --adopt it would be")
    return output.FAILED if changes else output.DONE


@mcp.command()
@click.option("--tools", "modules", multiple=True, metavar="MODULE", help="Module or .py file that declares tools.")
@click.option("--source", help="Where they run: `later:` or `grid://host:port`.")
@click.option("--only", "names", multiple=True, metavar="NAME", help="Offer this tool only; may be repeated.")
@click.option("--http", "port", type=click.IntRange(0, 65535), metavar="PORT", help="Listen on this port of loopback.")
@click.option(
    "--token-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With --http: where the token is that clients show; made when it is not there.",
)
@click.option("--name", default="altar", metavar="NAME", help="What the server calls itself.")
@output.json_option
def serve(
    *,
    modules: tuple[str, ...],
    source: str | None,
    names: tuple[str, ...],
    port: int | None,
    token_file: Path | None,
    name: str,
    as_json: bool,
) -> int:
    """Offer the tools of a session to clients of MCP, on stdin and stdout, or with `--http` on this machine.

    Every call goes through the session: on a grid its host decides and records.
    """
    load_modules(named_or_set(modules))
    if port is not None and token_file is None:
        raise ConfigurationError(
            "INVALID_CONFIG", "--http needs a token", ran="no", hint="--token-file mcp.token, which is made if need be"
        )
    token = "" if token_file is None else _token(token_file)
    asyncio.run(_serve(source, names, port=port, token=token, name=name, as_json=as_json))
    return output.DONE


async def _serve(
    source: str | None, names: tuple[str, ...], *, port: int | None, token: str, name: str, as_json: bool
) -> None:
    import altar
    from altar.adapters.mcp import to_mcp

    async with altar.session(names, source=source) as session:
        server = to_mcp(session, name=name)
        from altar.adapters.mcp import serving

        if port is None:
            await serving.on_stdio(server)
            return

        def ready(chosen: int) -> None:
            url = f"http://127.0.0.1:{chosen}{serving.PATH}"
            output.data({"url": url}, as_json=as_json, text=url)

        await serving.on_port(server, port=port, token=token, ready=ready)


def _server(
    held: Adoption | None,
    file: Path,
    command: tuple[str, ...],
    *,
    url: str | None,
    variables: tuple[str, ...],
    headers: tuple[str, ...],
) -> tuple[McpServer, dict[str, str]]:
    """Where the server is, as the command line says or else the file, and the secrets that it needs."""
    from altar.adapters.mcp import HttpServer, StdioServer

    if url is not None and command:
        raise click.UsageError("give --url or a command, not both")
    pairs = [one.partition("=") for one in headers]
    sources = {name: variable or name for name, _, variable in pairs} | {one: one for one in variables}
    server: McpServer
    if url is not None:
        server = HttpServer(url, tuple(name for name, _, _ in pairs))
    elif command:
        server = StdioServer(command, variables)
    elif held is not None:
        server = held.server
        sources = {name: sources.get(name, name) for name in server.needs}
    else:
        raise click.UsageError(f"{str(file)!r} is not there yet: give --url, or a command after `--`")
    missing = [variable for variable in sources.values() if variable not in os.environ]
    if missing:
        raise ConfigurationError("INVALID_CONFIG", f"The variable {missing[0]!r} is not set", ran="no")
    return server, {name: os.environ[variable] for name, variable in sources.items()}


def _show(now: Adoption, changes: tuple[Change, ...], *, others: list[str], as_json: bool) -> None:
    """Print each tool with what differs; warn of texts that give orders."""
    from altar.later.imported_text import orders_in

    kinds = {change.tool: change for change in changes}
    rows, members = [["TOOL", "STATE", "DIGEST", "DESCRIPTION"]], []
    for tool in now.tools:
        change = kinds.pop(tool.name, None)
        state = "same" if change is None else change.kind
        more = "" if change is None or not change.members else f": {', '.join(change.members)}"
        rows.append([tool.name, state + more, tool.digest[7:19], _line(tool)])
        members.append({"tool": tool.name, "state": state, "digest": tool.digest})
        if tool.declaration.digest not in now.accepted:
            for order in orders_in(tool.declaration)[:3]:
                output.warn(f"{tool.name}: the text at {order.path} {order.what}: {order.words}")
    rest = [(name, "left out" if name in others else "gone") for name in kinds]
    rest += [(name, "not adopted") for name in others if name not in kinds]
    rows += [[name, state, "", ""] for name, state in rest]
    members += [{"tool": name, "state": state, "digest": ""} for name, state in rest]
    output.data(
        {"server": now.name, "protocol": now.protocol, "tools": members}, as_json=as_json, text=output.columns(rows)
    )


def _line(tool: Adopted) -> str:
    text = " ".join(str(tool.document.get("description", "")).split())
    return text if len(text) <= 60 else text[:59] + "…"


def _token(file: Path) -> str:
    """The token in a file that nobody else can read; made when the file is not there."""
    try:
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if file.stat().st_mode & 0o077:
            raise ConfigurationError(
                "INVALID_CONFIG", f"{str(file)!r} can be read by others", ran="no", hint=f"chmod 600 {file}"
            ) from None
        token = file.read_text(encoding="ascii").strip()
        if len(token) < 32:
            raise ConfigurationError("INVALID_CONFIG", f"{str(file)!r} holds no token", ran="no") from None
        return token
    token = secrets.token_urlsafe(32)
    with os.fdopen(opened, "w", encoding="ascii") as written:
        written.write(token + "\n")
    return token
