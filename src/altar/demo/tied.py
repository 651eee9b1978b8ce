"""Runs a module as a program that leaves with whoever started it: `python -m altar.demo.tied MODULE ARGUMENT…`.

The module runs as under `python -m`; when standard input is closed, the process ends at once.
A parent that is killed closes it too, so nothing it started stays behind.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading

__all__ = ["main"]


def main() -> None:
    """Run the module that is named first, with the arguments that follow it."""
    sys.argv = sys.argv[1:]
    threading.Thread(target=_leave_at_end_of_input, daemon=True).start()
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _leave_at_end_of_input() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
