"""`python -m altar`: the command `altar`, also where its script is not on the path."""

from __future__ import annotations

from altar.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
