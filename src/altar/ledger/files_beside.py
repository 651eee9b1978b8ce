"""The files of a host's sessions and results beside its log, each opened at its first use."""

from __future__ import annotations

from collections.abc import Callable

from altar.adm.errors import AltarError
from altar.ledger.result_store import ResultStore, results_path
from altar.ledger.session_store import SessionStore

__all__ = ["FilesBeside"]


class FilesBeside:
    """Opens and closes them; in one thread.

    ``is_stranger`` says that the log may be of a host whose files were lost: without a file of results, those of all
    keys that the log knows are.
    """

    def __init__(
        self,
        path: str,
        *,
        on_failure: Callable[[AltarError], None],
        deliver: Callable[[Callable[[], None]], None],
    ) -> None:
        """Take the path to which the endings are added; see `Beside` for the others."""
        self._path = path
        self._on_failure = on_failure
        self._deliver = deliver
        self.is_stranger = False
        self._sessions: SessionStore | None = None
        self._results: ResultStore | None = None

    def sessions(self) -> SessionStore:
        """Give the store of sessions."""
        if self._sessions is None:
            self._sessions = SessionStore(f"{self._path}.sessions", on_failure=self._on_failure, deliver=self._deliver)
        return self._sessions

    def results(self, size: int) -> ResultStore:
        """Give the store of results under idempotency keys; `size` is how many entries the log has."""
        if self._results is None:
            found = results_path(self._path).exists()
            store = ResultStore(results_path(self._path), on_failure=self._on_failure, deliver=self._deliver)
            try:
                store.begin(0 if self.is_stranger and not found else size)
            except BaseException:
                store.close()
                raise
            self._results = store
        return self._results

    def has_results(self) -> bool:
        """Tell whether a call under an idempotency key was ever recorded here."""
        return self._results is not None or results_path(self._path).exists() or self.is_stranger

    def close(self) -> None:
        """Let go of those that were opened."""
        for file in (self._sessions, self._results):
            if file is not None:
                file.close()
