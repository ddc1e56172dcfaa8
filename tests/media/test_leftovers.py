"""Segments that a worker finished and could not hand in before it died: the next attempt on its host hands them in."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from encoder.plan import Output, make_plan
from encoder.probe import probe
from encoder.segments import measure
from jobs import leftovers
from jobs.contract import NOTHING_TO_REPORT, Claim, LeaseLost, Refused, Report, Slot, Unavailable, WorkerInfo
from jobs.journal import JOURNAL, finished_in
from jobs.layout import ENCODE, Rank
from jobs.outbox import Outboxes
from jobs.runner import Tools, run_claim
from jobs.states import JobState
from jobs.testing import MemoryCoordinator, Segment
from tests.films import numbered_film

pytestmark = pytest.mark.media

ATLAS = WorkerInfo("w-atlas", "atlas")
PICTURES = Slot("pictures", (ENCODE,), min_rank=Rank.BULK)
SEGMENTS = 4  # from the third to the sixth: what comes first in a film is a job of its own
MAKES_NOTHING = "/bin/false"


@dataclass(slots=True)
class Far(MemoryCoordinator):
    """Segments travel beside the encoder. They arrive while `is_near`; what is under way when it is `lost` is lost."""

    is_near: bool = True
    lost: threading.Event = field(default_factory=threading.Event)
    troubles: dict[int, Exception] = field(default_factory=dict)  # by segment
    boxes: Outboxes = field(default_factory=Outboxes)

    @property
    def state(self) -> JobState:
        """Of the job that is looked at."""
        return next(job.state for job in self.jobs if job.draft.rank is Rank.BULK)

    def checkpoint(
        self, claim: Claim, segment: Segment, file: Path, init: Path | None = None, *, waits: bool = False
    ) -> bool:
        def send() -> bool:
            if segment.index in self.troubles:
                raise self.troubles.pop(segment.index)
            if not self.is_near:
                self.lost.wait()
                raise LeaseLost("nobody was there for longer than a lease")
            return MemoryCoordinator.checkpoint(self, claim, segment, file, init)

        if waits:
            return send()
        self.boxes.put(claim, send, segment.size_bytes)
        return True

    def finish(self, claim: Claim, report: Report = NOTHING_TO_REPORT) -> None:
        self.boxes.flush(claim)
        MemoryCoordinator.finish(self, claim, report)

    def drop(self, claim: Claim) -> None:
        self.boxes.drop(claim)


@dataclass(frozen=True)
class Host:
    """A worker's host, and the site that its film is for."""

    ffmpeg: str
    film: Path
    folder: Path

    def site(self, *, preset: str = "ultrafast", output: Output | None = None) -> Far:
        media = self.folder / "media"
        media.mkdir(exist_ok=True)
        plan = make_plan(probe(self.film), segment_s=2, preset=preset, output=output)
        return Far(plan, self.film, media, chunk_s=8)

    @property
    def tools(self) -> Tools:
        return Tools(self.ffmpeg, self.folder / "work")

    def idle(self) -> Tools:
        """Tools that can hand in and encode nothing."""
        return Tools(MAKES_NOTHING, self.folder / "work")

    def left(self) -> list[Path]:
        """Folders of leftovers."""
        return sorted((self.folder / "work/left").glob("*"))

    def waiting(self, index: int) -> Path:
        return self.left()[0] / f"360p_{index:05d}.ts"


def work(site: Far, tools: Tools) -> None:
    claim = site.claim(ATLAS, PICTURES)
    assert claim is not None
    run_claim(claim, site, tools, threading.Event())


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def death(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Host:
    """A host whose worker has just been killed: everything of a film is made, nothing is handed in."""
    folder = tmp_path_factory.mktemp("death")
    host = Host(ffmpeg_path, folder / "film.mp4", folder)
    numbered_film(ffmpeg_path, host.film, seconds=12, size="854x480", fps="25")
    die(host, host.site())
    return host


def die(host: Host, site: Far) -> None:
    """What a kill would leave is copied to `killed`; then the worker hears that its lease is lost."""
    site.is_near = False
    root = host.tools.work_root
    worker = threading.Thread(target=work, args=(site, host.tools), daemon=True)
    worker.start()
    wait_until(lambda: sum(1 for path in root.rglob(JOURNAL) for _ in finished_in(path.parent)) == SEGMENTS)
    shutil.copytree(root, host.folder / "killed")
    site.lost.set()
    worker.join()


@pytest.fixture
def host(death: Host, tmp_path: Path) -> Host:
    """The same host when its worker starts again."""
    host = Host(death.ffmpeg, death.film, tmp_path)
    shutil.copytree(death.folder / "killed", host.tools.work_root)
    half = next(host.tools.work_root.rglob(JOURNAL)).with_name("360p_00006.ts.tmp")
    half.write_bytes(b"half a segment")
    host.tools.leftovers.gather()
    return host


def test_a_new_worker_hands_in_what_the_dead_one_finished_and_makes_nothing_again(host: Host) -> None:
    assert not list(host.folder.rglob("*.tmp")), "what was not finished is of no use"
    site = host.site()
    work(site, host.idle())
    assert site.state is JobState.DONE
    assert len(site.segments) == SEGMENTS
    for (name, index), segment in site.segments.items():
        path = site.folder / f"{name}_{index:04d}.ts"
        assert measure(path, site.plan, site.plan.rendition(name), index) == segment
    assert host.left() == []


def test_what_waits_when_the_lease_is_lost_is_kept_as_well(death: Host) -> None:
    assert [len(list(finished_in(folder))) for folder in death.left()] == [SEGMENTS]
    assert [path.name for path in death.tools.work_root.iterdir()] == ["left"]


def test_in_cmaf_a_header_stays_with_its_segments(death: Host, tmp_path: Path) -> None:
    host = Host(death.ffmpeg, death.film, tmp_path)
    die(host, host.site(output=Output("cmaf")))
    site = host.site(output=Output("cmaf"))
    work(site, host.idle())
    assert site.state is JobState.DONE
    assert len(site.inits["360p"]) == 1


@pytest.mark.parametrize("cut", [1, 188, 1880])
def test_a_segment_that_is_not_whole_is_made_again_and_the_others_are_not(host: Host, cut: int) -> None:
    whole = host.waiting(3).stat().st_size
    os.truncate(host.waiting(3), whole - cut)
    site = host.site()
    work(site, host.tools)
    assert site.state is JobState.DONE
    assert (site.folder / "360p_0003.ts").stat().st_size == site.segments["360p", 3].size_bytes > whole - cut


def test_a_journal_that_ends_in_half_a_line_is_read_up_to_there(host: Host) -> None:
    journal = host.left()[0] / JOURNAL
    journal.write_text(journal.read_text()[:-20])
    site = host.site()
    work(site, host.idle())
    assert sorted(index for _, index in site.segments) == [2, 3, 4]


def test_what_was_made_of_another_file_is_forgotten(host: Host) -> None:
    site = host.site()
    site.source = shutil.copyfile(host.film, host.folder / "other.mp4")
    work(site, host.idle())
    assert (site.segments, host.left()) == ({}, [])


def test_what_was_made_by_another_plan_is_forgotten(host: Host) -> None:
    site = host.site(preset="veryfast")
    work(site, host.idle())
    assert (site.segments, host.left()) == ({}, [])


def test_what_another_worker_handed_in_meanwhile_stays_as_it_is(host: Host, death: Host) -> None:
    site = host.site()
    first = next(finished_in(death.left()[0]))
    theirs = shutil.copyfile(death.left()[0] / first.file, host.folder / "theirs.ts")
    claim = site.claim(WorkerInfo("w-other", "other"), PICTURES)
    assert claim is not None
    MemoryCoordinator.checkpoint(site, claim, first.segment, theirs)
    MemoryCoordinator.release(site, claim)
    before = (site.folder / "360p_0002.ts").stat().st_ino
    work(site, host.idle())
    assert site.state is JobState.DONE
    assert (site.folder / "360p_0002.ts").stat().st_ino == before


def test_when_the_line_breaks_again_the_rest_waits_for_the_next_time(host: Host) -> None:
    site = host.site()
    site.troubles[4] = Unavailable("no answer")
    work(site, host.idle())
    assert sorted(index for _, index in site.segments) == [2, 3]
    assert [len(list(finished_in(folder))) for folder in host.left()] == [2]
    work(site, host.idle())
    assert site.state is JobState.DONE


def test_one_that_is_refused_is_made_again(host: Host) -> None:
    site = host.site()
    site.troubles[3] = Refused("no")
    work(site, host.tools)
    assert site.state is JobState.DONE
    assert host.left() == []


def test_leftovers_are_kept_for_a_while_and_only_so_many(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    older = host.left()[0]
    newer = Path(shutil.copytree(older, older.with_name("2-newer")))
    os.utime(older, (time.time() - 60, time.time() - 60))
    host.tools.leftovers.tidy()
    assert host.left() == sorted([older, newer])
    monkeypatch.setattr(leftovers, "MOST_BYTES", sum(path.stat().st_size for path in newer.iterdir()))
    host.tools.leftovers.tidy()
    assert host.left() == [newer]
    os.utime(newer, (0, 0))
    host.tools.leftovers.tidy()
    assert host.left() == []
