"""An environment that has less: a program sees only what one line of `pip install` would have brought.

In: what is asked for, as `altar-ai[dspy]`.
Out: a folder for PYTHONPATH, whose `sitecustomize` hides every other distribution of this environment, its modules and
its metadata, from a program and from the programs that it starts.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]

__all__ = ["brought_by", "hide_all_but"]

HIDING = """
import json, pathlib, sys
from importlib.machinery import PathFinder
hidden = json.loads(pathlib.Path(__file__).with_name("hidden.json").read_text())
modules, distributions = set(hidden["modules"]), set(hidden["distributions"])

class Fewer(PathFinder):
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        return None if path is None and fullname in modules else PathFinder.find_spec(fullname, path, target)

    @classmethod
    def find_distributions(cls, *context):
        for one in PathFinder.find_distributions(*context):
            if one.name.lower().replace("_", "-").replace(".", "-") not in distributions:
                yield one

sys.meta_path[:] = [Fewer if one is PathFinder else one for one in sys.meta_path]
"""


def brought_by(requirements: Iterable[str]) -> set[str]:
    """The names of all distributions that pip would install for these requirements, as far as they are here.

    What ALTAR itself asks for stands in its pyproject.toml, which may be newer than what is installed.
    """
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()
    waiting = [Requirement(each) for each in requirements]
    while waiting:
        asked = waiting.pop()
        for extra in {"", *asked.extras}:
            name = canonicalize_name(asked.name)
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            try:
                further = asked_by_altar(extra) if name == "altar-ai" else requires(name) or []
            except PackageNotFoundError:
                continue
            found.add(name)
            waiting += [
                each for each in map(Requirement, further) if not each.marker or each.marker.evaluate({"extra": extra})
            ]
    return found


def asked_by_altar(extra: str) -> list[str]:
    """The requirements of an extra of ALTAR, or those that it always has."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found: list[str] = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return found


def hide_all_but(requirements: Iterable[str], folder: Path) -> None:
    """Write a ``sitecustomize`` into the folder that hides what these requirements do not bring."""
    seen = brought_by(requirements)
    modules, distributions = [], set()
    for module, owners in packages_distributions().items():
        names = {canonicalize_name(owner) for owner in owners}
        distributions |= names - seen
        if not names & seen:
            modules.append(module)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hidden.json").write_text(json.dumps({"modules": modules, "distributions": sorted(distributions)}))
    (folder / "sitecustomize.py").write_text(HIDING)
