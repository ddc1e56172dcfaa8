"""The shell around every kind of job: work directory, lease, and what an ending means."""

from __future__ import annotations

import errno
import logging
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from encoder.errors import MediaError, OutputInvalid, StorageDenied, StorageFull
from encoder.process import Limits

from .contract import (
    Claim,
    Coordinator,
    Drained,
    Failure,
    Incomplete,
    LeaseLost,
    Refused,
    Report,
    Unavailable,
)
from .devices import AUTO, AtOnce, Devices
from .kinds import encode, stills
from .layout import AUDIO, COPY, ENCODE, POSTER, STORYBOARD
from .lease import Lease
from .leftovers import Leftovers, hand_in_leftovers

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tools:
    """What this host works with. `wall_multiplier` etc.: see `kinds.encode.wall_limit`. `reserve_bytes`: how much of
    the disk under `work_root` is left alone.
    """

    ffmpeg: str
    work_root: Path
    devices: Devices = field(default_factory=Devices)
    at_once: AtOnce = AUTO
    stall_s: float = 90
    wall_multiplier: float = 2.0
    wall_min_s: float = 300
    wall_max_s: float = 14_400
    reserve_bytes: int = 0

    @property
    def leftovers(self) -> Leftovers:
        return Leftovers(self.work_root)


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything a kind needs to carry out one claim."""

    claim: Claim
    coordinator: Coordinator
    lease: Lease
    tools: Tools
    work_dir: Path
    limits: Limits


KINDS: dict[str, Callable[[Bench], Report | None]] = {
    ENCODE: encode.run_video,
    COPY: encode.run_copy,
    AUDIO: encode.run_audio,
    POSTER: stills.run_poster,
    STORYBOARD: stills.run_storyboard,
}


def run_claim(
    claim: Claim, coordinator: Coordinator, tools: Tools, drain: threading.Event, *, nice: int = 0
) -> None:
    """Carry out one claim to its end and say how it ended. Never raises for a failed job. Leaves no file behind, but
    for finished segments that nobody could take.

    1. work in a directory named after the lease token, so that no two attempts ever share one
    2. what an earlier attempt finished here and could not hand in goes first
    3. finished -> finish; going away -> release; failed -> fail, and the coordinator decides what next
    4. lease lost -> nothing: whoever has it now decides
    """
    work_dir = tools.work_root / f"job-{claim.job_id}-{claim.token[:12]}"
    facts = {"action": "job", "job_id": claim.job_id, "video_id": claim.video_id, "kind": claim.kind}
    logger.info("job starts", extra=facts)
    try:
        _require_room(tools)
        work_dir.mkdir(parents=True)
        with Lease(claim, coordinator, drain) as lease:
            limits = limits_of(claim, tools, nice)
            bench = hand_in_leftovers(Bench(claim, coordinator, lease, tools, work_dir, limits))
            coordinator.finish(claim, KINDS[claim.kind](bench) or Report())
        logger.info("job finished", extra=facts)
    except LeaseLost:
        coordinator.drop(claim)
        logger.warning("lease lost, job dropped", extra=facts)
    except Drained:
        coordinator.release(claim)
        logger.info("job given back", extra=facts)
    except Unavailable:
        logger.warning("the coordinator was away for too long, job dropped", extra=facts)
        coordinator.release(claim)  # it may be back by now; if not, the lease runs out
    except Exception as error:
        failure = failure_from(error)
        logger.warning("job failed: %s", failure.message, exc_info=error, extra=facts)
        coordinator.fail(claim, failure)
    finally:
        tools.leftovers.keep(work_dir)


def _require_room(tools: Tools) -> None:
    tools.work_root.mkdir(parents=True, exist_ok=True)
    if not _has_room(tools):
        tools.leftovers.forget_all()
    if not _has_room(tools):
        raise StorageFull("The disk of the worker is full. Everything finished so far is kept.")


def _has_room(tools: Tools) -> bool:
    return shutil.disk_usage(tools.work_root).free >= tools.reserve_bytes


def limits_of(claim: Claim, tools: Tools, nice: int) -> Limits:
    """What one ffmpeg may use for this claim."""
    limits = Limits(stall_s=tools.stall_s, wall_s=encode.wall_limit(claim, tools), nice=nice)
    if not claim.renditions:
        return limits  # pictures: of a known number, from a film of any length
    frames, output_bytes = encode.output_limits(claim)
    return replace(limits, frames=frames, output_bytes=output_bytes)


def failure_from(error: Exception) -> Failure:
    """What an exception means for the job."""
    if isinstance(error, MediaError):
        return Failure(error.code, error.public_message, error.detail, error.is_final, error.is_blameless)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return Failure(
            StorageFull.code, "The disk is full. Everything finished so far is kept.", is_blameless=True
        )
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        sentence = "The worker may not read or write here. Everything finished so far is kept."
        return Failure(StorageDenied.code, sentence, repr(error), is_blameless=True)
    if isinstance(error, Refused | Incomplete):
        return Failure(OutputInvalid.code, "What the encoder made was refused.", str(error))
    return Failure("internal_error", "Something unexpected went wrong in the worker.", repr(error))
