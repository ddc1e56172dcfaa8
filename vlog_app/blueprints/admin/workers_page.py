"""Reads for the workers page: who is here, what each makes on which device, who is not heard."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select

from encoder.device import Device, DeviceKind
from jobs.layout import ENCODE
from jobs.states import AttemptOutcome, JobState

from ...config import settings
from ...extensions import db
from ...formats import codec
from ...models import Attempt, Job, Video, Worker
from ...services import fleet
from ...services.at_work import AtWork, jobs_at_work
from ...services.fleet_watch import watch
from ...services.pulse import Pulse, pulse_of, ticks
from ...services.worker_facts import devices_of, encoding_kind, said, slots_of
from .board import work_words
from .board_parts import TITLES, ticks_at
from .speeds import Speeds, read_speeds
from .worker_words import about, codecs, host_of, standing
from .workers_parts import DeviceLine, FleetPage, Host, JobLine, LastFailure, PastHour, Total, WorkerPanel

RECENT_SHOWN = 20
FAILURES_SHOWN_FOR = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is read once for all workers."""

    now: datetime
    jobs: Mapping[str, Sequence[AtWork]]
    speeds: Speeds
    failures: Mapping[str, LastFailure]
    with_keys: set[str]


def read_fleet(now: datetime) -> FleetPage:
    watch().look()  # the beats are noted, whether a stream is open or not
    known = _read_known(now)
    workers = db.session.scalars(select(Worker).order_by(func.lower(Worker.name), Worker.id)).all()
    panels = [_panel(worker, known) for worker in workers]
    here = [panel for panel in panels if not panel.is_away]
    return FleetPage(
        totals=_totals(here),
        past_hour=_past_hour(now),
        hosts=_by_host(here),
        away=tuple(panel for panel in panels if panel.is_away),
        waiting=_waiting(),
    )


def read_panel(worker_id: str, now: datetime) -> WorkerPanel:
    """Raises fleet.UnknownWorker."""
    return _panel(fleet.member(worker_id).worker, _read_known(now))


def read_recent(worker_id: str) -> list[tuple[Attempt, str, Video]]:
    """Attempts of this worker that ended, newest first, with the kind of their job."""
    query = (
        select(Attempt, Job.kind, Video)
        .join(Job, Job.id == Attempt.job_id)
        .join(Video, Video.id == Job.video_id)
        .where(Attempt.worker_id == worker_id, Attempt.ended_at.is_not(None))
        .order_by(Attempt.ended_at.desc(), Attempt.id.desc())
        .limit(RECENT_SHOWN)
    )
    return [(row[0], row[1], row[2]) for row in db.session.execute(query)]


def _read_known(now: datetime) -> _Known:
    jobs: dict[str, list[AtWork]] = defaultdict(list)
    for job in jobs_at_work():
        jobs[job.worker_id].append(job)
    return _Known(now, jobs, read_speeds(now), _last_failures(now), fleet.with_keys())


def _panel(worker: Worker, known: _Known) -> WorkerPanel:
    pulse, jobs = pulse_of(worker, known.now), known.jobs.get(worker.id, ())
    state, word, reason = standing(worker, pulse, bool(jobs), worker.id in known.with_keys, known.now)
    beats = watch().beats(worker.id)
    until = known.now if pulse is not Pulse.GONE else worker.heartbeat_at or known.now
    return WorkerPanel(
        id=worker.id,
        name=worker.name,
        host=host_of(worker),
        is_remote=worker.kind == "remote",
        about=about(worker, pulse, known.now),
        pulse=pulse,
        heard_at=worker.heartbeat_at,
        beats=ticks(beats, until, settings().worker_heartbeat_interval),
        state=state,
        word=word,
        reason=reason,
        is_held=worker.paused_at is not None or worker.drain_requested_at is not None,
        is_disabled=worker.is_disabled,
        has_key=worker.id in known.with_keys,
        devices=_devices(worker, jobs, known.speeds),
        encodes_on=encoding_kind(worker.facts),
        segments_safe=sum(job.segments_done for job in jobs),
        lease_until=max((job.lease_expires_at for job in jobs if job.lease_expires_at), default=None),
        failure=known.failures.get(worker.id),
    )


def _devices(worker: Worker, jobs: Sequence[AtWork], speeds: Speeds) -> tuple[DeviceLine, ...]:
    """Work on a device that is not there any more stands with the last one, the CPU."""
    devices = devices_of(worker.facts)
    names = [device.id for device in devices]
    placed: dict[str, list[AtWork]] = defaultdict(list)
    for job in jobs:
        placed[job.device if job.device in names else names[-1]].append(job)
    encodes_on = encoding_kind(worker.facts)
    return tuple(
        _device(worker, device, placed[device.id], device.kind is encodes_on, speeds) for device in devices
    )


def _device(
    worker: Worker, device: Device, jobs: Sequence[AtWork], takes_slots: bool, speeds: Speeds
) -> DeviceLine:
    name, details = _named(worker, device)
    return DeviceLine(
        id=device.id,
        kind=device.kind,
        name=name,
        details=details,
        jobs=tuple(_job(job) for job in jobs),
        slots=slots_of(worker.facts) if takes_slots else None,
        history=speeds.of(worker.id, device.id),
    )


def _named(worker: Worker, device: Device) -> tuple[str, str]:
    """Name, and what it encodes with which driver. Workers of other programs say both in their registration."""
    if device.kind is not DeviceKind.CPU:
        kinds = [each.kind for each in devices_of(worker.facts)]
        number = f" {device.index}" if kinds.count(device.kind) > 1 else ""
        return (device.name or TITLES[device.kind]) + number, _joined(codecs(device), _driver(device.driver))
    gpu = said(worker.capabilities, "gpu_name")
    if gpu and not worker.facts.get("devices"):
        told = worker.capabilities.get("supported_codecs")
        listed = ", ".join(codec(str(each)) for each in told[:8]) if isinstance(told, list) else ""
        return gpu, _joined(listed, _driver(said(worker.capabilities, "driver_version")))
    cores = worker.facts.get("cores")
    return f"CPU, {cores} cores" if isinstance(cores, int) else "CPU", codecs(device)


def _driver(version: str) -> str:
    return f"driver {version}" if version else ""


def _joined(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


def _job(job: AtWork) -> JobLine:
    where = "" if job.segment is None else f"segment {job.segment + 1} of {job.segments_total}"
    words = work_words(job.kind, job.renditions)
    speed = (
        job.speed if job.kind == ENCODE else None
    )  # sound is made at a pace that says nothing beside pictures
    ticks = ticks_at(job.fraction)
    return JobLine(job.attempt_id, job.video.id, job.video.title, words, where, ticks, speed)


def _by_host(panels: Sequence[WorkerPanel]) -> tuple[Host, ...]:
    hosts: dict[str, Host] = {}
    for panel in panels:
        hosts.setdefault(panel.host or panel.id, Host(panel.host)).workers.append(panel)
    return tuple(hosts.values())


def _totals(panels: Sequence[WorkerPanel]) -> tuple[Total, ...]:
    totals = {kind: Total(kind) for kind in TITLES}
    for panel in panels:
        total = totals[panel.encodes_on]
        if not panel.pulse.is_heard:
            total.silent += panel.pulse is Pulse.SILENT
            continue
        total.workers += 1
        for device in panel.devices:
            totals[device.kind].speed += device.speed or 0.0
        slots = max((device.slots or 0 for device in panel.devices), default=0)
        total.slots += slots
        total.busy += min(slots, sum(len(device.jobs) for device in panel.devices if device.slots))
    return tuple(total for total in totals.values() if total.workers or total.silent or total.speed)


def _past_hour(now: datetime) -> PastHour:
    since = now - timedelta(hours=1)
    recent = Attempt.ended_at.is_(None) | (Attempt.ended_at > since)
    failed = func.count().filter(Attempt.outcome == AttemptOutcome.FAILED, Attempt.ended_at > since)
    made = func.coalesce(func.sum(Attempt.segments_done).filter(Job.kind == ENCODE), 0)
    query = select(made, failed).select_from(Attempt).join(Job, Job.id == Attempt.job_id)
    row = db.session.execute(query.where(recent)).one()
    return PastHour(int(row[0]) * settings().hls_segment_duration, int(row[0]), int(row[1]))


def _waiting() -> int:
    query = select(func.count(Job.id)).where(Job.state == JobState.QUEUED, Job.kind == ENCODE)
    return db.session.scalar(query) or 0


def _last_failures(now: datetime) -> dict[str, LastFailure]:
    newest = (
        select(func.max(Attempt.id))
        .where(Attempt.outcome == AttemptOutcome.FAILED, Attempt.ended_at > now - FAILURES_SHOWN_FOR)
        .group_by(Attempt.worker_id)
    )
    query = (
        select(Attempt, Video)
        .join(Job, Job.id == Attempt.job_id)
        .join(Video, Video.id == Job.video_id)
        .where(Attempt.id.in_(newest))
    )
    return {
        attempt.worker_id: LastFailure(
            attempt.ended_at or now, video.title, video.id, attempt.error_message or "It failed."
        )
        for attempt, video in db.session.execute(query)
    }
