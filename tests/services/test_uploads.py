"""An upload from its announcement to its video: reserved, resumed, finished exactly once, forgotten in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from encoder.errors import SourceUnreadable
from tests.hostile.clips import Clips
from vlog_app import storage as store
from vlog_app.config import settings
from vlog_app.extensions import db, transaction
from vlog_app.models import Encode, Job, Upload, Video
from vlog_app.services import planning, uploads
from vlog_app.services.incoming import Gone, TooLong
from vlog_app.services.slugs import unique_slug
from vlog_app.services.uploads import Checksum, NewUpload, UploadError

pytestmark = pytest.mark.media


def start(film: bytes, **facts: Any) -> str:
    return uploads.create_upload(NewUpload(len(film), filename="Holiday.final.mp4", **facts)).id


def send(upload_id: str, film: bytes, begin: int = 0, end: int | None = None) -> tuple[int, Any]:
    return uploads.append(upload_id, begin, [film[begin:end]])


def counted(model: Any) -> int:
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def test_last_byte_makes_the_video_and_its_work(
    app: Flask, database: str, clips: Clips, storage: Path
) -> None:
    film = clips.mp4.read_bytes()
    upload_id = start(film)
    assert send(upload_id, film, end=100_000) == (100_000, None)
    offset, received = send(upload_id, film, begin=100_000)
    assert (offset, received.slug, received.title) == (len(film), "holiday-final", "Holiday.final")
    video = db.session.get_one(Video, received.video_id)
    assert (video.source_name, video.source_size_bytes, video.state) == (
        "Holiday.final.mp4",
        len(film),
        "processing",
    )
    assert (storage / video.source_path).read_bytes() == film
    assert video.source_path == f"uploads/{video.id}.mp4"
    assert counted(Encode) == 1
    assert counted(Job) >= 1
    assert list((storage / "uploads/.incoming").iterdir()) == []


def test_extension_is_what_was_found_not_what_was_said(app: Flask, clips: Clips) -> None:
    film = clips.remux("film.mkv").read_bytes()
    _, received = send(start(film), film)
    assert db.session.get_one(Video, received.video_id).source_path.endswith(".mkv")


def test_same_key_is_the_same_upload(app: Flask, database: str, clips: Clips) -> None:
    film = clips.mp4.read_bytes()
    first = start(film, idempotency_key="k")
    assert start(film, idempotency_key="k") == first
    _, received = send(first, film)
    again = uploads.create_upload(NewUpload(len(film), idempotency_key="k"))
    assert (again.id, again.video_id, again.offset) == (first, received.video_id, len(film))
    assert counted(Video) == 1


def test_repeated_last_request_gets_the_same_answer(app: Flask, clips: Clips) -> None:
    film = clips.mp4.read_bytes()
    upload_id = start(film)
    _, received = send(upload_id, film)
    assert send(upload_id, film, begin=100) == (len(film), received)
    assert counted(Video) == 1


def test_part_at_another_offset_changes_nothing(app: Flask, clips: Clips) -> None:
    film = clips.mp4.read_bytes()
    upload_id = start(film)
    send(upload_id, film, end=1000)
    for wrong in (0, 999, 1001, 10**12):
        with pytest.raises(UploadError, match="does not begin"):
            uploads.append(upload_id, wrong, [b"x"])
    with pytest.raises(TooLong):
        uploads.append(upload_id, 1000, [film[1000:], b"x"], announced=len(film))
    found = uploads.find_upload(upload_id)
    assert found is not None
    assert found.offset == 1000


def test_damaged_part_is_taken_back(app: Flask, clips: Clips) -> None:
    film = clips.mp4.read_bytes()
    upload_id = start(film)
    with pytest.raises(UploadError, match="damaged"):
        uploads.append(upload_id, 0, [film[:5000]], checksum=Checksum("sha256", bytes(32)))
    found = uploads.find_upload(upload_id)
    assert found is not None
    assert found.offset == 0


def test_broken_connection_keeps_what_came(app: Flask, clips: Clips) -> None:
    film = clips.mp4.read_bytes()
    upload_id = start(film)

    def breaking() -> Any:
        yield film[:70_000]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        uploads.append(upload_id, 0, breaking())
    _, received = send(upload_id, film, begin=70_000)
    assert received is not None


def test_interrupted_before_the_end_is_finished_once(app: Flask, database: str, clips: Clips) -> None:
    """All bytes are here, then the server is gone before it could look at them."""
    film = clips.mp4.read_bytes()
    upload_id = start(film)
    (settings().incoming_dir / upload_id).write_bytes(film)
    assert uploads.finish_interrupted_uploads() == 1
    assert uploads.finish_interrupted_uploads() == 0
    found = uploads.find_upload(upload_id)
    assert found is not None
    assert found.video_id is not None
    assert counted(Video) == 1


def test_crash_before_the_commit_leaves_one_file_and_one_video(
    app: Flask, clips: Clips, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = clips.mp4.read_bytes()
    upload_id = start(film)
    with monkeypatch.context() as patch:
        patch.setattr(store, "unplace", lambda *_: None)  # a killed process does not tidy up
        patch.setattr(planning, "plan_encode", fail_point)
        with pytest.raises(PowerCut):
            send(upload_id, film)
    assert counted(Video) == 0
    assert uploads.finish_interrupted_uploads() == 1
    assert [path.name for path in (storage / "uploads").iterdir() if path.is_file()] == ["1.mp4"]
    assert (storage / "uploads/1.mp4").stat().st_nlink == 1


class PowerCut(BaseException):
    pass


def fail_point(*_: Any) -> None:
    raise PowerCut


def test_failure_while_planning_takes_the_file_back(
    app: Flask, clips: Clips, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise SourceUnreadable("This film is longer than VLog can encode.", code="duration_limit")

    monkeypatch.setattr(planning, "plan_encode", refuse)
    film = clips.mp4.read_bytes()
    with pytest.raises(SourceUnreadable):
        send(start(film), film)
    assert [path for path in (storage / "uploads").rglob("*") if path.is_file()] == []
    assert (counted(Video), counted(Upload)) == (0, 0)


def test_room_is_reserved_before_the_first_byte(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "free_bytes", lambda _path: 5_000_000_000)
    for _ in range(5):
        uploads.create_upload(NewUpload(900_000_000))
    with pytest.raises(store.StorageLow) as refusal:
        uploads.create_upload(NewUpload(900_000_000))
    assert refusal.value.needed_bytes == 900_000_000
    assert refusal.value.free_bytes == 500_000_000
    assert "900\u00a0MB needed, 500\u00a0MB free" in refusal.value.public_message


def test_disk_that_fills_up_half_way_keeps_what_came(
    app: Flask, clips: Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = clips.mp4.read_bytes()
    upload_id = start(film)
    send(upload_id, film, end=100_000)
    with monkeypatch.context() as patch:
        patch.setattr(store, "free_bytes", lambda _path: 10)
        with pytest.raises(store.StorageLow, match="100\u00a0kB are safe"):
            send(upload_id, film, begin=100_000)
    _, received = send(upload_id, film, begin=100_000)
    assert received is not None


def test_no_space_left_is_told_as_such() -> None:
    """/dev/full answers every write with what a full disk answers."""
    with (
        open("/dev/full", "wb", buffering=0) as full,
        pytest.raises(store.StorageLow, match="safe"),
        store.full_disk_is_low("1 MB is safe."),
    ):
        full.write(b"x")


def test_too_large_is_refused_with_both_numbers(app: Flask) -> None:
    with pytest.raises(UploadError, match="this site takes at most 107\u00a0GB"):
        uploads.create_upload(NewUpload(settings().max_upload_size + 1))


def test_a_day_of_silence_ends_an_upload(app: Flask, clips: Clips, storage: Path) -> None:
    film = clips.mp4.read_bytes()
    now = datetime.now(UTC)
    silent, alive = start(film), start(film)
    send(silent, film, end=1000)
    with transaction() as session:
        session.get_one(Upload, silent).expires_at = now - timedelta(seconds=1)
    assert uploads.expire_uploads(now) == 1
    assert uploads.find_upload(silent) is None
    assert [path.name for path in (storage / "uploads/.incoming").iterdir()] == [alive]


def test_files_that_belong_to_nothing_go(app: Flask, storage: Path) -> None:
    folder = store.make_folder(settings().incoming_dir)
    (folder / "0123").write_bytes(b"left behind")
    uploads.expire_uploads(datetime.now(UTC))
    assert (folder / "0123").exists(), "its row may be about to be committed"
    uploads.expire_uploads(datetime.now(UTC) + timedelta(hours=2))
    assert not (folder / "0123").exists()


def test_cancelled_upload_takes_no_more_bytes(app: Flask, clips: Clips) -> None:
    film = clips.mp4.read_bytes()
    upload_id = start(film)
    assert uploads.discard(upload_id)
    assert not uploads.discard(upload_id)
    with pytest.raises(Gone):
        send(upload_id, film)


def test_open_uploads_have_a_limit(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_OPEN", 3)
    for _ in range(3):
        start(b"x" * 100)
    with pytest.raises(UploadError) as refusal:
        start(b"x" * 100)
    assert refusal.value.code == "too_many_uploads"


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("Wood firing", "wood-firing"),
        ("Ärger im Öl", "arger-im-ol"),
        ("日本", "ri-ben"),
        ("!!!", "video"),
        ("Watch", "watch-1"),
    ],
)
def test_slug_is_made_from_the_title(app: Flask, title: str, slug: str) -> None:
    with transaction() as session:
        assert unique_slug(session, title) == slug


def test_equal_titles_get_numbers(app: Flask, clips: Clips) -> None:
    film = clips.mp4.read_bytes()
    slugs = [send(start(film, title="One"), film)[1].slug for _ in range(3)]
    assert slugs == ["one", "one-1", "one-2"]


def test_library_on_an_unmounted_disk_is_not_written_to(app: Flask, clips: Clips, storage: Path) -> None:
    film = clips.mp4.read_bytes()
    send(start(film), film)
    (storage / store.MARKER).unlink()
    with pytest.raises(store.StorageMissing, match="Mount it"):
        start(film)
