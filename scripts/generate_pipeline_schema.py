"""Write the JSON Schema of pipelines in YAML, from the keys that are read.

In: `src/altar/ai/pipelines/yaml_keys.py`. Out: `docs/reference/pipeline.schema.json`.
Run it from anywhere: `python scripts/generate_pipeline_schema.py`.
With `--check` nothing is written, and the exit code is 1 when the file is out of date.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src")]

SCHEMA = ROOT / "docs/reference/pipeline.schema.json"


def main(arguments: list[str]) -> int:
    """Write the file, or with `--check` only compare it; return the exit code."""
    text = generate()
    current = SCHEMA.read_text(encoding="utf-8") if SCHEMA.exists() else ""
    if current == text:
        return 0
    if "--check" in arguments:
        print(f"{SCHEMA.relative_to(ROOT)} is out of date: run scripts/{Path(__file__).name}", file=sys.stderr)
        return 1
    SCHEMA.write_text(text, encoding="utf-8")
    print(f"wrote {SCHEMA.relative_to(ROOT)}")
    return 0


def generate() -> str:
    """Return the file as it should be."""
    from altar.ai.pipelines.yaml_keys import json_schema

    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
