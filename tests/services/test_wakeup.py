"""Telling workers: after the commit, exactly what was queued, never more than a hint, never a reason to wait."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from flask import Flask

from encoder.device import CPU, Device, DeviceKind, Encoder
from jobs.contract import Failure, WorkerInfo
from jobs.layout import Rank
from jobs.queues import job_of, send, waiting
from tests.conftest import AppFactory
from tests.contract.conftest import ATLAS, ENCODES, SOUND
from tests.factories import make_source, make_video
from tests.provision.proxy import Wire
from tests.services.shop import OVER, film, jobs_of, pass_time, take
from vlog_app.config import Settings
from vlog_app.extensions import transaction
from vlog_app.models import Video
from vlog_app.services import fleet, queue, wakeup
from vlog_app.services.demand import demand_segment

CARD = Device(DeviceKind.NVIDIA, name="L4", encoders=(Encoder("h264", "h264_nvenc", "cq"),))


@pytest.fixture
def config(config: Settings, redis_url: str) -> Settings:
    return config.model_copy(update={"job_queue_mode": "hybrid", "redis_url": redis_url})


@pytest.fixture
def client(app: Flask, redis_url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(redis_url)
    yield client
    client.close()


def told(client: redis.Redis) -> dict[str, list[int | None]]:
    """The jobs that messages in each queue are about."""
    return {
        name: [job_of(message) for message in messages]
        for name, messages in waiting(client).items()
        if messages
    }


def ids_of(video: Video) -> dict[str, int]:
    """The jobs of a short film: audio, poster, lead and bulk."""
    names = {Rank.LEAD: "lead", Rank.BULK: "bulk"}
    return {names.get(Rank(job.rank), job.kind): job.id for job in jobs_of(video)}


pytestmark = pytest.mark.usefixtures("database")


def test_every_job_of_a_new_film_is_told_once_and_in_its_queue(client: redis.Redis) -> None:
    ids = ids_of(film())
    assert told(client) == {
        "encode-cpu-high": [ids["lead"]],
        "encode-cpu-low": [ids["bulk"]],
        "audio-high": [ids["audio"]],
        "stills-high": [ids["poster"]],
    }


def test_what_is_rolled_back_is_not_told(app: Flask, client: redis.Redis) -> None:
    with pytest.raises(RuntimeError):
        _plan_and_fail()
    assert told(client) == {}


def _plan_and_fail() -> None:
    with transaction():
        film()
        raise RuntimeError


def test_a_job_given_back_is_told_again(client: redis.Redis) -> None:
    film()
    claim = take(SOUND)
    client.flushall()
    queue.release_job(claim)
    assert told(client) == {"audio-high": [claim.job_id]}


def test_a_lost_lease_is_told_to_others(client: redis.Redis) -> None:
    film()
    claim = take(SOUND)
    client.flushall()
    pass_time(OVER)
    queue.sweep_expired_leases()
    assert told(client) == {"audio-high": [claim.job_id]}


def test_a_worker_that_comes_back_after_a_crash_frees_what_it_held(client: redis.Redis) -> None:
    film()
    claim = take(SOUND)
    client.flushall()
    queue.lose_leases_of(ATLAS.id)
    assert told(client) == {"audio-high": [claim.job_id]}


def test_a_viewer_who_waits_is_told_first(client: redis.Redis) -> None:
    video = make_video(source=make_source(seconds=600, width=640, height=360))
    before = {job.id for job in jobs_of(video)}
    client.flushall()
    assert demand_segment(video, 50)
    fresh = {job.id for job in jobs_of(video)} - before
    assert fresh
    assert told(client) == {"encode-cpu-high": sorted(fresh)}


def test_a_failed_job_is_told_when_its_wait_is_over_and_not_before(client: redis.Redis) -> None:
    film()
    claim = take(SOUND)
    client.flushall()
    queue.fail_job(claim, Failure("x", "It went wrong."))
    assert told(client) == {}
    assert claim.job_id not in {note.job_id for note in wakeup._notes()}
    pass_time(OVER)
    wakeup.ring_again()
    assert claim.job_id in told(client)["audio-high"]


def test_an_encode_is_told_to_the_gpu_of_a_worker_that_was_heard_lately(client: redis.Redis) -> None:
    fleet.greet(WorkerInfo("w-gpu", "gpu", {"devices": [CARD.to_json(), CPU.to_json()]}))
    ids = ids_of(film())
    assert told(client)["encode-nvidia-high"] == [ids["lead"]]


def test_the_gpu_of_a_worker_that_has_gone_is_not_counted_on(client: redis.Redis) -> None:
    gpu = WorkerInfo("w-gpu", "gpu", {"devices": [CARD.to_json()]})
    fleet.greet(gpu)
    fleet.farewell(gpu)
    film()
    assert "encode-nvidia-high" not in told(client)


# --- the sweep


def test_messages_that_redis_lost_are_sent_again(client: redis.Redis) -> None:
    film()
    before = told(client)
    client.flushall()
    pass_time(wakeup.OVERDUE_S + 1)
    assert wakeup.ring_again() == sum(len(each) for each in before.values())
    assert told(client) == before
    assert wakeup.ring_again() == 0


def test_a_message_that_died_with_a_worker_is_sent_again(client: redis.Redis) -> None:
    video = film()
    assert client.lpop("rq:queue:audio-high") is not None  # popped, and the worker is no more
    pass_time(wakeup.OVERDUE_S + 1)
    wakeup.ring_again()
    assert told(client)["audio-high"] == [ids_of(video)["audio"]]


def test_a_message_that_may_be_on_its_way_is_not_sent_twice(client: redis.Redis) -> None:
    film()
    client.flushall()
    assert wakeup.ring_again() == 0


def test_messages_about_jobs_that_are_taken_are_taken_back(client: redis.Redis) -> None:
    film()
    claim = take(SOUND)
    wakeup.ring_again()
    assert claim.job_id not in told(client).get("audio-high", [])
    assert "encode-cpu-high" in told(client)


def test_messages_of_others_are_left_alone(app: Flask, client: redis.Redis) -> None:
    client.rpush("rq:queue:audio-high", "somebody-elses")
    wakeup.ring_again()
    assert client.lrange("rq:queue:audio-high", 0, -1) == [b"somebody-elses"]


def test_what_no_gpu_took_for_a_while_is_told_to_cpus_too(client: redis.Redis) -> None:
    fleet.greet(WorkerInfo("w-gpu", "gpu", {"devices": [CARD.to_json(), CPU.to_json()]}))
    ids = ids_of(film())
    pass_time(wakeup.UNFAIR_S + 1)
    wakeup.ring_again()
    assert told(client)["encode-cpu-high"] == told(client)["encode-nvidia-high"] == [ids["lead"]]


def test_a_claim_that_a_message_asks_for_is_that_job_or_none(client: redis.Redis) -> None:
    first, second = film(title="One"), film(title="Two")
    wanted = ids_of(second)["audio"]
    claim = queue.claim_next_job(ATLAS, SOUND, wanted)
    assert claim is not None
    assert claim.job_id == wanted
    assert queue.claim_next_job(ATLAS, SOUND, wanted) is None
    assert queue.claim_next_job(ATLAS, ENCODES, ids_of(first)["audio"]) is None


def test_doubled_messages_lead_to_one_attempt(client: redis.Redis) -> None:
    video = film()
    note = next(note for note in wakeup._notes() if note.kind == "audio")
    send(client, [("audio-high", note)] * 3)
    claims = [queue.claim_next_job(ATLAS, SOUND, job) for job in told(client)["audio-high"] if job]
    assert [claim is not None for claim in claims] == [True, False, False, False]
    assert ids_of(video)["audio"] == note.job_id


# --- Redis away


@pytest.mark.parametrize("fault", ["cut", "swallow"])
def test_an_upload_does_not_wait_for_a_redis_that_is_away(
    app_factory: AppFactory, wire: Wire, redis_url: str, fault: str
) -> None:
    app = app_factory("cli", redis_url=wire.url, redis_socket_timeout=0.2)
    with app.app_context():
        getattr(wire, fault)()
        began = time.monotonic()
        for number in range(20):
            film(title=f"Film {number}")
        assert len(wakeup._notes()) >= 60
        assert time.monotonic() - began < 20 * 0.25 + 10
        assert wakeup.trouble() == "Redis is not answering. Jobs still run; new ones start up to 10 s later."
        wire.mend()
        pass_time(wakeup.OVERDUE_S + 1)
        ends_at = time.monotonic() + 60
        while not wakeup.ring_again():
            assert time.monotonic() < ends_at
            time.sleep(0.1)
        assert wakeup.trouble() is None


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("database", None),
        ("redis", "Redis is not answering. Jobs still run; new ones start when it is back."),
        ("hybrid", "Redis is not answering. Jobs still run; new ones start up to 7 s later."),
    ],
)
def test_the_owner_is_told_what_it_means(app_factory: AppFactory, mode: str, said: str | None) -> None:
    nowhere: dict[str, Any] = {"redis_url": "unix:///nowhere/at-all"}
    app = app_factory("cli", job_queue_mode=mode, worker_poll_interval=7, **nowhere)
    with app.app_context():
        assert wakeup.trouble() == said
