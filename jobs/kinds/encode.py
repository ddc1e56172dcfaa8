"""THE pipeline. Local, RQ and remote workers all run this: source in, verified segments out, one checkpoint each."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from encoder.choice import Choice, Way, after_failure
from encoder.command import Work, audio_command, copy_command, look_command
from encoder.detection import ADDRESS_BYTES
from encoder.device import classify_failure
from encoder.errors import EncodeFailed, EncodeStalled, LimitExceeded, MediaError, OutputInvalid
from encoder.hardware import video_command
from encoder.process import Process

from ..contract import Claim, Drained, OpenedSource, Report
from ..pace import keep_pace, run_to_end
from .harvest import Harvest

if TYPE_CHECKING:
    from ..runner import Bench, Tools

logger = logging.getLogger(__name__)

HARVEST_EVERY_S = 0.1
PIXELS_360P = 640 * 360
RATE_SLACK = 8  # times a rung's rate; segments that workers hand in are held to the same
FRAME_SLACK = 2
OUTPUT_BYTES = 64 << 20  # beyond the rate: headers, and films of a second


def run_video(bench: Bench) -> Report:
    """Encode what is missing of a chunk on all its rungs: in groups of as many as the device takes at once, the highest
    first. A group is one ffmpeg with one decode.
    """
    claim, plan = bench.claim, bench.claim.plan
    work = remaining(claim)
    if work is None:
        return Report()
    source = bench.coordinator.open_source(claim)
    rows = [row for row in plan.encoded if row.name in work.starts]
    reports = []
    while rows:
        with bench.tools.devices.borrow(plan, rows, claim.footage, bench.tools.at_once) as (choice, group):
            starts = {row.name: work.starts[row.name] for row in group}
            reports.append(_by_any_way(bench, source, Work(starts, work.end), choice))
        rows = rows[len(group) :]
    return together(reports)


def together(reports: list[Report]) -> Report:
    """Of groups that were made one after the other."""
    times = [1 / report.speed for report in reports if report.speed]
    speed = 1 / sum(times) if len(times) == len(reports) and times else None
    return Report(speed, max((report.damage for report in reports), default=0))


def _by_any_way(bench: Bench, source: OpenedSource, work: Work, choice: Choice) -> Report:
    """Each way goes on where the one before it stopped; what it handed in is kept. A device is blamed only when
    another way has worked.
    """
    devices, failures = bench.tools.devices, []
    while True:
        room = _room_for(bench, choice)
        harvest = Harvest(room, source, dict(work.starts), choice.device.id)
        argv = video_command(
            bench.tools.ffmpeg, choice, source.address, bench.claim.plan, work, room.work_dir
        )
        try:
            report = _encode(room, argv, harvest)
        except (EncodeFailed, EncodeStalled, LimitExceeded, OutputInvalid) as error:
            verdict = classify_failure(error.detail)
            following = after_failure(choice, verdict)
            left = {name: index for name, index in harvest.next.items() if index < harvest.end}
            if following is None or not left:
                raise
            logger.warning("another way is tried", extra=_facts(choice, following, error))
            failures.append((choice, verdict))
            work, choice = Work(left, harvest.end), following
        else:
            devices.worked(choice)
            for failed, verdict in failures:
                devices.failed(failed, verdict)
            return report


def _room_for(bench: Bench, choice: Choice) -> Bench:
    """A folder of its own, so that no segment of a failed way is taken for one of the next."""
    folder = Path(tempfile.mkdtemp(prefix=f"{choice.way.value}-", dir=bench.work_dir))
    if choice.way is Way.CPU:
        return replace(bench, work_dir=folder)
    # A driver reserves far more addresses than memory: the usual cap would end it before it begins.
    return replace(bench, work_dir=folder, limits=replace(bench.limits, memory_bytes=ADDRESS_BYTES))


def _facts(choice: Choice, following: Choice, error: MediaError) -> dict[str, str]:
    last = error.detail.splitlines()[-1:] or [error.public_message]
    return {
        "action": "device_fallback",
        "device": choice.device.id,
        "way": choice.way.value,
        "next": following.way.value,
        "said": last[0],
    }


def run_copy(bench: Bench) -> Report:
    """Cut the source's own pictures into segments. Made again after a crash, it gives the same bytes. Where no rung is
    encoded nothing else would decode the film, so it is done here: its owner is told of damage.
    """
    report = _whole_film(bench, copy_command)
    return report if bench.claim.plan.encoded else replace(report, damage=_damage(bench))


def _damage(bench: Bench) -> int:
    """How often a decoder complains about the pictures of the source."""
    source = bench.coordinator.open_source(bench.claim)
    return run_to_end(bench, look_command(bench.tools.ffmpeg, source.address), source)


def run_audio(bench: Bench) -> Report:
    """Encode the sound of the whole film. Made again after a crash, it gives the same bytes, so what was handed in
    before is recognised and kept.
    """
    return _whole_film(bench, audio_command)


def _whole_film(bench: Bench, command: Callable[..., list[str]]) -> Report:
    claim, plan = bench.claim, bench.claim.plan
    if not claim.missing():
        return Report()
    source = bench.coordinator.open_source(claim)
    row = plan.rendition(claim.renditions[0])
    argv = command(bench.tools.ffmpeg, source.address, plan, row, bench.work_dir)
    return _encode(bench, argv, Harvest(bench, source, {row.name: 0}))


def remaining(claim: Claim) -> Work | None:
    """For each rung the first missing segment; everything from there to the end of the chunk is made.

    Each rung has a start of its own: a rung that was one segment ahead when the last attempt died must not be
    joined in the middle of a segment it has already handed in.
    """
    starts: dict[str, int] = {}
    for name, index in claim.missing():
        starts[name] = min(index, starts.get(name, index))
    return Work(starts, claim.chunk.end) if starts else None


def wall_limit(claim: Claim, tools: Tools) -> float:
    """Seconds one ffmpeg may take: grows with the film's length and the pixels asked for, in 360p pictures."""
    pixels = sum(row.width * row.height for row in claim.plan.video if row.name in claim.renditions)
    length_s = claim.chunk.count * claim.plan.segment_s
    wanted = tools.wall_multiplier * length_s * max(1.0, pixels / PIXELS_360P)
    return min(tools.wall_max_s, max(tools.wall_min_s, wanted))


def output_limits(claim: Claim) -> tuple[int, int]:
    """(pictures, bytes) one ffmpeg may make of a claim's part: far more than any encoder that does what it is told."""
    plan = claim.plan
    frames = claim.chunk.count * plan.segment_frames
    rate_bps = sum(plan.rendition(name).max_bitrate_bps for name in claim.renditions)
    size = OUTPUT_BYTES + RATE_SLACK * rate_bps * claim.chunk.count * plan.segment_s / 8
    return frames * FRAME_SLACK, int(size)


def _encode(bench: Bench, argv: list[str], harvest: Harvest) -> Report:
    with Process(argv, bench.limits, bench.work_dir) as process:
        ended = False
        while not ended and not harvest.is_complete:
            ended = process.wait(HARVEST_EVERY_S)
            if harvest.collect(is_last=ended):
                process.moved()
            process.taken_bytes = harvest.taken_bytes
            bench.lease.report(harvest.position(process.progress.frame, process.progress.speed))
            keep_pace(bench, process, harvest.source)
            _consider_leaving(bench, harvest)
        harvest.require_complete()
        return Report(process.progress.speed, process.damage)


def _consider_leaving(bench: Bench, harvest: Harvest) -> None:
    bench.lease.check()
    if bench.lease.is_draining and harvest.landed_since_drain():
        raise Drained
