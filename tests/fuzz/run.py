"""Look for input that breaks a target, for a given time: `python -m tests.fuzz.run --seconds 60`.

Every target gets the same share: first guided by coverage (atheris, where it is installed), each in a process of its
own that is stopped at 2 GiB or when one input takes longer than ten seconds; then with Hypothesis and a new seed.
A find is written as the line that `finds.json` wants; the exit status is 1 then.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
HYPOTHESIS_SHARE = 0.25
MAX_INPUT_BYTES = 4096


def main() -> int:
    """Fuzz every target and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long, all targets together")
    parser.add_argument("--target", action="append", help="only this target; may be given more than once")
    wanted = parser.parse_args()
    names = wanted.target or list(TARGETS)
    guided = importlib.util.find_spec("atheris") is not None
    share = wanted.seconds * (1 - HYPOTHESIS_SHARE) / len(names) if guided else 0
    found = sum(_fuzz(name, share) for name in names) if guided else 0
    return 1 if found + _hypothesis(wanted.seconds - share * len(names)) else 0


def _fuzz(name: str, seconds: float) -> int:
    """Let one child look at one target; return how many finds there were, 0 or 1."""
    with tempfile.TemporaryDirectory() as directory:
        corpus = Path(directory) / "corpus"
        corpus.mkdir()
        _seed(corpus)
        limits = [f"-max_total_time={max(1, round(seconds))}", f"-max_len={MAX_INPUT_BYTES}", "-timeout=10"]
        limits += ["-rss_limit_mb=2048", f"-artifact_prefix={directory}/find-", "-print_final_stats=1"]
        command = [sys.executable, "-m", "tests.fuzz.guided", name, *limits, str(corpus)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        runs = next((line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line), "?")
        print(f"{name}: {runs} inputs in {seconds:.0f} s", flush=True)
        finds = sorted(Path(directory).glob("find-*"))
        for find in finds[:1]:
            print(json.dumps({"target": name, "data": find.read_bytes().hex(), "why": "?"}))
        if done.returncode:
            print(done.stderr[-4000:])
        return int(done.returncode != 0)


def _seed(corpus: Path) -> None:
    """Begin with the inputs of the shared cases."""
    for file in ("adm.json", "adm_further.json"):
        for case in json.loads((ROOT / "spec" / "cases" / file).read_text(encoding="utf-8")):
            (corpus / case["id"]).write_text(json.dumps(case["input"]), encoding="utf-8")


def _hypothesis(seconds: float) -> int:
    """Run the tests of this folder with one seed after the other until the time is over."""
    end, seed = time.monotonic() + seconds, 0
    while seed == 0 or time.monotonic() < end:
        seed = time.time_ns() % 2**32
        command = [sys.executable, "-m", "pytest", "-q", "--no-header", "tests/fuzz", f"--hypothesis-seed={seed}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stdout[-6000:], done.stderr[-2000:])
            return 1
    print(f"hypothesis: {seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
