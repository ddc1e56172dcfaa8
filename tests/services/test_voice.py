"""News of videos is said on the channel, in few messages, and no commit waits for it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import redis

from jobs.redis_link import RedisLink, RedisOptions
from tests.provision.proxy import Wire
from vlog_app.services.voice import Voice

CHANNEL = "test:changes"
PATIENCE_S = 60.0


@pytest.fixture
def ear(redis_url: str) -> Iterator[redis.client.PubSub]:
    client = redis.Redis.from_url(redis_url)
    with client.pubsub() as ear:
        ear.subscribe(CHANNEL)
        assert ear.get_message(timeout=PATIENCE_S)
        yield ear
    client.close()


def heard(ear: redis.client.PubSub) -> set[int]:
    message = ear.get_message(timeout=PATIENCE_S)
    assert message is not None
    return {int(word) for word in message["data"].decode().split(",")}


def test_what_happens_together_is_said_together(redis_url: str, ear: redis.client.PubSub) -> None:
    voice = Voice(RedisLink(RedisOptions(redis_url)), CHANNEL)
    told, messages, known = 300, 0, set[int]()
    for number in range(told):
        voice.tell([number])
    while len(known) < told:
        known |= heard(ear)
        messages += 1
    assert known == set(range(told))
    assert messages < told / 3
    voice.tell([told])
    assert heard(ear) == {told}


def test_nobody_waits_for_a_redis_that_hangs(wire: Wire, ear: redis.client.PubSub) -> None:
    voice = Voice(RedisLink(RedisOptions(wire.url, timeout_s=PATIENCE_S)), CHANNEL)
    voice.tell([1])
    assert heard(ear) == {1}
    wire.swallow()
    began = time.monotonic()
    for number in range(20):
        voice.tell([number])
    assert time.monotonic() - began < PATIENCE_S / 4


def test_a_program_that_ends_has_said_everything(redis_url: str, ear: redis.client.PubSub) -> None:
    program = f"""
from jobs.redis_link import RedisLink, RedisOptions
from vlog_app.services.voice import Voice
Voice(RedisLink(RedisOptions({redis_url!r})), {CHANNEL!r}).tell([7, 8])
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    assert heard(ear) == {7, 8}
