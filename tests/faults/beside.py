"""Something that goes on beside a test until it is told to end."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod


class Beside(ABC):
    """Call `_begin` once everything is set; `_run` looks at `_over`."""

    def _begin(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @abstractmethod
    def _run(self) -> None: ...

    def end(self) -> None:
        self._over.set()
        self._thread.join()
