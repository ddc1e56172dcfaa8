"""Finished segments that were not handed in before their worker died, or lost its lease while nobody could be reached.

They stay on the worker's disk for a while. When it has the job again they are handed in under the new lease, and only
the rest is made: see `hand_in_leftovers`.
"""

from __future__ import annotations

import logging
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

from encoder.errors import OutputInvalid
from encoder.model import EncodePlan, Segment
from encoder.process import bytes_in
from encoder.segments import measure

from .contract import Refused
from .journal import JOURNAL, Finished, Heading, finished_in, read_heading

if TYPE_CHECKING:
    from .runner import Bench

logger = logging.getLogger(__name__)

FOLDER = "left"
FILMS = "films"
JOB_FOLDER = re.compile(r"job-\d+-[0-9a-f]+")
KEEP_S = 3600.0  # by then another worker has made it again
MOST_BYTES = 512 << 20  # of all that is kept; what is left of one job is an outbox full at most


class Leftovers:
    """What is left in `work_root` of jobs that are over here. One folder each, which its journal explains."""

    def __init__(self, work_root: Path) -> None:
        self._work_root = work_root
        self._folder = work_root / FOLDER

    def gather(self) -> None:
        """At the start of a worker: everything in its scratch is its dead predecessor's."""
        self._work_root.mkdir(parents=True, exist_ok=True)
        for entry in self._work_root.iterdir():
            if entry != self._folder:
                self.keep(entry)
        self.tidy()

    def keep(self, work_dir: Path) -> None:
        """A job is over: what it finished and has not handed in stays, nothing else does."""
        for journal in sorted(work_dir.rglob(JOURNAL)):
            try:
                self._keep(journal.parent)
            except OSError:
                logger.warning("finished segments could not be kept", exc_info=True)
        shutil.rmtree(work_dir, ignore_errors=True)

    def _keep(self, folder: Path) -> None:
        heading, finished = read_heading(folder), list(finished_in(folder))
        if heading is None or not finished:
            return
        wanted = {JOURNAL, *(each.file for each in finished), *(each.init for each in finished)}
        for path in folder.iterdir():
            if path.name not in wanted:
                path.unlink()
        self._folder.mkdir(exist_ok=True)
        folder.rename(self._folder / f"{heading.job_id}-{token_hex(4)}")
        facts = {"action": "leftovers", "job_id": heading.job_id, "count": len(finished)}
        logger.info("finished segments are kept until this job is here again", extra=facts)

    def headings(self) -> dict[str, Heading]:
        """By folder."""
        read = {folder.name: read_heading(folder) for folder in self._folders()}
        return {name: heading for name, heading in read.items() if heading is not None}

    def of_job(self, job_id: int) -> list[Path]:
        return sorted(self._folder.glob(f"{job_id}-*"))

    def forget(self, name: str) -> None:
        shutil.rmtree(self._folder / name, ignore_errors=True)

    def forget_all(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def tidy(self) -> None:
        """Forget what is too old, and the oldest of what is too much. Others may take some of it meanwhile."""
        kept_bytes = 0
        for changed_at, size_bytes, folder in sorted(self._sizes(), reverse=True):
            kept_bytes += size_bytes
            if kept_bytes > MOST_BYTES or time.time() - changed_at > KEEP_S:
                self.forget(folder.name)

    def _sizes(self) -> Iterator[tuple[float, int, Path]]:
        for folder in self._folders():
            with suppress(FileNotFoundError):
                yield folder.stat().st_mtime, bytes_in(folder), folder

    def _folders(self) -> list[Path]:
        try:
            return list(self._folder.iterdir())
        except FileNotFoundError:
            return []


def is_abandoned(work_root: Path) -> bool:
    """The scratch of a worker that has not come back under its name for a while, and nothing but that."""
    names = {path.name for path in work_root.iterdir()}
    is_scratch = all(name in (FOLDER, FILMS) or JOB_FOLDER.fullmatch(name) for name in names)
    times = [path.stat().st_mtime for path in (work_root, *work_root.rglob("*"))]
    return bool(names) and is_scratch and time.time() - max(times) > KEEP_S


def hand_in_leftovers(bench: Bench) -> Bench:
    """What was finished of this job before and is still wanted is handed in; the bench, of what is left to do.

    Taken is what was made of the same state of the source by the same plan, and still has the bytes that were noted:
    it is measured once more. What is left when this is cut short is there for the next try.
    """
    leftovers = bench.tools.leftovers
    folders = leftovers.of_job(bench.claim.job_id)
    if not folders:
        return bench
    source = bench.coordinator.open_source(bench.claim)
    heading = Heading.of(bench.claim, source.state)
    done = set(bench.claim.done)
    for folder in folders:
        if read_heading(folder) == heading:
            done |= set(_handed_in(replace(bench, work_dir=folder), done))
        leftovers.forget(folder.name)
    return replace(bench, claim=replace(bench.claim, done=frozenset(done)))


def _handed_in(bench: Bench, done: set[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    for finished in finished_in(bench.work_dir):
        cell = finished.segment.rendition, finished.segment.index
        if cell in bench.claim.missing() - done and _hand_in(bench, finished):
            yield cell


def _hand_in(bench: Bench, finished: Finished) -> bool:
    """False: it is not what was noted, or not what is wanted."""
    claim, segment = bench.claim, finished.segment
    path = bench.work_dir / finished.file
    init = bench.work_dir / finished.init if finished.init else None
    bench.lease.check_drain()
    facts = {"action": "leftovers", "job_id": claim.job_id, "file": finished.file}
    try:
        if not _is_intact(claim.plan, segment, path, init):
            raise OutputInvalid("these are not the bytes that were noted")
        bench.coordinator.checkpoint(claim, segment, path, init, waits=True)
    except (OutputInvalid, Refused) as error:
        logger.warning("a finished segment is made again: %s", error, extra=facts)
        return False
    logger.info("a segment that was finished before is handed in", extra=facts)
    return True


def _is_intact(plan: EncodePlan, segment: Segment, path: Path, init: Path | None) -> bool:
    try:
        return measure(path, plan, plan.rendition(segment.rendition), segment.index, init) == segment
    except OSError:
        return False
