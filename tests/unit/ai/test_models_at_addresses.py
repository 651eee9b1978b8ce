"""A language model behind an address of this machine is what it is, and not the port that it happens to have."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import dspy
import pytest

from altar.adm.errors import ConfigurationError
from altar.ai.fingerprints import Untold, told
from altar.ai.lm.addresses import FileOfWeights, ends_at, serves_at
from altar.ai.lm.local import registered_lm
from altar.testing import RecordedLM, ScriptedLM

PROGRAM = """
import json, os, sys
from pathlib import Path
import dspy
from altar import ai
from altar.ai.lm.local import registered_lm
from altar.testing import ScriptedLM

def exact(example, prediction, trace=None):
    return example.answer == prediction.answer

ai.configure(compiled_programs=Path("kept"))
examples = [dspy.Example(question="1+1", answer="2").with_inputs("question")]
with ScriptedLM({"": {"answer": sys.argv[1]}}).serve() as served:
    lm = registered_lm("small", base_url=served.base_url, api_key="none", num_retries=0)
    made = ai.compilation(dspy.Predict("question -> answer"), trainset=examples, metric=exact, lm=lm)
print(json.dumps([served.port, made.is_cached, made.requests, made.not_kept]))
"""


def test_a_program_is_found_again_by_a_process_whose_model_listens_elsewhere(tmp_path: Path) -> None:
    def run(answer: str) -> tuple[int, bool, int, str]:
        command = [sys.executable, "-c", PROGRAM, answer]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
        port, is_cached, requests, not_kept = json.loads(done.stdout.splitlines()[-1])
        return port, is_cached, requests, not_kept

    first, second = run("2"), run("2")

    assert first[0] != second[0]
    assert (False, 1, "") == first[1:]
    assert (True, 0, "") == second[1:]


def at(base_url: str) -> Any:
    return registered_lm("small", base_url=base_url, api_key="none")


def test_two_models_that_had_the_same_address_are_two() -> None:
    fingerprints = []
    for answer in "23":
        serves_at("http://127.0.0.1:1/v1", lambda answer=answer: [answer])  # type: ignore[misc]
        fingerprints.append(told(at("http://127.0.0.1:1/v1")))
    ends_at("http://127.0.0.1:1/v1")

    assert fingerprints[0] != fingerprints[1]


def test_a_model_that_somebody_else_serves_is_known_by_its_address() -> None:
    assert told(at("http://127.0.0.1:1/v1")) == told(at("http://127.0.0.1:1/v1"))
    assert told(at("http://127.0.0.1:1/v1")) != told(at("http://127.0.0.1:2/v1"))


def test_a_recording_that_is_being_made_has_no_fingerprint(tmp_path: Path) -> None:
    recording = RecordedLM(tmp_path / "r.jsonl", model=ScriptedLM([]), mode="record")

    with recording.serve() as served, pytest.raises(Untold, match="cannot be told"):
        told(dspy.LM("openai/any", api_base=served.base_url, api_key="none", cache=False))


# ------------------------------------------------------------------------------------------------------- weights


def test_weights_are_their_bytes_and_how_many_tokens_they_see(tmp_path: Path) -> None:
    for name, content in (("a", b"GGUF one"), ("b", b"GGUF one"), ("c", b"GGUF two")):
        (tmp_path / name).write_bytes(content)

    one, same, other = (FileOfWeights.of(tmp_path / name, context=4096).identity() for name in "abc")

    assert one == same != other
    assert one != FileOfWeights.of(tmp_path / "a", context=2048).identity()


def test_weights_that_were_replaced_under_a_running_model_are_not_taken_for_it(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"GGUF one")
    loaded = FileOfWeights.of(path, context=4096)
    path.write_bytes(b"GGUF two, longer")

    with pytest.raises(ConfigurationError, match="it has changed"):
        loaded.identity()
    path.unlink()
    with pytest.raises(ConfigurationError, match="No such file"):
        loaded.identity()
