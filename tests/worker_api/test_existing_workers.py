"""Workers of an existing installation go on working unmodified: a whole film over a real socket, on both databases."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from encoder.probe import probe
from jobs.contract import Slot, WorkerInfo
from jobs.runner import KINDS, Tools, run_claim
from tests.conformance import check
from tests.conftest import ADMIN_SECRET, AppFactory
from tests.contract.worker_api import WORKER_SECRET, register, running_worker_api
from tests.e2e.people import Person
from tests.factories import make_video
from tests.films import decoder_words, numbered_film
from tests.worker_api.existing import ClaimLost, ExistingWorker, tarball
from vlog_app.config import settings
from vlog_app.local_coordinator import LocalCoordinator
from vlog_app.models import Video
from vlog_app.services import queue
from vlog_app.services.clock import SHIFT_KEY
from vlog_app.services.publish import publish_finished

pytestmark = pytest.mark.media
SECONDS = 14.0


@pytest.fixture(scope="module")
def clip(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return numbered_film(ffmpeg_path, path, seconds=SECONDS, size="854x480")


@pytest.fixture
def server(app_factory: AppFactory) -> Flask:
    return app_factory("worker_api", worker_admin_secret=WORKER_SECRET)


@pytest.fixture
def url(server: Flask) -> Iterator[str]:
    with running_worker_api(server) as url:
        yield url


@pytest.fixture
def site(app_factory: AppFactory) -> Any:
    """What a viewer reaches."""
    return app_factory("public").test_client()


@pytest.fixture
def film(server: Flask, clip: Path) -> Video:
    with server.app_context():
        video = make_video("Kiln", source=probe(clip))
        source = settings().storage_path / video.source_path
        source.parent.mkdir(exist_ok=True)
        source.write_bytes(clip.read_bytes())
        return video


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shelf")


@pytest.fixture
def worker(
    url: str, ffmpeg_path: str, tmp_path: Path, shelf: Path, request: pytest.FixtureRequest
) -> ExistingWorker:
    kind = getattr(request, "param", "hls_ts")
    folder = tmp_path / "old-worker"
    folder.mkdir()
    return ExistingWorker(url, register(url, "old hand")["api_key"], ffmpeg_path, folder, kind, shelf)


def addresses(site: Any, slug: str) -> dict[str, bytes]:
    """Every address that the film's playlists name, and what it answers."""
    found: dict[str, bytes] = {}
    todo = [f"/videos/{slug}/master.m3u8"]
    while todo:
        address = todo.pop()
        with site.get(address) as answer:
            assert answer.status_code == 200, address
            found[address] = answer.data
        if ".m3u8" in address:
            text = found[address].decode()
            named = [line for line in text.splitlines() if line and not line.startswith("#")]
            named += re.findall(r'URI="([^"]+)"', text)
            todo += [f"{address.rpartition('/')[0]}/{name}" for name in named]
    return found


@pytest.mark.parametrize("worker", ["hls_ts", "cmaf"], indirect=True)
def test_a_whole_film(
    database: str,
    site: Any,
    film: Video,
    worker: ExistingWorker,
    storage: Path,
    tmp_path: Path,
    ffmpeg_path: str,
) -> None:
    verdict = worker.work_once()
    assert verdict is not None
    assert (verdict["video_status"], verdict["job_completed"]) == ("ready", True)
    assert (verdict["all_files_present"], verdict["missing_files"]) == (True, [])
    assert verdict["qualities_present"] == ["480p", "360p"]
    there = addresses(site, film.slug)
    master = there[f"/videos/{film.slug}/master.m3u8"].decode()
    assert re.findall(r"RESOLUTION=(\S+?),", master) == ["854x480", "640x360"]
    assert len(re.findall(r'CODECS="avc1\.4D40[0-9A-F]{2},mp4a\.40\.2"', master)) == 2
    assert re.findall(r"FRAME-RATE=(\S+)", master) == ["29.970"] * 2
    assert "elsewhere.example" not in master
    assert decoder_words(ffmpeg_path, joined(there, "480p", tmp_path)) == ""
    with site.get(f"/videos/{film.slug}/thumbnail.jpg") as poster:
        assert poster.data.startswith(b"\xff\xd8\xff")
    assert worker.work_once() is None
    assert_rules_hold(storage / "videos" / film.slug, worker.format)


def assert_rules_hold(folder: Path, container: str) -> None:
    """What somebody else made and cut is what its playlists say; a part in the wrong place is found."""
    rungs = ("480p", "360p")
    assert [str(finding) for finding in check(folder, foreign=rungs)] == []
    name = "480p/seg_000{}.m4s" if container == "cmaf" else "480p_000{}.ts"
    shutil.copy(folder / name.format(2), folder / name.format(1))
    assert check(folder, foreign=rungs) != []


def test_what_is_promised_of_a_rung_is_what_it_has(site: Any, film: Video, worker: ExistingWorker) -> None:
    worker.work_once()
    there = addresses(site, film.slug)
    for name in ("480p", "360p"):
        text = there[next(address for address in there if f"{name}.m3u8" in address)].decode()
        lengths = [float(length) for length in re.findall(r"#EXTINF:([\d.]+),", text)]
        sizes = [len(there[address]) for address in sorted(there) if f"{name}_0" in address]
        assert len(lengths) == len(sizes) > 3
        assert sum(lengths) == pytest.approx(SECONDS, abs=0.2)
        line = next(
            line for line in there[f"/videos/{film.slug}/master.m3u8"].decode().split("#EXT-X-STREAM-INF:")
            if f"\n{name}.m3u8" in line
        )  # fmt: skip
        average, peak = (
            int(n) for n in re.search(r"BANDWIDTH=(\d+),AVERAGE-BANDWIDTH=(\d+)", line).groups()[::-1]
        )  # type: ignore[union-attr]
        assert average == pytest.approx(sum(sizes) * 8 / sum(lengths), rel=0.01)
        assert (
            average
            <= peak
            <= max(size * 8 / length for size, length in zip(sizes, lengths, strict=True)) * 1.01
        )


def test_the_film_can_be_watched_from_its_first_rung_on(
    app_factory: AppFactory, site: Any, film: Video, worker: ExistingWorker
) -> None:
    job = worker.call("POST", "/worker/claim")
    source = worker.download(job)
    worker.upload_quality(job, "360p", worker.encode(source, "360p"))
    progress = site.get(f"/api/videos/{film.slug}/progress").json
    assert progress["status"] == "viewable"
    assert [(row["name"], row["ready"]) for row in progress["renditions"]] == [
        ("360p", [[0, progress["segments"]]])
    ]
    assert "360p.m3u8" in site.get(f"/videos/{film.slug}/master.m3u8?timeline=full").text
    assert "All of it can be watched" in site.get(f"/watch/{film.slug}").text
    owner = app_factory("admin").test_client()
    owner.environ_base["HTTP_X_ADMIN_SECRET"] = ADMIN_SECRET
    page = owner.get(f"/videos/{film.id}").text
    assert "the whole film: thumbnail" in page
    assert owner.get("/videos").status_code == owner.get("/queue").status_code == 200
    assert site.post(f"/api/videos/{film.slug}/demand", json={"segment": 1}).json["ready"] is True


@pytest.mark.parametrize("worker", ["hls_ts", "cmaf"], indirect=True)
def test_a_film_in_one_archive(site: Any, film: Video, worker: ExistingWorker) -> None:
    job = worker.call("POST", "/worker/claim")
    source = worker.download(job)
    files = worker.encode(source, "360p") | worker.encode(source, "480p")
    sent = {"file": ("hls.tar.gz", tarball({**files, "master.m3u8": b"#EXTM3U\n"}), "application/gzip")}
    worker.call("POST", f"/worker/upload/{job['video_id']}", files=sent)
    verdict = worker.finish(job, [{"name": "360p"}, {"name": "480p"}])
    assert (verdict["video_status"], verdict["qualities_present"]) == ("ready", ["480p", "360p"])
    assert addresses(site, film.slug)


@pytest.mark.parametrize("worker", ["hls_ts", "cmaf"], indirect=True)
def test_a_film_file_by_file(site: Any, film: Video, worker: ExistingWorker, storage: Path) -> None:
    job = worker.call("POST", "/worker/claim")
    files = {path.name: path.read_bytes() for path in worker.encode(worker.download(job), "360p").values()}
    upload = f"/worker/upload/{job['video_id']}"
    segments = sorted(name for name in files if name.endswith((".ts", ".m4s")))
    done = {"quality": "360p", "segment_count": len(segments)}
    late = segments[1]
    for name in [name for name in files if name != late]:
        answer = worker.put_part(job, "360p", name, files[name]).json()
        assert (answer["written"], answer["bytes_written"]) == (True, len(files[name]))
    assert worker.put_part(job, "360p", segments[0], files[segments[0]]).json()["written"] is False
    assert worker.put_part(job, "360p", "360p_0000.exe", b"x").status_code == 400
    assert worker.call("POST", f"{upload}/segment/finalize", json=done) == {
        "status": "incomplete", "complete": False, "missing_segments": [late],
    }  # fmt: skip
    there = worker.call("GET", f"{upload}/segments/status?quality=360p")
    assert there["received_segments"] == [name for name in segments if name != late]
    assert there["total_size_bytes"] == sum(len(files[name]) for name in there["received_segments"])
    assert worker.put_part(job, "360p", late, files[late]).json()["written"] is True
    assert worker.call("POST", f"{upload}/segment/finalize", json=done)["complete"] is True
    assert worker.put_part(job, "360p", late, files[late]).json()["written"] is False
    assert worker.finish(job, [{"name": "360p"}])["video_status"] == "ready"
    assert addresses(site, film.slug)
    assert list((storage / ".work" / ".received").iterdir()) == []


def test_a_part_with_a_wrong_checksum_is_not_kept(film: Video, worker: ExistingWorker) -> None:
    job = worker.call("POST", "/worker/claim")
    upload = f"/worker/upload/{job['video_id']}"
    path = f"{upload}/segment/360p/360p_0000.ts"
    answer = worker.ask("POST", path, content=b"bytes", headers={"X-Content-SHA256": "0" * 64})
    assert (answer.status_code, answer.json()["code"]) == (400, "wrong_checksum")
    assert worker.call("GET", f"{upload}/segments/status?quality=360p")["received_segments"] == []


def test_half_a_film_is_no_rung(film: Video, worker: ExistingWorker) -> None:
    job = worker.call("POST", "/worker/claim")
    files = worker.encode(worker.download(job), "360p")
    kept = {name: path for name, path in files.items() if name in ("360p_0000.ts", "360p_0001.ts")}
    sent = {"file": ("quality.tar.gz", tarball(kept), "application/gzip")}
    answer = worker.ask("POST", f"/worker/upload/{job['video_id']}/quality/360p", files=sent)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_rendition")
    assert "instead of 14.0 s" in answer.json()["detail"]


def test_a_worker_that_lost_its_film_in_the_middle_of_an_upload_leaves_nothing(
    server: Flask, film: Video, worker: ExistingWorker, storage: Path
) -> None:
    job = worker.call("POST", "/worker/claim")
    files = worker.encode(worker.download(job), "360p")
    with server.app_context():
        server.config[SHIFT_KEY] = 10_000.0
        assert queue.sweep_expired_leases() == 1
    with pytest.raises(ClaimLost):
        worker.upload_quality(job, "360p", files)
    assert not list((storage / "videos").rglob("*.ts"))


def joined(there: dict[str, bytes], name: str, folder: Path) -> Path:
    """All segments of a rung as one film, its header first."""
    header = [data for address, data in there.items() if f"{name}/init" in address]
    parts = [there[address] for address in sorted(there) if re.search(rf"{name}(_|/seg_)\d", address)]
    assert len(parts) > 3
    path = folder / "joined.mp4"
    path.write_bytes(b"".join([*header, *parts]))
    return path


# --- in a browser --------------------------------------------------------------------------------------------


@pytest.fixture
def public_url(app_factory: AppFactory) -> Iterator[str]:
    with running_worker_api(app_factory("public")) as url:
        yield url


@pytest.mark.browser
@pytest.mark.parametrize("worker", ["hls_ts", "cmaf"], indirect=True)
def test_our_player_plays_it_on_every_rung(
    public_url: str, film: Video, worker: ExistingWorker, browser: Any
) -> None:
    worker.work_once()
    viewer = Person(browser)
    viewer.page.goto(f"{public_url}/watch/{film.slug}")
    viewer.play()
    for name, height in (("360p", 360), ("480p", 480)):
        viewer.choose_quality(name)
        seen = viewer.wait(lambda now, n=name, h=height: now["level"] == n and now["height"] == h)  # type: ignore[misc]
        viewer.wait(lambda now, then=seen: now["frames"] > then["frames"] + 10)  # type: ignore[misc]
    viewer.check_page()


@pytest.mark.browser
def test_our_player_changes_between_a_rung_that_came_whole_and_one_of_our_own(
    app_factory: AppFactory,
    public_url: str,
    film: Video,
    worker: ExistingWorker,
    browser: Any,
    ffmpeg_path: str,
    tmp_path: Path,
) -> None:
    job = worker.call("POST", "/worker/claim")
    worker.upload_quality(job, "480p", worker.encode(worker.download(job), "480p"))
    worker.call("POST", f"/worker/{job['job_id']}/fail", json={"error_message": "The host goes home."})
    app = app_factory("cli")
    with app.app_context():
        own = LocalCoordinator(app)
        tools = Tools(ffmpeg=ffmpeg_path, work_root=tmp_path / "own")
        while claim := own.claim(WorkerInfo("w-own", "own"), Slot("every", tuple(KINDS))):
            run_claim(claim, own, tools, threading.Event())
        publish_finished()
    viewer = Person(browser)
    viewer.page.goto(f"{public_url}/watch/{film.slug}")
    viewer.play()
    for name, height in (("360p", 360), ("480p", 480), ("360p", 360)):
        viewer.choose_quality(name)
        seen = viewer.wait(lambda now, n=name, h=height: now["level"] == n and now["height"] == h)  # type: ignore[misc]
        viewer.wait(lambda now, then=seen: now["frames"] > then["frames"] + 10)  # type: ignore[misc]
    viewer.check_page()
