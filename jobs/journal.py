"""What a job has finished in a folder, on the disk for good: read by whoever finds the folder after its worker died."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from encoder.model import EncodePlan, Segment

from .contract import Claim
from .durable import fsync_dir, fsync_file
from .wire import VERSION

logger = logging.getLogger(__name__)

JOURNAL = "finished.jsonl"


@dataclass(frozen=True, slots=True)
class Heading:
    """What the segments were made for, and of what. `recipe` stands for the plan and the program, `source` for the
    state of the file.
    """

    job_id: int
    kind: str
    recipe: str
    source: str

    @classmethod
    def of(cls, claim: Claim, source: str) -> Heading:
        return cls(claim.job_id, claim.kind, recipe_of(claim.plan), source)


@dataclass(frozen=True, slots=True)
class Finished:
    """One segment, and the names of its file and of its header in the folder."""

    segment: Segment
    file: str
    init: str | None = None


def recipe_of(plan: EncodePlan) -> str:
    text = json.dumps([VERSION, plan.to_json()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class Journal:
    """Of one folder. A line is written when what it says is true, also after a power cut."""

    def __init__(self, folder: Path, heading: Heading) -> None:
        self._folder = folder
        self._heading = heading
        self._is_begun = False

    def note(self, segment: Segment, file: Path, init: Path | None) -> None:
        """Both lie in the folder. Where that cannot be written down the segment is made again after a crash, no more:
        it is no reason to stop.
        """
        try:
            self._note(Finished(segment, file.name, init.name if init else None))
        except OSError:
            facts = {"job_id": self._heading.job_id}
            logger.warning("a finished segment could not be noted", exc_info=True, extra=facts)

    def _note(self, finished: Finished) -> None:
        for name in filter(None, (finished.file, finished.init)):
            fsync_file(self._folder / name)
        lines = [asdict(finished)] if self._is_begun else [asdict(self._heading), asdict(finished)]
        with (self._folder / JOURNAL).open("a", encoding="utf-8") as journal:
            journal.writelines(f"{json.dumps(line)}\n" for line in lines)
            journal.flush()
            os.fsync(journal.fileno())
        fsync_dir(self._folder)
        self._is_begun = True


def read_heading(folder: Path) -> Heading | None:
    """None: nothing was finished there, or it cannot be read."""
    try:
        with (folder / JOURNAL).open(encoding="utf-8") as journal:
            return Heading(**json.loads(journal.readline()))
    except (OSError, ValueError, TypeError):
        return None


def finished_in(folder: Path) -> Iterator[Finished]:
    """What was noted and is still there, in order; a line that was cut off ends it."""
    try:
        lines = (folder / JOURNAL).read_text(encoding="utf-8").splitlines()[1:]
        for line in lines:
            noted = json.loads(line)
            finished = Finished(Segment(**noted["segment"]), noted["file"], noted["init"])
            if (folder / finished.file).is_file():
                yield finished
    except (OSError, ValueError, TypeError, KeyError):
        return
