"""What is said of one worker: where it runs, how it stands, what its devices can do. Facts come from other hosts."""

from __future__ import annotations

from datetime import datetime

from encoder.device import Device
from jobs.wire import FAMILY

from ...formats import ago, codec, lasting, time_left
from ...models import Worker
from ...services.pulse import Pulse
from ...services.worker_facts import said


def host_of(worker: Worker) -> str:
    return said(worker.facts, "host") or said(worker.about, "node_name") or said(worker.about, "pod_name")


def about(worker: Worker, pulse: Pulse, now: datetime) -> str:
    """Remote · ffmpeg 7.1 · version 1.4 · up 3 h."""
    ffmpeg = said(worker.facts, "ffmpeg") or said(worker.capabilities, "ffmpeg_version")
    up = worker.started_at if pulse.is_heard else None
    parts = (
        "on another host" if worker.kind == "remote" else "beside the site",
        f"ffmpeg {ffmpeg}" if ffmpeg else "",
        f"version {worker.code_version.removeprefix(FAMILY)}" if worker.code_version else "",
        f"up {lasting(up, now)}" if up else "",
    )
    return " · ".join(part for part in parts if part)


def standing(
    worker: Worker, pulse: Pulse, is_busy: bool, has_key: bool, now: datetime
) -> tuple[str, str, str]:
    """Status shape, word, and the reason or what to do."""
    if worker.is_disabled:
        return _disabled(worker, has_key)
    if pulse is Pulse.NEVER:
        return "waiting", "Not started yet", "It has a key and has not called. Start it on its host."
    if pulse is Pulse.GONE:
        return _gone(worker, now)
    if worker.drain_requested_at is not None:
        if is_busy:
            return "held", "Draining", "It gives back what it has at the next segment."
        return "held", "Drained", "Its host may be switched off. It works again once it is started anew."
    if worker.paused_at is not None:
        return _paused(worker, now)
    if pulse is Pulse.SILENT:
        return "moving", "Not heard", ""
    return ("moving", "At work", "") if is_busy else ("waiting", "Idle", "")


def codecs(device: Device) -> str:
    return ", ".join(codec(each.codec) for each in device.encoders)


def _disabled(worker: Worker, has_key: bool) -> tuple[str, str, str]:
    if worker.kind == "remote" and not has_key:
        return "failed", "Key revoked", "It is refused. To let this host work again, add it as a new worker."
    return "held", "Disabled", "It is refused until you enable it. What it finished is kept."


def _gone(worker: Worker, now: datetime) -> tuple[str, str, str]:
    if worker.stopped_at is not None:
        return "stale", "Stopped", f"It left {ago(worker.stopped_at, now)} and gave its jobs back."
    return (
        "stale",
        "Offline",
        f"Last heard {ago(worker.heartbeat_at, now)}. Other workers took over what it had.",
    )


def _paused(worker: Worker, now: datetime) -> tuple[str, str, str]:
    reason = worker.pause_reason or ""
    if worker.probe_at is None:
        return "held", "Paused", reason
    wait_s = (worker.probe_at - now).total_seconds()
    when = f"in {time_left(wait_s)}" if wait_s > 0 else "now"
    return "held", "Paused by itself", f"{reason} It may try one job {when}.".strip()
