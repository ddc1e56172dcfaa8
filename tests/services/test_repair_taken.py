"""Rungs that were taken over from a former encode are made again in the one that holds them now, part by part."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from jobs.contract import Claim
from jobs.layout import AUDIO, COPY, ENCODE
from tests.contract.conftest import ANY, ATLAS
from tests.services.shop import do_all, hand_in_and_finish, pass_time, state_of
from tests.services.test_reencode import encodes_of, files_in, finish, folder, reread
from tests.services.test_repair import ready
from vlog_app.config import settings
from vlog_app.extensions import db
from vlog_app.models import Encode, Job, Rendition, Video
from vlog_app.services import publish, queue
from vlog_app.services.playlists import load_availability, media_text
from vlog_app.services.reencode import encode_again
from vlog_app.services.repair import make_again
from vlog_app.services.retiring import retire_encodes
from vlog_app.storage import MARKER

__all__ = ["ready"]

pytestmark = pytest.mark.usefixtures("database", "app")


@pytest.fixture
def film(ready: Video, app: Flask, tmp_path: Path) -> Video:
    """Its second generation plays: 720p was encoded again, everything else was taken over."""
    (settings().storage_path / MARKER).write_text("here")
    encode_again(ready.id, ["720p"])
    finish(tmp_path)
    assert reread(ready).generation == 2
    return ready


def live(video: Video) -> Encode:
    return encodes_of(video)[-1]


def rendition(video: Video, name: str) -> Rendition:
    query = select(Rendition).where(Rendition.encode_id == live(video).id, Rendition.name == name)
    return db.session.scalars(query).one()


def lose(video: Video, *names: str, generation: int = 2) -> None:
    for name in names:
        (folder(video, generation) / name).unlink()


def claims(folder: Path) -> list[Claim]:
    """Everything there is to do, done."""
    done = []
    while claim := queue.claim_next_job(ATLAS, ANY):
        hand_in_and_finish(claim, folder)
        done.append(claim)
    publish.publish_finished()
    return done


def test_what_is_broken_is_made_again_where_it_lies_and_nothing_else(film: Video, tmp_path: Path) -> None:
    before = files_in(folder(film, 2))
    lose(film, "1080p_0003.ts", "1080p_0004.ts", "480p_0003.ts", "480p_0004.ts", "480p_0007.ts")
    assert make_again(live(film).id, None) == ["1080p", "480p"]
    done = claims(tmp_path)
    assert sorted((claim.renditions, claim.chunk.first, claim.chunk.end) for claim in done) == [
        (("1080p", "480p"), 3, 5),
        (("480p",), 7, 8),
    ]
    assert (state_of(film), reread(film).generation, live(film).state) == ("ready", 2, "done")
    after = files_in(folder(film, 2))
    assert after.keys() == before.keys()
    made = {name for name in before if name.endswith(".ts") and after[name] != before[name]}
    assert made == {"1080p_0003.ts", "1080p_0004.ts", "480p_0003.ts", "480p_0004.ts", "480p_0007.ts"}
    row = rendition(film, "480p")
    assert (row.taken_from, row.done_segments) == (None, row.planned_segments)
    assert row.index is not None and len(row.index["sizes"]) == row.planned_segments


def test_the_other_rungs_play_to_the_end_meanwhile(film: Video) -> None:
    lose(film, "480p_0003.ts")
    make_again(live(film).id, None)
    assert state_of(film) == "viewable"
    made = load_availability(db.session(), reread(film))
    assert made is not None
    ends = {row.rendition.name: "ENDLIST" in media_text(made, row, timeline=None) for row in made.rows}
    assert ends == {"1080p": True, "720p": True, "480p": False, "360p": True, "audio": True}


def test_a_film_whose_sound_was_taken_over_plays_on_while_a_rung_of_its_own_is_made(film: Video) -> None:
    lose(film, "720p_0003.ts")
    assert make_again(live(film).id, None) == ["720p"]
    assert state_of(film) == "viewable"


def test_sound_is_made_in_one_piece_and_handed_in_where_it_is_missing(film: Video, tmp_path: Path) -> None:
    lose(film, "audio_0004.ts")
    assert make_again(live(film).id, None) == ["audio"]
    (claim,) = claims(tmp_path)
    assert (claim.kind, claim.chunk.count, claim.missing()) == (AUDIO, 10, {("audio", 4)})
    assert state_of(film) == "ready"


def test_what_breaks_once_more_is_the_job_of_whom_it_was(film: Video, tmp_path: Path) -> None:
    for _ in range(2):
        lose(film, "1080p_0003.ts")
        assert make_again(live(film).id, None) == ["1080p"]
        assert len(claims(tmp_path)) == 1
    lose(film, "1080p_0003.ts", "1080p_0006.ts")
    make_again(live(film).id, None)
    assert len(claims(tmp_path)) == 2
    jobs = db.session.scalars(select(Job).where(Job.encode_id == live(film).id, Job.kind == ENCODE)).all()
    mine = [(job.first_segment, job.end_segment) for job in jobs if "1080p" in job.renditions]
    assert sorted(mine) == [(3, 4), (6, 7)]
    assert state_of(film) == "ready"


def test_a_rung_that_was_taken_over_twice_is_made_again_when_its_first_encode_has_gone(
    film: Video, tmp_path: Path
) -> None:
    encode_again(film.id, ["360p"])
    finish(tmp_path)
    pass_time(settings().old_files_kept + 61)
    retire_encodes()
    pass_time(61)
    assert retire_encodes() == 2
    lose(film, "1080p_0003.ts", "720p_0003.ts", "audio_0003.ts", generation=3)
    assert make_again(live(film).id, None) == ["1080p", "720p", "audio"]
    claims(tmp_path)
    assert (state_of(film), reread(film).generation) == ("ready", 3)
    assert make_again(live(film).id, None) == []


def test_only_the_rungs_that_were_asked_for_are_looked_at_but_a_film_ends_whole(
    film: Video, tmp_path: Path
) -> None:
    lose(film, "720p_0003.ts", "1080p_0005.ts")
    lose(film, "1080p_0005.ts", generation=1)  # else it would get its second name once more
    assert make_again(live(film).id, frozenset({"720p"})) == ["720p"]
    claims(tmp_path)
    assert (state_of(film), rendition(film, "1080p").taken_from) == ("viewable", None)
    claims(tmp_path)
    assert (state_of(film), live(film).state) == ("ready", "done")
    assert (folder(film, 2) / "1080p_0005.ts").is_file()


def test_the_former_encode_is_left_as_it_is(film: Video, tmp_path: Path) -> None:
    (folder(film, 2) / "1080p_0003.ts").write_bytes(b"cut")  # both names of it
    first = {path: path.stat().st_ino for path in folder(film).glob("*.ts")}
    make_again(live(film).id, None)
    claims(tmp_path)
    assert {path: path.stat().st_ino for path in folder(film).glob("*.ts")} == first
    assert (folder(film) / "1080p_0003.ts").read_bytes() == b"cut"
    assert state_of(film) == "ready"


def test_it_may_be_encoded_again_afterwards(film: Video, tmp_path: Path) -> None:
    lose(film, "1080p_0003.ts")
    make_again(live(film).id, None)
    do_all(tmp_path)
    publish.publish_finished()
    assert encode_again(film.id, ["480p"]) == ["480p"]
    finish(tmp_path)
    assert (reread(film).generation, state_of(film)) == (3, "ready")
    assert rendition(film, "1080p").taken_from == 2
    assert COPY not in {job.kind for job in db.session.scalars(select(Job))}
