# pip install altar-ai
"""Audit two installed packages; the same file runs on a grid when `altar.toml` or ALTAR_SOURCE says so.

A tool that fails is a result for its caller; where it ran, stderr has the traceback.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from typing import Any

import altar


@dataclass
class Package:
    """What the metadata say of one package."""

    name: str
    files: int
    requires: list[str]


@altar.tool(read_only=True)
def inspect(name: str) -> Package:
    """Read the metadata of an installed package.

    Args:
        name: The distribution, as `pip install` takes it.
    """
    found = metadata.distribution(name)
    return Package(found.name, len(found.files or ()), sorted(found.requires or ()))


if __name__ == "__main__":
    with altar.session() as session:
        for name in ("click", "no-such-package"):
            result = session.call("inspect", name=name)
            if result.error is not None:
                print(name, result.status, result.error.message)
                continue
            package: Any = result.content
            print(package["name"], result.status, f"{package['files']} files")

# On a grid, in two terminals:
#
#   altar up 02_package_audit.py
#   ALTAR_SOURCE=grid://127.0.0.1:7443 python 02_package_audit.py
#
# Prints:
# click SUCCESS … files
# no-such-package ERROR The tool failed with PackageNotFoundError
