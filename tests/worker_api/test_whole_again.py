"""A film that was cut elsewhere is encoded again: into one of ours where somebody can, else by an existing worker."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask

from jobs.contract import WorkerInfo
from tests.contract.conftest import words_for_segments
from tests.services.test_reencode import finish
from tests.worker_api.conftest import RemoteWorker
from tests.worker_api.whole_films import DONE, claim, deliver
from vlog_app.config import settings
from vlog_app.extensions import db
from vlog_app.models import Rendition, Video
from vlog_app.services import fleet
from vlog_app.services.generations import encode_beside, live_encode
from vlog_app.services.reencode import NotAgain, choice_for, encode_again

__all__ = ["words_for_segments"]


@pytest.fixture
def foreign(atlas: RemoteWorker, film: Video, server: Flask, tmp_path: Path) -> Video:
    """Finished by an existing worker, with its segments of 31 and 29 s."""
    job = claim(atlas)
    deliver(server, atlas, job, "720p", tmp_path)
    assert atlas.call("POST", f"/{job['job_id']}/complete", json=DONE).status_code == 200
    return film


def test_all_of_it_is_encoded_since_nothing_would_join(foreign: Video, server: Flask) -> None:
    with server.app_context():
        assert "cut elsewhere" in choice_for(foreign.id).only_all
        with pytest.raises(NotAgain, match="cut elsewhere"):
            encode_again(foreign.id, ["720p"])
        assert "1080p" in encode_again(foreign.id)
        beside = encode_beside(db.session(), db.session.get_one(Video, foreign.id))
        assert beside is not None
        rows = db.session.scalars(db.select(Rendition).where(Rendition.encode_id == beside.id)).all()
        assert {row.origin for row in rows} == {"grid"}


def test_a_worker_that_knows_parts_has_it_to_itself(
    foreign: Video, atlas: RemoteWorker, server: Flask
) -> None:
    with server.app_context():
        fleet.greet(WorkerInfo("local:here", "here", {"ffmpeg": "7.0"}))
        encode_again(foreign.id)
    assert claim(atlas)["job_id"] is None


def test_where_there_is_none_an_existing_worker_makes_it(
    foreign: Video, atlas: RemoteWorker, server: Flask, storage: Path, tmp_path: Path
) -> None:
    with server.app_context():
        encode_again(foreign.id)
    job = claim(atlas)
    assert (job["video_slug"], job["existing_qualities"]) == (foreign.slug, [])
    for name in ("720p", "480p"):
        deliver(server, atlas, job, name, tmp_path)
    with server.app_context():
        video = db.session.get_one(Video, foreign.id)
        assert (video.state, video.generation) == ("ready", 1)
    done = {"qualities": [{"name": "720p"}, {"name": "480p"}]}
    assert atlas.call("POST", f"/{job['job_id']}/complete", json=done).status_code == 200
    with server.app_context():
        video = db.session.get_one(Video, foreign.id)
        live = live_encode(db.session(), video)
        assert live is not None
        assert (video.state, video.generation, live.state) == ("ready", 2, "done")
        assert (settings().videos_dir / video.slug / "g2" / "480p_0001.ts").is_file()


def test_one_that_an_existing_worker_gives_up_leaves_what_plays(
    foreign: Video, atlas: RemoteWorker, server: Flask
) -> None:
    with server.app_context():
        encode_again(foreign.id)
    job = claim(atlas)
    said = {"error_message": "It broke.", "retry": False}
    assert atlas.call("POST", f"/{job['job_id']}/fail", json=said).json["will_retry"] is False
    with server.app_context():
        video = db.session.get_one(Video, foreign.id)
        beside = encode_beside(db.session(), video)
        assert (video.state, video.error_message) == ("ready", None)
        assert beside is not None and beside.state == "failed"


def test_rungs_that_are_taken_over_are_not_given_to_existing_workers(
    film: Video, atlas: RemoteWorker, server: Flask, tmp_path: Path
) -> None:
    with server.app_context():
        finish(tmp_path)
        encode_again(film.id, ["480p"])
    assert claim(atlas)["job_id"] is None
