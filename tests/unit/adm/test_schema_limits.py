"""No schema and no value hangs or exhausts the process: attacks run in a child with little time and memory.

A child has 2 GiB and 40 seconds of processor time; it must say what was refused, and end by itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

SRC = Path(__file__).parents[3] / "src"

CHILD = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (40, 40))
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
from altar.adm.canonical import canonical, parse
from altar.adm.call import ErrorObject
from altar.adm.declaration import FunctionDeclaration
from altar.adm.errors import AltarError
from altar.adm.schema import Schema

def nested(depth, value="x"):
    for _ in range(depth):
        value = [value]
    return value

def chain(count, step, last=None):
    steps = {f"n{index}": step({"$ref": f"#/$defs/n{index + 1}"}) for index in range(count)}
    return {"$ref": "#/$defs/n0", "$defs": {**steps, f"n{count}": last or {}}}

def deepened(depth):
    document = {}
    for _ in range(depth):
        document = {"items": document}
    return document

def run(attacks):
    for attack in attacks:
        try:
            exec(attack)
            said = "fine"
        except AltarError as error:
            said = error.message
            assert len(said) < 1000 and len(ErrorObject.of(error).text) <= 4000
        print(json.dumps(said), flush=True)

run(json.loads(sys.stdin.read()))
"""

ATTACKS = tomllib.loads((Path(__file__).parent / "attacks.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("target", ATTACKS)
def test_an_attack_is_answered_in_words(target: str) -> None:
    attacks = [attack["run"] for attack in ATTACKS[target]]

    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        capture_output=True,
        check=False,
        env={"PYTHONPATH": str(SRC)},
        input=json.dumps(attacks),
        text=True,
    )

    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert (0, len(attacks)) == (done.returncode, len(said)), (attacks[len(said) :][:1], done.stderr[-1000:])
    for attack, answer in zip(ATTACKS[target], said, strict=True):
        assert attack["says"] in answer, attack["run"]
