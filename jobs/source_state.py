"""A source beside the worker, and what it means when another file lies in its place."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from os import stat_result
from pathlib import Path
from typing import Self

from encoder.errors import SourceUnreadable

CHANGED = (
    "The source file on the site was changed while this film was made from it. Nothing of the changed file was used. "
    "Upload the film again."
)

REPLACED = (
    "The source file on the site is not the one that this film was planned from: it has another length. Nothing was "
    "made of it. Put the former file back, and work goes on by itself; or upload the film again."
)


class SourceReplaced(SourceUnreadable):
    """Found when a job opens its source. The job can be done once the file is back."""

    code = "source_replaced"
    is_final = False
    is_blameless = True

    def __init__(self) -> None:
        super().__init__(REPLACED)


class SourceChanged(SourceUnreadable):
    """Found while a job reads it."""

    code = "source_changed"

    def __init__(self) -> None:
        super().__init__(CHANGED)


def state_of(facts: stat_result) -> str:
    """Changes whenever the bytes of a file do."""
    return f"{facts.st_size:x}-{facts.st_mtime_ns:x}"


@dataclass(frozen=True, slots=True)
class SourceOnDisk:
    """See contract.OpenedSource. A file beside the worker: there is nothing to wait for. Without a state it is one that
    nobody else writes to.
    """

    address: Path
    state: str = ""
    waited_s: float = 0.0

    @classmethod
    def at(cls, path: Path) -> Self:
        return cls(path, state_of(path.stat()))

    def check(self) -> None:
        """Raises SourceChanged. What cannot be looked at for the moment is for ffmpeg to complain about."""
        if self.state:
            with suppress(OSError):
                if state_of(self.address.stat()) != self.state:
                    raise SourceChanged
