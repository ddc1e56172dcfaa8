"""What must be so once everything has died and come back: nothing lost, stuck, left over or there twice."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from encoder.names import segment_name
from tests.faults.conftest import plan_of
from tests.faults.test_killed_worker import check_rung, check_sound, sha256
from vlog_app.config import settings
from vlog_app.extensions import db
from vlog_app.models import Attempt, Encode, Event, Job, Rendition, Segment, Video
from vlog_app.services import uploads
from vlog_app.services.events import EventKind

OPEN = ("queued", "leased")


def is_over() -> bool:
    """Every film has come to its end, posters and storyboards too. Call in an app's context."""
    db.session.rollback()
    waiting = db.select(db.func.count(Video.id)).where(Video.state.not_in(("ready", "failed")))
    jobs = db.select(db.func.count(Job.id)).where(Job.state.in_(OPEN))
    return db.session.scalar(waiting) == 0 and db.session.scalar(jobs) == 0


def assert_nothing_lost(films: Mapping[str, Path], ffmpeg: str, scratch: Path) -> None:
    """`films`: what was sent in, by slug. Call in an app's context, when all programs have ended."""
    db.session.rollback()
    videos = list(db.session.scalars(db.select(Video).order_by(Video.id)))
    assert sorted(video.slug for video in videos) == sorted(films), "a film is lost, or there twice"
    _assert_books_are_closed()
    for video in videos:
        assert (video.state, video.error_message) == ("ready", None), video.slug
        _assert_published_once(video)
        assert sha256(settings().storage_path / video.source_path) == sha256(films[video.slug]), video.slug
        _assert_whole(video, ffmpeg, scratch / video.slug)
    _assert_no_file_left(videos)


def _assert_books_are_closed() -> None:
    states = Counter(db.session.scalars(db.select(Job.state)))
    assert not states.keys() & set(OPEN), f"a job is stuck: {states}"
    open_attempts = db.select(db.func.count(Attempt.id)).where(Attempt.outcome.is_(None))
    assert db.session.scalar(open_attempts) == 0, "an attempt never ended"


def _assert_published_once(video: Video) -> None:
    encodes = db.session.scalars(db.select(Encode.state).where(Encode.video_id == video.id)).all()
    assert encodes == ["done"]
    told = db.select(db.func.count(Event.id)).where(
        Event.video_id == video.id, Event.kind == EventKind.READY.value
    )
    assert db.session.scalar(told) == 1, "published twice, or never"


def _assert_whole(video: Video, ffmpeg: str, scratch: Path) -> None:
    """Every segment has the bytes that were handed in, every frame is in its place, and nothing else lies there."""
    scratch.mkdir(exist_ok=True)
    plan, folder = plan_of(video), settings().videos_dir / video.slug
    known = set()
    for row in _renditions(video):
        assert row.index is not None and len(row.index["sizes"]) == row.planned_segments, row.name
        for index, digest in enumerate(row.index["sha256"]):
            file = folder / segment_name(plan.container, row.name, index)
            assert sha256(file) == digest, file.name
            known.add(file.name)
    assert {path.name for path in folder.glob("*.ts")} == known
    assert [path.name for path in folder.glob(".*")] == [], "half a file was left behind"
    for rung in plan.video:
        check_rung(folder, plan, rung.name, ffmpeg, scratch)
    check_sound(folder, plan, ffmpeg, scratch)


def _renditions(video: Video) -> Iterator[Rendition]:
    query = db.select(Rendition).join(Encode, Encode.id == Rendition.encode_id)
    yield from db.session.scalars(query.where(Encode.video_id == video.id))
    rest = db.select(db.func.count(Segment.index)).join(Rendition).join(Encode)
    assert db.session.scalar(rest.where(Encode.video_id == video.id)) == 0, "segments were not folded"


def _assert_no_file_left(videos: list[Video]) -> None:
    uploads.expire_uploads()  # housekeeping comes by once an hour
    sources = {Path(video.source_path).name for video in videos}
    assert {path.name for path in settings().uploads_dir.iterdir() if path.is_file()} == sources
    assert list(settings().incoming_dir.iterdir()) == [], "half an upload was left behind"
    media = {".ts", ".mp4", ".m4s", ".jpg", ".init"}
    left = [path.name for path in settings().work_dir.rglob("*") if path.suffix in media]
    assert left == [], "scratch was left behind"


def processes_about(folder: Path) -> dict[int, str]:
    """Running programs, other than this one, that were told of `folder`: number to command line."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            is_alive = (entry / "stat").read_text().rpartition(") ")[2][0] != "Z"
        except OSError:
            continue
        if is_alive and str(folder).encode() in words:
            found[int(entry.name)] = words[:300].replace(b"\0", b" ").decode(errors="replace")
    return found
