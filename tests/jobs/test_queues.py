"""What the queues are called, where a message goes, and who listens to what."""

from __future__ import annotations

from itertools import chain

import pytest

from encoder.device import CPU, Device, DeviceKind, Encoder
from jobs.layout import AUDIO, COPY, ENCODE, POSTER, STORYBOARD, Rank
from jobs.queues import (
    Note,
    all_queues,
    job_of,
    labels_of,
    listened_to,
    message_id,
    queue_for,
    queues_for,
)
from jobs.worker import SLOTS

NVENC = Device(DeviceKind.NVIDIA, encoders=(Encoder("h264", "h264_nvenc", "cq"),))
VAAPI = Device(DeviceKind.VAAPI, encoders=(Encoder("h264", "h264_vaapi", "qvbr"),))
QSV = Device(DeviceKind.QSV, encoders=(Encoder("h264", "h264_qsv", "qvbr"),))
DECODER = Device(DeviceKind.NVIDIA, decoders=("h264",))
KINDS = {
    ENCODE: (Rank.DEMAND, Rank.LEAD, Rank.FIRST, Rank.DEMAND_REST, Rank.BULK),
    COPY: (Rank.COPY,),
    AUDIO: (Rank.SOUND, Rank.RATES),
    POSTER: (Rank.POSTER,),
    STORYBOARD: (Rank.STORYBOARD,),
}
SLOT = {slot.name: slot for slot in SLOTS}


@pytest.mark.parametrize(
    ("note", "alive", "name"),
    [
        (Note(1, ENCODE, Rank.LEAD), {"cpu"}, "encode-cpu-high"),
        (Note(1, ENCODE, Rank.DEMAND), {"cpu", "nvidia"}, "encode-nvidia-high"),
        (Note(1, ENCODE, Rank.FIRST), {"cpu", "intel"}, "encode-intel-normal"),
        (Note(1, ENCODE, Rank.BULK), {"cpu", "intel", "nvidia"}, "encode-nvidia-low"),
        (Note(1, ENCODE, Rank.BULK), set(), "encode-cpu-low"),
        (Note(1, COPY, Rank.COPY), {"cpu", "nvidia"}, "copy-high"),
        (Note(1, AUDIO, Rank.SOUND), {"cpu"}, "audio-high"),
        (Note(1, POSTER, Rank.POSTER), {"cpu"}, "stills-high"),
        (Note(1, STORYBOARD, Rank.STORYBOARD), {"cpu"}, "stills-normal"),
    ],
)
def test_a_message_goes_to_the_best_device_that_somebody_has(note: Note, alive: set[str], name: str) -> None:
    assert queue_for(note, alive) == name


def test_one_that_was_not_answered_goes_to_every_kind_of_device() -> None:
    note = Note(1, ENCODE, Rank.BULK, waited_s=60)
    assert queues_for(note, {"nvidia", "cpu"}) == ("encode-nvidia-low", "encode-cpu-low")
    assert queues_for(note, ()) == ("encode-cpu-low",)
    assert queues_for(Note(1, COPY, Rank.COPY), {"nvidia"}) == ("copy-high",)


@pytest.mark.parametrize(
    ("devices", "labels"),
    [
        ((CPU,), ("cpu",)),
        ((), ("cpu",)),
        ((NVENC, CPU), ("nvidia", "cpu")),
        ((QSV, VAAPI, NVENC, CPU), ("nvidia", "intel", "cpu")),
        ((DECODER, CPU), ("cpu",)),
    ],
)
def test_the_device_test_decides_what_a_host_listens_to(
    devices: tuple[Device, ...], labels: tuple[str, ...]
) -> None:
    assert labels_of(devices) == labels


def test_a_gpu_host_takes_the_urgent_before_the_rest_and_its_gpu_before_its_cpu() -> None:
    assert listened_to(SLOT["bulk"], ("nvidia", "cpu")) == [
        "encode-nvidia-normal",
        "encode-cpu-normal",
        "stills-normal",
        "encode-nvidia-low",
        "encode-cpu-low",
        "stills-low",
    ]
    assert listened_to(SLOT["urgent"], ("cpu",)) == ["encode-cpu-high", "stills-high"]


@pytest.mark.parametrize("labels", [("cpu",), ("nvidia", "cpu"), ("nvidia", "intel", "cpu")])
@pytest.mark.parametrize(("kind", "rank"), [(kind, rank) for kind, ranks in KINDS.items() for rank in ranks])
def test_every_message_reaches_exactly_the_slot_that_may_take_its_job(
    labels: tuple[str, ...], kind: str, rank: Rank
) -> None:
    name = queue_for(Note(1, kind, rank), labels)
    hearing = [slot for slot in SLOTS if name in listened_to(slot, labels)]
    taking = [slot for slot in SLOTS if kind in slot.kinds and slot.min_rank <= rank <= slot.max_rank]
    assert hearing == taking
    assert len(taking) == 1


def test_the_sweep_knows_every_queue_that_somebody_listens_to() -> None:
    heard = chain.from_iterable(listened_to(slot, ("nvidia", "intel", "cpu")) for slot in SLOTS)
    assert set(heard) <= set(all_queues())


def test_a_message_says_which_job_it_is_about_and_is_never_the_same_twice() -> None:
    first, second = message_id(17), message_id(17)
    assert first != second
    assert job_of(first) == job_of(second) == 17
    assert job_of("chore-sweep") is None
    assert job_of("job-x-1") is None
