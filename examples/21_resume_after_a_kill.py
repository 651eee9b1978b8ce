# pip install altar-ai
"""A run that is killed goes on where it was: what was done is not done twice, and what is unknown is asked about."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import altar
from altar.ai.pipelines import map, pipeline, tool

FOLDER = Path(os.environ.get("MAILING_FOLDER", ""))


@altar.tool(read_only=True)
def customers() -> list[str]:
    """Who is to get a letter."""
    return ["Ann", "Bob", "Cleo", "Dan"]


@altar.tool
def send_letter(customer: str) -> str:
    """Send a letter: twice is once too often, so the contract does not say that it is idempotent.

    Args:
        customer: Whose letter it is.
    """
    if customer == "Cleo" and not (FOLDER / "killed").exists():
        (FOLDER / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)  # the power fails
    with (FOLDER / "sent").open("a") as sent:
        sent.write(f"{customer}\n")
        os.fsync(sent.fileno())
    return f"Dear {customer}"


mailing = pipeline(
    "mailing",
    [
        tool("customers"),
        map(tool("send_letter"), over="customers", item="customer", output="letters", concurrency=1),
    ],
    outputs=["letters"],
)


def sent() -> list[str]:
    """What has been sent: the tool's own record, on disk."""
    return (FOLDER / "sent").read_text().split()


if "MAILING_FOLDER" in os.environ:  # this process is the one that is killed
    with altar.session(source="later:") as session:
        mailing.run(session, checkpoint=FOLDER / "runs.db", run_id="monday")

with tempfile.TemporaryDirectory() as folder:
    FOLDER = Path(folder)
    ended = subprocess.run([sys.executable, __file__], env=os.environ | {"MAILING_FOLDER": folder}, check=False)
    print("ended by signal", -ended.returncode, "after", sent())

    with altar.session(source="later:") as session:
        try:
            mailing.resume(session, "monday", checkpoint=FOLDER / "runs.db")
        except altar.ExecutionError as error:
            print(error)

        # Cleo's letter is not in the record, so somebody says: again
        result = mailing.resume(session, "monday", checkpoint=FOLDER / "runs.db", unknown="again")
        print(result.outputs["letters"])
        print(sent())
        print([f"{step.path} {step.status}" for step in result.steps])

# Prints:
# ended by signal 9 after ['Ann', 'Bob']
# Step 'letters[2]' of run 'monday' had begun when its process ended, and nobody knows what became of it
# ['Dear Ann', 'Dear Bob', 'Dear Cleo', 'Dear Dan']
# ['Ann', 'Bob', 'Cleo', 'Dan']
# ['customers restored', 'letters[0] restored', 'letters[1] restored', 'letters[2] done', 'letters[3] done']
