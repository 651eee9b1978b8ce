"""Semantic Kernel cannot be installed beside mcp 2: `make semantic-kernel` runs this folder where it is."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("semantic_kernel") else ["test_*.py"]
