"""A language model of a runtime that adds up when it is told to; one question keeps it until its process is killed."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from altar.ai import lm_tool
from altar.testing import ScriptedLM
from tests.unit.ai.optimizer_scene import pupil


class Pupil(ScriptedLM):
    """Answers as :func:`pupil` does, in a thread."""

    waits = True


def kept_by(request: Any) -> Any:
    """The answer; the first who is asked `…+1 <file>` writes its process into the file, and answers nobody."""
    question = request.prompt.rpartition("[[ ## question ## ]]")[2].split()
    file = Path(question[1]) if len(question) > 1 and question[1].startswith("/") else None
    if file is not None and not file.exists():
        file.with_suffix(".part").write_text(str(os.getpid()))
        file.with_suffix(".part").rename(file)
        threading.Event().wait()
    return pupil(request)


language_model = lm_tool(Pupil(kept_by), metadata={"model": "tests/pupil"})
