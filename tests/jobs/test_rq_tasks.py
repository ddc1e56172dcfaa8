"""A slot's inbox on a real Redis: messages are hints, hostile ones are refused, a Redis that goes costs nothing."""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from rq import Callback, Queue
from rq.job import Job

from jobs.breaker import State
from jobs.layout import ENCODE, Rank
from jobs.queues import Heard, Note, send, waiting, withdraw
from jobs.redis_link import RedisLink, RedisOptions
from jobs.rq_tasks import LISTEN_S, Inbox
from tests.provision.proxy import Wire
from tests.provision.redis import Redis

QUEUE = "encode-cpu-high"
NOTE = Note(7, ENCODE, Rank.LEAD)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(redis_url)
    yield client
    client.close()


@pytest.fixture
def link(redis_url: str) -> Iterator[RedisLink]:
    link = RedisLink(RedisOptions(redis_url))
    yield link
    link.close()


@pytest.fixture
def done() -> list[object]:
    return []


@pytest.fixture
def inbox(link: RedisLink, done: list[object]) -> Iterator[Inbox]:
    inbox = Inbox(link, "atlas-urgent", lambda: [QUEUE, "stills-high"], done.append)
    yield inbox
    inbox.close()


def test_a_message_names_a_job_and_is_gone_when_that_was_looked_at(
    inbox: Inbox, client: redis.Redis, done: list[object]
) -> None:
    send(client, [(QUEUE, NOTE)])
    assert inbox.listen() is Heard.MESSAGE
    assert done == [7]
    assert inbox.listen() is Heard.SILENCE
    assert list(client.scan_iter("rq:job:*")) == []
    assert list(client.scan_iter("rq:*finished*")) == []


def test_the_more_wanted_queue_is_heard_first(inbox: Inbox, client: redis.Redis, done: list[object]) -> None:
    send(client, [("stills-high", Note(1, "poster", Rank.POSTER)), (QUEUE, NOTE)])
    inbox.listen()
    inbox.listen()
    assert done == [7, 1]


def test_what_is_in_redis_is_text_and_never_unpickled(client: redis.Redis) -> None:
    send(client, [(QUEUE, NOTE)])
    (key,) = client.scan_iter("rq:job:*")
    job = Job.fetch(key.decode().removeprefix("rq:job:"), connection=client, serializer="json")
    assert (job.func_name, job.args) == ("jobs.rq_tasks.run_job", [7])
    assert job.timeout == -1
    assert job.retries_left is None


def test_a_message_can_name_no_function_but_ours(
    inbox: Inbox, client: redis.Redis, done: list[object], tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    queue = Queue(QUEUE, connection=client, serializer="json")
    queue.enqueue("os.mkdir", str(mark))
    assert inbox.listen() is Heard.MESSAGE
    assert not mark.exists()
    send(client, [(QUEUE, NOTE)])
    assert inbox.listen() is Heard.MESSAGE
    assert done == [7]


def test_a_message_can_call_nothing_back(inbox: Inbox, client: redis.Redis, tmp_path: Path) -> None:
    queue = Queue(QUEUE, connection=client, serializer="json")
    queue.enqueue("jobs.rq_tasks.run_job", 7, on_success=Callback(_touch), on_failure=Callback(_touch))
    queue.enqueue("os.mkdir", "x", on_failure=Callback(_touch))
    inbox.listen()
    inbox.listen()
    assert called == []


called: list[object] = []


def _touch(*arguments: object) -> None:
    called.append(arguments)


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.mark,)


def test_a_pickled_message_is_refused(
    inbox: Inbox, client: redis.Redis, done: list[object], tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    job_id = Queue(QUEUE, connection=client, serializer="json").enqueue("jobs.rq_tasks.run_job", 7).id
    client.hset(f"rq:job:{job_id}", "data", pickle.dumps(Bomb(mark)))
    inbox.listen()
    assert not mark.exists()
    assert done == []


def test_a_host_that_learns_of_a_gpu_listens_to_more(link: RedisLink, client: redis.Redis) -> None:
    names, done = [QUEUE], list[object]()
    inbox = Inbox(link, "atlas-urgent", lambda: names, done.append)
    assert inbox.listen() is Heard.SILENCE
    names.insert(0, "encode-nvidia-high")
    send(client, [("encode-nvidia-high", NOTE)])
    assert inbox.listen() is Heard.MESSAGE
    inbox.close()
    assert client.smembers("rq:workers") == set()


def test_a_worker_that_leaves_is_taken_off_the_list(inbox: Inbox, client: redis.Redis) -> None:
    inbox.listen()
    assert [name.decode().rpartition("-")[0] for name in client.smembers("rq:workers")] == [
        "rq:worker:atlas-urgent"
    ]
    inbox.close()
    assert client.smembers("rq:workers") == set()


def test_work_that_fails_is_one_failed_message_and_the_slot_goes_on(
    link: RedisLink, client: redis.Redis
) -> None:
    def stumble(_job_id: object) -> None:
        raise RuntimeError("the database is away")

    inbox = Inbox(link, "atlas-urgent", lambda: [QUEUE], stumble)
    send(client, [(QUEUE, NOTE)] * 2)
    assert [inbox.listen(), inbox.listen(), inbox.listen()] == [Heard.MESSAGE, Heard.MESSAGE, Heard.SILENCE]
    inbox.close()


def test_what_waits_can_be_read_and_taken_back(client: redis.Redis) -> None:
    send(client, [(QUEUE, NOTE), ("copy-high", Note(8, "copy", Rank.COPY))])
    there = waiting(client)
    assert [len(there[QUEUE]), len(there["copy-high"]), len(there["audio-high"])] == [1, 1, 0]
    withdraw(client, [(QUEUE, there[QUEUE][0])])
    assert waiting(client)[QUEUE] == []
    assert len(list(client.scan_iter("rq:job:*"))) == 1


# --- a Redis that goes ---------------------------------------------------------------------------------------


def test_a_redis_that_dies_while_a_job_runs_does_not_harm_the_job(
    own_redis: Redis, done: list[object]
) -> None:
    link = RedisLink(RedisOptions(own_redis.url))

    def work(job_id: object) -> None:
        own_redis.kill()
        done.append(job_id)

    inbox = Inbox(link, "atlas-urgent", lambda: [QUEUE], work)
    with redis.Redis.from_url(own_redis.url) as client:
        send(client, [(QUEUE, NOTE)])
    assert inbox.listen() is Heard.MESSAGE
    assert done == [7]
    assert inbox.listen() is Heard.AWAY
    own_redis.start()
    with redis.Redis.from_url(own_redis.url) as client:
        send(client, [(QUEUE, Note(8, ENCODE, Rank.LEAD))])
    inbox._carry_out = done.append
    until(lambda: inbox.listen() is Heard.MESSAGE)
    assert done == [7, 8]
    inbox.close()
    link.close()


def test_a_redis_that_is_not_there_at_the_start_costs_no_time(tmp_path: Path, done: list[object]) -> None:
    link = RedisLink(RedisOptions(f"unix://{tmp_path}/nothing"))
    inbox = Inbox(link, "atlas-urgent", lambda: [QUEUE], done.append)
    began = time.monotonic()
    assert {inbox.listen() for _ in range(100)} == {Heard.AWAY}
    assert time.monotonic() - began < 5
    assert link.breaker.state is State.OPEN
    inbox.close()


def test_a_redis_that_hangs_holds_a_slot_up_for_the_time_limit_and_then_not_at_all(
    wire: Wire, done: list[object]
) -> None:
    link = RedisLink(RedisOptions(wire.url, timeout_s=0.2))
    inbox = Inbox(link, "atlas-urgent", lambda: [QUEUE], done.append)
    assert inbox.listen() is Heard.SILENCE
    wire.swallow()
    while link.breaker.state is not State.OPEN:
        began = time.monotonic()
        assert inbox.listen() is Heard.AWAY
        assert time.monotonic() - began < LISTEN_S + 5
    began = time.monotonic()
    assert inbox.listen() is Heard.AWAY
    assert time.monotonic() - began < 0.2
    wire.mend()
    until(lambda: inbox.listen() is Heard.SILENCE)
    inbox.close()
    link.close()


def test_a_flapping_redis_never_stops_the_slot(wire: Wire) -> None:
    link, done = RedisLink(RedisOptions(wire.url, timeout_s=0.2)), set[object]()
    inbox = Inbox(link, "atlas-urgent", lambda: [QUEUE], done.add)
    stop = threading.Event()

    def flap() -> None:
        while not stop.is_set():
            wire.cut()
            stop.wait(0.5)
            wire.mend()
            stop.wait(0.5)

    flapping = threading.Thread(target=flap)
    flapping.start()
    ends_at = time.monotonic() + 6
    while time.monotonic() < ends_at:
        if inbox.listen() is Heard.AWAY:
            time.sleep(0.05)
    stop.set()
    flapping.join()
    wire.mend()
    with redis.Redis.from_url(wire.url) as client:
        send(client, [(QUEUE, NOTE)])
    until(lambda: inbox.listen() is Heard.MESSAGE)
    assert done == {7}
    inbox.close()
    link.close()


def until(is_true: object) -> None:
    assert callable(is_true)
    ends_at = time.monotonic() + 60
    while not is_true():
        assert time.monotonic() < ends_at, "it did not happen"
        time.sleep(0.05)
