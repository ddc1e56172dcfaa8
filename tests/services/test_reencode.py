"""A film is encoded again beside what plays, and takes its place whole or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from encoder.model import EncodePlan
from jobs.contract import Claim
from jobs.layout import Priority
from tests.contract.conftest import ANY, ATLAS, ENCODES
from tests.factories import events_of
from tests.services.shop import do_all, hand_in, pass_time, state_of, take
from tests.services.test_fail import FINAL
from tests.services.test_repair import ready
from vlog_app.config import APP_KEY, settings
from vlog_app.extensions import db
from vlog_app.models import Encode, Job, Video
from vlog_app.services import control, publish, queue, repair, samples
from vlog_app.services.events import EventKind
from vlog_app.services.playlists import load_availability, master_text
from vlog_app.services.reencode import NotAgain, choice_for, encode_again
from vlog_app.services.retiring import remove_leftovers, retire_encodes
from vlog_app.storage import MARKER

__all__ = ["ready"]

pytestmark = pytest.mark.usefixtures("database", "app")

RUNGS = ["1080p", "720p", "480p", "360p"]
EVERYTHING = [*RUNGS, "audio"]


@pytest.fixture(autouse=True)
def _storage_is_ours(app: Flask) -> None:
    (settings().storage_path / MARKER).write_text("here")


def encodes_of(video: Video) -> list[Encode]:
    """First generation first."""
    db.session.rollback()
    db.session.expire_all()
    query = select(Encode).where(Encode.video_id == video.id).order_by(Encode.generation)
    return list(db.session.scalars(query))


def reread(video: Video) -> Video:
    db.session.rollback()
    return db.session.get_one(Video, video.id, populate_existing=True)


def folder(video: Video, generation: int = 1) -> Path:
    top = settings().videos_dir / video.slug
    return top if generation == 1 else top / f"g{generation}"


def files_in(folder: Path) -> dict[str, tuple[int, int]]:
    """Name -> (inode, size) of every file in it and below."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_size) for path in files}


def finish(folder: Path) -> None:
    do_all(folder)
    publish.publish_finished()


# --- all of it


def test_all_of_a_film_is_encoded_beside_what_plays(ready: Video, tmp_path: Path) -> None:
    before = files_in(folder(ready))
    assert encode_again(ready.id) == EVERYTHING
    assert (state_of(ready), reread(ready).generation) == ("ready", 1)
    hand_in(take(ENCODES), tmp_path)
    assert files_in(folder(ready, 2))
    assert {name: before[name] for name in before} == {
        name: facts for name, facts in files_in(folder(ready)).items() if not name.startswith("g2/")
    }
    made = load_availability(db.session(), reread(ready))
    assert made is not None and made.is_whole
    assert "?g=1" in master_text(made, timeline=None)


def test_it_takes_the_place_of_the_former_one_once_it_is_whole(ready: Video, tmp_path: Path) -> None:
    encode_again(ready.id)
    finish(tmp_path)
    first, second = encodes_of(ready)
    assert (reread(ready).generation, state_of(ready)) == (2, "ready")
    assert (first.superseded_at is not None, second.state, second.superseded_at) == (True, "done", None)
    made = load_availability(db.session(), reread(ready))
    assert made is not None and "720p.m3u8?g=2" in master_text(made, timeline=None)
    assert len(list(folder(ready, 2).glob("720p_*.ts"))) == 10
    assert "\ng2/720p.m3u8" in (folder(ready) / "master.m3u8").read_text()
    assert "\n720p.m3u8" in (folder(ready, 2) / "master.m3u8").read_text()


def test_the_former_one_answers_until_whoever_watches_it_has_seen_its_end(
    ready: Video, tmp_path: Path
) -> None:
    encode_again(ready.id)
    finish(tmp_path)
    pass_time(settings().old_files_kept + 59)
    assert retire_encodes() == 0
    assert load_availability(db.session(), reread(ready), 1) is not None
    pass_time(2)
    assert retire_encodes() == 0, "the files go after the playlists"
    assert load_availability(db.session(), reread(ready), 1) is None
    assert list(folder(ready).glob("*.ts"))
    pass_time(61)
    assert retire_encodes() == 1
    left = files_in(folder(ready))
    assert {name for name in left if not name.startswith("g2/")} == {"master.m3u8", "thumbnail.jpg"} & set(
        left
    )
    assert len(list(folder(ready, 2).glob("*.ts"))) == 5 * 10
    assert retire_encodes() == 0


def test_a_third_one_leaves_the_second_until_it_is_whole(ready: Video, tmp_path: Path) -> None:
    for _ in range(2):
        encode_again(ready.id)
        finish(tmp_path)
    assert reread(ready).generation == 3
    pass_time(settings().old_files_kept + 61)
    retire_encodes()
    pass_time(61)
    assert retire_encodes() == 2
    assert not folder(ready, 2).exists()
    assert len(list(folder(ready, 3).glob("*.ts"))) == 5 * 10


def test_nothing_of_it_overtakes_films_that_nobody_can_watch_yet(ready: Video) -> None:
    encode_again(ready.id, priority=Priority.LOW)
    _, second = encodes_of(ready)
    jobs = db.session.scalars(select(Job).where(Job.encode_id == second.id, Job.kind == "encode")).all()
    assert second.priority == Priority.LOW
    assert {job.rank for job in jobs} == {40}


def test_a_film_without_a_poster_gets_one_and_others_keep_theirs(ready: Video) -> None:
    encode_again(ready.id)
    kinds = db.session.scalars(select(Job.kind).where(Job.encode_id == encodes_of(ready)[1].id))
    assert ("poster" in set(kinds)) == (reread(ready).poster_version == 0)


# --- some rungs


def test_rungs_that_are_not_chosen_are_taken_over(ready: Video, tmp_path: Path) -> None:
    before = files_in(folder(ready))
    assert encode_again(ready.id, ["480p", "720p"]) == ["720p", "480p"]
    claims = _claims(tmp_path)
    assert {name for claim in claims for name in claim.renditions} == {"720p", "480p"}
    publish.publish_finished()
    after = files_in(folder(ready, 2))
    for name, facts in before.items():
        if name.startswith(("1080p_", "360p_", "audio_")):
            assert after[name] == facts, "the same file under a second name"
        elif name.endswith(".ts"):
            assert after[name][0] != facts[0]
    assert reread(ready).generation == 2
    made = load_availability(db.session(), reread(ready))
    assert made is not None and [row.rendition.name for row in made.rows] == EVERYTHING


def test_they_stay_when_the_former_one_goes(ready: Video, tmp_path: Path) -> None:
    encode_again(ready.id, ["480p"])
    finish(tmp_path)
    pass_time(settings().old_files_kept + 61)
    retire_encodes()
    pass_time(61)
    assert retire_encodes() == 1
    made = load_availability(db.session(), reread(ready))
    assert made is not None
    assert publish.missing_segments(made, folder(ready, 2)) == set()


def test_sound_can_be_chosen_alone(ready: Video, tmp_path: Path) -> None:
    assert encode_again(ready.id, ["audio"]) == ["audio"]
    finish(tmp_path)
    assert reread(ready).generation == 2


@pytest.mark.parametrize(
    ("setting", "value", "why"),
    [
        ("hls_segment_duration", 4, "segments are to have another length"),
        ("streaming_format", "cmaf", "another streaming format"),
        ("hwaccel_preferred_codec", "hevc", "another streaming format"),
    ],
)
def test_rungs_of_another_grid_are_not_mixed(
    ready: Video, app: Flask, monkeypatch: pytest.MonkeyPatch, setting: str, value: object, why: str
) -> None:
    _set(app, monkeypatch, **{setting: value})
    with pytest.raises(NotAgain, match=why) as caught:
        encode_again(ready.id, ["720p"])
    assert caught.value.code == "only_all_rungs"
    assert "Encode all rungs" in str(caught.value)
    assert why in choice_for(ready.id).only_all
    assert len(encodes_of(ready)) == 1


def test_all_of_it_follows_the_settings_of_today(
    ready: Video, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set(app, monkeypatch, hls_segment_duration=4)
    encode_again(ready.id)
    plans = [EncodePlan.from_json(encode.plan) for encode in encodes_of(ready)]
    assert [plan.segment_s for plan in plans] == [6.0, 4.0]


def test_a_rung_that_has_gone_from_the_disk_is_not_taken_over(ready: Video) -> None:
    (folder(ready) / "1080p_0003.ts").unlink()
    with pytest.raises(NotAgain, match=r"Parts of 1080p have gone") as caught:
        encode_again(ready.id, ["720p"])
    assert caught.value.code == "rungs_are_broken"
    assert encode_again(ready.id, ["1080p"]) == ["1080p"]


def test_a_rung_that_breaks_meanwhile_stops_the_new_one_only(ready: Video, tmp_path: Path) -> None:
    encode_again(ready.id, ["720p"])
    (folder(ready) / "1080p_0003.ts").unlink()
    finish(tmp_path)
    first, second = encodes_of(ready)
    assert (reread(ready).generation, first.state, second.state) == (1, "done", "failed")
    assert second.error_code == "taken_rung_broken"
    assert "1080p was to stay as it is" in (second.error_message or "")


# --- what cannot be


@pytest.mark.parametrize(
    ("names", "code"), [(["9p"], "no_such_rung"), ([], "no_rung"), (["720p", "8p"], "no_such_rung")]
)
def test_rungs_that_do_not_exist_are_refused_by_name(ready: Video, names: list[str], code: str) -> None:
    with pytest.raises(NotAgain) as caught:
        encode_again(ready.id, names)
    assert caught.value.code == code


def test_without_its_source_nothing_is_begun(ready: Video) -> None:
    (settings().storage_path / ready.source_path).unlink()
    with pytest.raises(NotAgain, match="source file is gone") as caught:
        encode_again(ready.id)
    assert caught.value.code == "source_missing"


def test_one_at_a_time(ready: Video) -> None:
    encode_again(ready.id)
    with pytest.raises(NotAgain, match="encoded again already"):
        encode_again(ready.id)


def test_a_film_that_is_being_encoded_waits(ready: Video) -> None:
    (folder(ready) / "720p_0003.ts").unlink()
    repair.make_again(encodes_of(ready)[0].id, None)
    with pytest.raises(NotAgain, match="being encoded"):
        encode_again(ready.id)


def test_nothing_is_repaired_in_place_meanwhile(ready: Video) -> None:
    encode_again(ready.id)
    (folder(ready) / "720p_0003.ts").unlink()
    with pytest.raises(control.IllegalMove, match="encoded again"):
        repair.make_again(encodes_of(ready)[0].id, None)


def test_a_full_disk_is_told_before_anything_is_begun(
    ready: Video, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set(app, monkeypatch, storage_reserve_bytes=1 << 60)
    with pytest.raises(NotAgain) as caught:
        encode_again(ready.id)
    assert caught.value.code == "storage_low"


# --- it ends otherwise


def test_cancelling_leaves_everything_as_it_was(ready: Video, tmp_path: Path) -> None:
    before = files_in(folder(ready))
    encode_again(ready.id)
    claim = take(ENCODES)
    hand_in(claim, tmp_path)
    control.cancel_encode(_current(ready))
    assert retire_encodes() == 1
    assert files_in(folder(ready)) == before
    assert not folder(ready, 2).exists()
    assert (state_of(ready), reread(ready).generation, encodes_of(ready)[0].state) == ("ready", 1, "done")
    with pytest.raises(queue.LeaseLost):
        hand_in(replace(claim, done=frozenset()), tmp_path, ("1080p", 0))
    assert not folder(ready, 2).exists()
    assert events_of(ready)[-1].kind == EventKind.CANCELLED
    assert _current(ready) == encodes_of(ready)[0].id


def test_failing_leaves_what_plays_and_says_so(ready: Video, tmp_path: Path) -> None:
    before = files_in(folder(ready))
    encode_again(ready.id, priority=Priority.HIGH)
    hand_in(take(ENCODES), tmp_path, ("720p", 0))
    queue.fail_job(take(ENCODES), FINAL)
    first, second = encodes_of(ready)
    assert (state_of(ready), first.state, second.state) == ("ready", "done", "failed")
    assert "What viewers get is kept as it was" in (second.error_message or "")
    assert reread(ready).error_message is None
    assert retire_encodes() == 1
    assert files_in(folder(ready)) == before


def test_trying_a_failed_one_again_begins_anew(ready: Video, tmp_path: Path) -> None:
    encode_again(ready.id, ["720p"], Priority.HIGH)
    queue.fail_job(take(ENCODES), FINAL)
    retire_encodes()
    control.retry_encode(_current(ready))
    third = encodes_of(ready)[2]
    assert (third.generation, third.rungs, third.priority) == (3, ["720p"], Priority.HIGH)
    assert encodes_of(ready)[1].state == "cancelled"
    finish(tmp_path)
    assert reread(ready).generation == 3


def test_all_that_failed_can_be_tried_again_at_once(ready: Video) -> None:
    encode_again(ready.id)
    queue.fail_job(take(ENCODES), FINAL)
    assert control.retry_failed() == 1
    assert _current(ready) == encodes_of(ready)[2].id


def test_a_failed_one_can_be_forgotten(ready: Video) -> None:
    encode_again(ready.id)
    queue.fail_job(take(ENCODES), FINAL)
    control.cancel_encode(_current(ready))
    assert _current(ready) == encodes_of(ready)[0].id


def test_pause_and_priority_are_about_the_one_beside(ready: Video) -> None:
    encode_again(ready.id)
    control.pause_encode(_current(ready))
    assert queue.claim_next_job(ATLAS, ENCODES) is None
    control.resume_encode(_current(ready))
    control.prioritise(_current(ready), Priority.HIGH)
    assert encodes_of(ready)[1].priority == Priority.HIGH
    assert queue.claim_next_job(ATLAS, ENCODES) is not None


def test_segments_that_do_not_decode_are_made_again_once_and_then_it_fails(
    ready: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode_again(ready.id)
    do_all(tmp_path)
    found = samples.Finding("720p", 0, "damaged", "Segment 1 of 720p cannot be played.")
    monkeypatch.setattr(publish, "damaged_segments", lambda *_: [found])
    publish.publish_finished()
    do_all(tmp_path)
    publish.publish_finished()
    assert (reread(ready).generation, encodes_of(ready)[1].state) == (1, "failed")


# --- killed anywhere


@pytest.mark.parametrize("step", ["take_over", "_write_playlists", "_make_ready", "_point_to"])
def test_a_crash_while_it_is_published_leaves_one_or_the_other(
    ready: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    encode_again(ready.id, ["720p"])
    do_all(tmp_path)
    for moment in ("before", "after"):
        with monkeypatch.context() as patch:
            patch.setattr(publish, step, _dies(getattr(publish, step), moment))
            with pytest.raises(Killed):
                publish.publish_finished()
            db.session.rollback()
        _is_all_of_one(ready)
        if reread(ready).generation == 2:
            break
    publish.publish_finished()
    assert reread(ready).generation == 2
    _is_all_of_one(ready)


class Killed(BaseException):
    pass


def _dies(real: object, moment: str) -> object:
    def call(*args: object) -> None:
        if moment == "after":
            assert callable(real)
            real(*args)
        raise Killed

    return call


def _is_all_of_one(video: Video) -> None:
    made = load_availability(db.session(), reread(video))
    assert made is not None and made.is_whole
    assert publish.missing_segments(made, folder(video, made.encode.generation)) == set()


def test_a_crash_between_files_and_rows_is_made_good(ready: Video, tmp_path: Path) -> None:
    encode_again(ready.id)
    hand_in(take(ENCODES), tmp_path)
    control.cancel_encode(_current(ready))
    assert retire_encodes() == 1
    left = folder(ready, 2) / "720p_0000.ts"
    left.parent.mkdir()
    left.write_bytes(b"late")
    assert remove_leftovers() == 1
    assert not left.parent.exists()
    assert remove_leftovers() == 0


def test_a_storage_that_is_not_ours_is_never_tidied(ready: Video, tmp_path: Path) -> None:
    encode_again(ready.id)
    hand_in(take(ENCODES), tmp_path)
    control.cancel_encode(_current(ready))
    (settings().storage_path / MARKER).unlink()
    assert (retire_encodes(), remove_leftovers()) == (0, 0)
    assert folder(ready, 2).is_dir()


# --- helpers


def _current(video: Video) -> int:
    found = control.current_encode(video.id)
    assert found is not None
    return found


def _claims(folder: Path) -> list[Claim]:
    claims = []
    while claim := queue.claim_next_job(ATLAS, ANY):
        claims.append(claim)
        hand_in(claim, folder)
        queue.finish_job(claim, queue.Report())
    return [claim for claim in claims if claim.renditions]


def _set(app: Flask, monkeypatch: pytest.MonkeyPatch, **values: object) -> None:
    monkeypatch.setitem(app.extensions, APP_KEY, settings().model_copy(update=values))
