"""The RQ queues: what they are called, which one a job's message goes to, and which ones a slot listens to.

Names are `<room>-<priority>`; encode jobs have a queue for each kind of device: `encode-nvidia-high`,
`encode-cpu-low`, `copy-high`, `audio-high`, `stills-low`. A message says "job 7 may be worth a look", no more: the
database has the truth, and lost, late or doubled messages do no harm.

rq is imported where it is used, so that an installation without Redis never loads it.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from encoder.device import Device, DeviceKind

from .contract import Slot
from .layout import ENCODE, POSTER, STORYBOARD, Rank

if TYPE_CHECKING:
    from redis import Redis
    from rq import Queue

PRIORITIES = ("high", "normal", "low")
DEVICES = ("nvidia", "intel", "cpu")  # best first; "intel" is everything behind VAAPI or QSV, AMD included
CHORES = "chores"
ROOMS = {POSTER: "stills", STORYBOARD: "stills"}  # any other kind has its own name on the door

RUN_JOB = "jobs.rq_tasks.run_job"
RUN_CHORE = "jobs.rq_tasks.run_chore"
TASKS = frozenset({RUN_JOB, RUN_CHORE})

NO_TIMEOUT = -1  # the watchdog of encoder.process ends a stuck ffmpeg; RQ's would end a healthy long one
RESULT_TTL_S = 0  # nobody reads results: the database says how a job went
FAILURE_TTL_S = 3600


class Heard(StrEnum):
    """What came of listening for a message."""

    MESSAGE = "message"  # there was one, and it was carried out
    SILENCE = "silence"  # none for a while
    AWAY = "away"  # Redis does not answer; hardly any time was spent


@dataclass(frozen=True, slots=True)
class Note:
    """What there is to say about a job that waits. `waited_s`: since it could have been taken."""

    job_id: int
    kind: str
    rank: int
    waited_s: float = 0.0


def priority_of(rank: int) -> str:
    if rank < Rank.FIRST:
        return "high"
    return "normal" if rank < Rank.BULK else "low"


def label_of(kind: DeviceKind) -> str:
    return {DeviceKind.NVIDIA: "nvidia", DeviceKind.CPU: "cpu"}.get(kind, "intel")


def labels_of(devices: Iterable[Device]) -> tuple[str, ...]:
    """What the device test of a host means for its queues, best first. The CPU is always there."""
    found = {label_of(device.kind) for device in devices if device.encoders}
    return tuple(label for label in DEVICES if label in found or label == "cpu")


def queue_for(note: Note, alive: Collection[str]) -> str:
    """Where a message goes. An encode goes to the best kind of device that some worker has (`alive`)."""
    room, priority = ROOMS.get(note.kind, note.kind), priority_of(note.rank)
    if note.kind != ENCODE:
        return f"{room}-{priority}"
    device = next((label for label in DEVICES if label in alive), "cpu")
    return f"{room}-{device}-{priority}"


def queues_for(note: Note, alive: Collection[str]) -> tuple[str, ...]:
    """Where a message goes that was not answered: to every kind of device, so that no host waits in vain."""
    if note.kind != ENCODE:
        return (queue_for(note, alive),)
    wanted = [label for label in DEVICES if label in alive or label == "cpu"]
    return tuple(queue_for(note, (label,)) for label in wanted)


def listened_to(slot: Slot, labels: Sequence[str]) -> list[str]:
    """The queues of one slot on a host with these devices, most wanted first."""
    rooms = sorted({ROOMS.get(kind, kind) for kind in slot.kinds if kind != ENCODE})
    names = []
    for priority in _priorities_of(slot):
        if ENCODE in slot.kinds:
            names += [f"{ENCODE}-{label}-{priority}" for label in labels]
        names += [f"{room}-{priority}" for room in rooms]
    return names


def _priorities_of(slot: Slot) -> list[str]:
    bounds = {"high": (0, Rank.FIRST - 1), "normal": (Rank.FIRST, Rank.BULK - 1), "low": (Rank.BULK, 1_000)}
    return [name for name, (low, high) in bounds.items() if slot.min_rank <= high and slot.max_rank >= low]


def all_queues() -> list[str]:
    """Every name a message may have been sent to."""
    rooms = [f"{ENCODE}-{label}" for label in DEVICES] + ["copy", "audio", "stills"]
    return [f"{room}-{priority}" for room in rooms for priority in PRIORITIES]


def message_id(job_id: int) -> str:
    """New for every message: one that is being finished must not take a newer one about the same job with it."""
    return f"job-{job_id}-{secrets.token_hex(4)}"


def job_of(message: str) -> int | None:
    """The job a message is about; None for what is not ours."""
    kind, _, rest = message.partition("-")
    number = rest.partition("-")[0]
    return int(number) if kind == "job" and number.isdecimal() else None


def queue_named(name: str, client: Redis) -> Queue:
    from rq import Queue

    from .rq_tasks import Message

    return Queue(name, connection=client, serializer="json", job_class=Message)


def send(client: Redis, letters: Iterable[tuple[str, Note]]) -> None:
    """Put messages into queues, all in one round trip. `letters`: (queue, what it is about)."""
    from rq import Queue

    grouped: dict[str, list[Any]] = defaultdict(list)
    for name, note in letters:
        data = Queue.prepare_data(
            RUN_JOB,
            args=(note.job_id,),
            job_id=message_id(note.job_id),
            timeout=NO_TIMEOUT,
            result_ttl=RESULT_TTL_S,
            failure_ttl=FAILURE_TTL_S,
            description=f"{note.kind} job {note.job_id}",
        )
        grouped[name].append(data)
    with client.pipeline() as pipeline:
        for name, datas in grouped.items():
            queue_named(name, client).enqueue_many(datas, pipeline=pipeline)
        pipeline.execute()


def waiting(client: Redis) -> dict[str, list[str]]:
    """Messages that nobody has taken: queue -> message ids, oldest first."""
    names = all_queues()
    with client.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.lrange(f"rq:queue:{name}", 0, -1)
        answers = pipeline.execute()
    return {name: [each.decode() for each in found] for name, found in zip(names, answers, strict=True)}


def withdraw(client: Redis, letters: Iterable[tuple[str, str]]) -> None:
    """Take back messages whose work is done or gone. `letters`: (queue, message id)."""
    with client.pipeline(transaction=False) as pipeline:
        for name, message in letters:
            pipeline.lrem(f"rq:queue:{name}", 1, message)
            pipeline.delete(f"rq:job:{message}")
        pipeline.execute()
