"""Encoding that nobody waits for is left to an idle GPU for some seconds, and no longer."""

from __future__ import annotations

import pytest

from encoder.device import CPU, Device, DeviceKind, Encoder
from jobs.contract import Slot, WorkerInfo
from jobs.layout import AUDIO, ENCODE
from tests.contract.conftest import ATLAS, CELLAR
from tests.services.shop import film, pass_time, take
from tests.services.test_turns import BULK, long_film
from vlog_app.config import settings
from vlog_app.services import fleet, queue, workers
from vlog_app.services.worker_facts import encoding_kind, slots_of

NVENC = Device(DeviceKind.NVIDIA, encoders=(Encoder("h264", "h264_nvenc", "vbr_cq"),))
UNCAPPED = Device(DeviceKind.VAAPI, encoders=(Encoder("h264", "h264_vaapi", "cqp"),))
GPU = WorkerInfo("w-gpu", "gpu", {"devices": [NVENC.to_json(), CPU.to_json()]})
OPENING = Slot("opening", (ENCODE, AUDIO), max_rank=12)

both_databases = pytest.mark.usefixtures("database", "app")


@both_databases
def test_a_cpu_leaves_a_piece_to_an_idle_gpu_for_some_seconds_and_then_takes_it() -> None:
    long_film("One")
    fleet.greet(GPU)
    assert queue.claim_next_job(ATLAS, BULK) is None
    pass_time(settings().gpu_head_start + 0.1)
    assert queue.claim_next_job(ATLAS, BULK) is not None


@both_databases
def test_the_gpu_takes_it_at_once() -> None:
    long_film("One")
    fleet.greet(GPU)
    assert queue.claim_next_job(GPU, BULK) is not None


@both_databases
def test_a_gpu_that_is_at_work_is_not_waited_for() -> None:
    long_film("One")
    fleet.greet(GPU)
    take(BULK, GPU)
    assert queue.claim_next_job(ATLAS, BULK) is not None


@both_databases
def test_a_gpu_with_room_for_more_is_waited_for() -> None:
    long_film("One")
    fleet.greet(WorkerInfo(GPU.id, GPU.name, {**GPU.facts, "encode_slots": 2}))
    take(BULK, GPU)
    assert queue.claim_next_job(ATLAS, BULK) is None


@both_databases
@pytest.mark.parametrize("gone", ["silent", "stopped", "paused", "draining"])
def test_a_gpu_that_takes_nothing_is_not_waited_for(gone: str) -> None:
    fleet.greet(GPU)
    if gone == "silent":
        pass_time(2 * settings().worker_heartbeat_interval + 1)
    elif gone == "stopped":
        fleet.farewell(GPU)
    elif gone == "paused":
        workers.pause_worker(GPU.id)
    else:
        workers.drain_worker(GPU.id)
    long_film("One")
    assert queue.claim_next_job(ATLAS, BULK) is not None


@both_databases
def test_what_makes_a_film_watchable_waits_for_nobody() -> None:
    film()
    fleet.greet(GPU)
    assert [take(OPENING).kind for _ in range(2)] == [ENCODE, AUDIO]


@both_databases
def test_two_cpus_do_not_wait_for_each_other() -> None:
    long_film("One")
    fleet.greet(ATLAS)
    fleet.greet(CELLAR)
    assert queue.claim_next_job(ATLAS, BULK) is not None


@both_databases
def test_a_gpu_that_cannot_keep_a_rate_is_not_waited_for() -> None:
    long_film("One")
    fleet.greet(WorkerInfo("w-old", "old", {"devices": [UNCAPPED.to_json(), CPU.to_json()]}))
    assert queue.claim_next_job(ATLAS, BULK) is not None


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"devices": None},
        {"devices": "gpu"},
        {"devices": [None, 3, {}, {"kind": "abacus"}]},
        {"devices": [{"kind": "nvidia", "encoders": [{"codec": 1}], "decoders": []}]},
        {"encode_slots": "many"},
        {"encode_slots": -1},
    ],
)
def test_facts_that_make_no_sense_are_those_of_a_cpu(facts: dict[str, object]) -> None:
    assert encoding_kind(facts) is DeviceKind.CPU
    assert slots_of(facts) == 1
