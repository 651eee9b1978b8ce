"""Real servers of MCP from npm: adopted, served by a runtime, and called under an ALTAR policy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from altar.adm.call import ToolResult
from altar.cli.main import main
from altar.ledger.reader import LogReader
from tests.integration.foundation_scene import FoundationGrid
from tests.providers.presence import need

pytestmark = pytest.mark.timeout(180)  # its first test waits for a host, and for what it runs

NODE = Path(__file__).resolve().parents[2] / ".cache" / "providers" / "node_modules"
SERVERS = NODE / "@modelcontextprotocol"

MODULE = """
from pathlib import Path

from altar.adapters.mcp import from_mcp

HERE = Path(__file__).parent
EVERYTHING = from_mcp(HERE / "everything.json", prefix="every_", recheck={recheck})
FILES = from_mcp(HERE / "files.json", prefix="files_")
MEMORY = from_mcp(HERE / "memory.json", prefix="memory_", secrets={{"MEMORY_FILE_PATH": str(HERE / "memory.jsonl")}})
"""

BUNDLE = """
name = "servers"

[[policies]]
name = "no-hidden-files"
tools = ["files_write_file"]
condition = "args.path.contains('/.')"
effect = "DENY"
message = "Hidden files are not written by agents."
"""


class Servers(FoundationGrid):
    """A host of the tier ADVANCED whose runtime serves the tools of three servers, and alice who calls them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.adopt()
        module = folder / "npm_servers.py"
        module.write_text(MODULE.format(recheck=60))
        settings = {"aesp.tier": "advanced", "aesp.require_review": "false"}
        super().__init__(folder / "grid", modules=(str(module),), settings=settings)

    def adopt(self) -> None:
        """Look at each server and adopt its tools, as a person does at a shell."""
        (self.folder / "shared").mkdir()
        self.take("everything", "server-everything", "stdio", tools=("echo", "get-sum", "get-tiny-image", "get-env"))
        self.take("files", "server-filesystem", str(self.folder / "shared"))
        self.take("memory", "server-memory", env="MEMORY_FILE_PATH")

    def take(self, name: str, server: str, *arguments: str, tools: tuple[str, ...] = (), env: str = "") -> None:
        """Adopt the tools of one server."""
        named = [word for tool in tools for word in ("--tool", tool)] + (["--env", env] if env else [])
        command = ["--", "node", str(SERVERS / server / "dist/index.js"), *arguments]
        assert 0 == main(["mcp", "import", str(self.folder / f"{name}.json"), *named, "--adopt", *command])

    def begin(self) -> str:
        """Make the tenant, its policy and alice; gives her token."""
        self.tenant("acme")
        ada, alice = self.person("acme", "ada", "admin"), self.person("acme", "alice", "developer")
        service = "EnterprisePolicyService"
        made = self.ask(f"{service}/CreatePolicy", {"source": BUNDLE}, credential=ada)["policy"]
        asked = {"version": made["version"], "digest": made["digest"]}
        self.ask(f"{service}/ActivatePolicy", asked, credential=ada)
        return alice


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Servers, str]]:
    need("servers of MCP", *(SERVERS / name / "package.json" for name in ("server-everything", "server-memory")))
    folder = tmp_path_factory.mktemp("servers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMORY_FILE_PATH", str(folder / "memory.jsonl"))
        made = Servers(folder)
    with made:
        yield made, made.begin()


def code_of(result: ToolResult) -> str:
    return "" if result.error is None else str(result.error.type)


def test_servers_from_npm_are_called_under_a_policy_and_recorded(scene: tuple[Servers, str]) -> None:
    grid, alice = scene
    shared = grid.folder / "shared"
    people = [{"name": "Ada", "entityType": "person", "observations": ["writes programs"]}]

    with grid.session(alice) as session:
        said = session.call("every_echo", message="hello")
        summed = session.call("every_get-sum", a=2, b=3)
        drawn = session.call("every_get-tiny-image")
        environment = session.call("every_get-env")
        written = session.call("files_write_file", path=str(shared / "note.txt"), content="remember")
        read = session.call("files_read_text_file", path=str(shared / "note.txt"))
        outside = session.call("files_read_text_file", path="/etc/hostname")
        hidden = session.call("files_write_file", path=str(shared / ".profile"), content="x")
        wrong = session.call("files_write_file", path=3)
        known = session.call("memory_create_entities", entities=people)
        graph = session.call("memory_read_graph")

    assert "Echo: hello" == said.unwrap()
    assert "5" in summed.unwrap()
    image = next(place for place, block in enumerate(drawn.unwrap()) if block["type"] == "image")
    assert b"\x89PNG" == drawn.bytes_at(f"/{image}/data")[:4]
    assert not [name for name in json.loads(environment.unwrap()) if "ALTAR" in name]
    assert ("remember", "remember") == ((shared / "note.txt").read_text(), text_of(read.unwrap()))
    assert "SUCCESS" == written.status
    assert "TOOL_EXECUTION_FAILED" == code_of(outside)
    assert ("POLICY_VIOLATION", False) == (code_of(hidden), (shared / ".profile").exists())
    assert "INVALID_TOOL_ARGS" == code_of(wrong)
    assert "Ada" == entities_of(known.unwrap())[0]["name"]
    assert ["Ada"] == [one["name"] for one in entities_of(graph.unwrap())]
    assert {"every_echo", "files_write_file", "memory_read_graph"} <= recorded(grid)


def test_a_server_of_another_release_is_refused_until_it_is_adopted_again(scene: tuple[Servers, str]) -> None:
    grid, _ = scene
    held = json.loads((grid.folder / "files.json").read_text())
    document = held["tools"][0]["document"] | {"description": "What the release before said."}
    from altar.adapters.mcp.adoption import entry

    older = entry(document)
    held["tools"][0] = {"digest": older.digest, "document": document}
    (grid.folder / "older.json").write_text(json.dumps(held))

    import altar
    from altar.adapters.mcp import from_mcp

    with from_mcp(grid.folder / "older.json", prefix="older_"), altar.session() as session:
        refused = session.call(f"older_{older.name}", path=str(grid.folder / "shared/made"))
        other = session.call("older_list_allowed_directories")

    assert "VERSION_MISMATCH" == code_of(refused)
    assert not (grid.folder / "shared/made").exists()
    assert "SUCCESS" == other.status
    assert 1 == main(["mcp", "import", str(grid.folder / "older.json")])
    assert 0 == main(["mcp", "import", str(grid.folder / "older.json"), "--adopt"])
    assert 0 == main(["mcp", "import", str(grid.folder / "older.json")])


def text_of(content: Any) -> str:
    return str(content["content"] if isinstance(content, dict) else content)


def entities_of(content: Any) -> Any:
    return (json.loads(content) if isinstance(content, str) else content)["entities"]


def recorded(grid: Servers) -> set[str]:
    with LogReader.open(grid.directory / "data/ledger.db") as reader:
        entries = [json.loads(body) for _, body in reader.entries("acme")]
    return {str(entry["tool"]).partition("@")[0] for entry in entries if entry["kind"] == "intent"}
