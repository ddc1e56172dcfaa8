"""Workers and their jobs as JSON: one shape, whoever asks, on the worker API or on the admin site."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ..services.at_work import AtWork
from ..services.fleet import Member


def member_json(member: Member) -> dict[str, Any]:
    worker = member.worker
    return {
        "id": worker.id,
        "worker_id": worker.id,
        "worker_name": worker.name,
        "worker_type": worker.kind,
        "status": member.state.value,
        "registered_at": iso(worker.registered_at),
        "last_heartbeat": iso(worker.heartbeat_at),
        "current_job_id": member.job_id,
        "current_video_slug": member.video_slug,
        "capabilities": worker.capabilities,
        "metadata": worker.about,
        "code_version": worker.code_version,
        "facts": worker.facts,
    }


def job_json(job: AtWork) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "kind": job.kind,
        "worker_id": job.worker_id,
        "worker_name": job.worker_name,
        "device": job.device,
        "video_id": job.video.id,
        "video_slug": job.video.slug,
        "video_title": job.video.title,
        "qualities": list(job.renditions),
        "segment": job.segment,
        "segments_total": job.segments_total,
        "progress_percent": int(100 * job.fraction),
        "speed": job.speed,
        "claimed_at": iso(job.started_at),
        "claim_expires_at": iso(job.lease_expires_at),
    }


def iso(when: datetime | None) -> str | None:
    return when.isoformat() if when else None
