"""The data model is light: no heavy library comes with its import, only with the first declaration."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import altar.adm.call, altar.adm.conformance, altar.adm.context, altar.adm.declaration, altar.adm.version
heavy = {"jsonschema_rs", "pydantic", "grpc", "cryptography", "rich", "griffe"} & set(sys.modules)
layers = [name for name in sys.modules if name.startswith("altar.") and not name.startswith("altar.adm")]
print(sorted(heavy), layers)
"""


def test_importing_the_data_model_loads_no_heavy_library_and_no_other_layer() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)

    assert "[] []" == done.stdout.strip()
