"""From facts about a source to the plan of its encode: renditions on one constant frame grid. Names no device."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

from .clock import early_frames, picture_shift, sound_shift
from .errors import SourceUnreadable
from .filters import colour_of
from .ladder import (
    CRF_BY_PRESET,
    LADDER,
    Rung,
    audio_bitrate,
    fitting_rungs,
    rate_of,
    size_on,
    sound_rates,
)
from .model import AUDIO_NAME, AudioTrack, Chunk, Codec, Container, EncodePlan, RenditionPlan, Source
from .remux import Verdict, judge

SEGMENT_S = 6
CHUNK_S = 60
LEAD_SEGMENTS = 2  # the first chunk is short: a film is watchable on every rung soon
MAX_FRAMES = 10 * 3600 * 60 * 2  # twenty hours at 60 frames per second
MAX_SOUND_TRACKS = 8
AUDIO_RATE_HZ = 48_000
ROUNDING = Fraction(1, 20)  # of a frame: clocks that tick in milliseconds make no frame of their own
LONGER_AUDIO_S = 1.0  # sound that goes on this much after the picture is kept, on the last frame

# Frames decoded and dropped before a chunk's first one. With variable frame rate the grid needs to know which
# picture was on show when the chunk begins; a deinterlacer needs its neighbours.
WARMUP_VFR = 30
WARMUP_INTERLACED = 4


@dataclass(frozen=True, slots=True)
class Output:
    """What an owner wants made of films. Codecs other than H.264 come in CMAF only; `h264_too` makes a second ladder
    beside theirs for players that do not have them.
    """

    container: Container = "ts"
    codec: Codec = "h264"
    h264_too: bool = True

    @property
    def actual_container(self) -> Container:
        return self.container if self.codec == "h264" else "cmaf"

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """Best first."""
        return (self.codec, "h264") if self.h264_too and self.codec != "h264" else (self.codec,)


def make_plan(
    source: Source,
    *,
    segment_s: float = SEGMENT_S,
    preset: str = "veryfast",
    ladder: tuple[Rung, ...] = LADDER,
    output: Output | None = None,
) -> EncodePlan:
    """Raises SourceUnreadable when the film is too short for a frame or longer than is sane."""
    output = output or Output()
    if not source.has_picture:
        return _plan_of_sound(source, segment_s, output)
    rungs = fitting_rungs(source, ladder)
    audio = source.audio[0] if source.audio else None
    wanted = max(1, round(Fraction(segment_s) * source.fps))
    picture = _picture_frames(source)
    total = _total_frames(source, audio, picture)
    verdict = judge(source, rungs[0], wanted, output.codecs)
    reasons = (*verdict.reasons, *(["longer_sound"] if total != picture else []))
    may_copy = verdict.is_fit and not reasons
    rows = tuple(_video_row(rung, source, preset, codec) for rung in rungs for codec in output.codecs)
    if may_copy:
        top = _copied_row(rungs[0], source, verdict)
        rows = tuple(top if row.name == top.name else row for row in rows)
    return EncodePlan(
        fps=source.fps,
        total_frames=total,
        segment_frames=verdict.segment_frames if may_copy else wanted,
        renditions=rows + _audio_rows(source, rungs[0]),
        container=output.actual_container,
        picture_frames=picture if picture != total else 0,
        warmup_frames=_warmup(source),
        deinterlace=source.is_interlaced,
        is_vfr=source.is_vfr,
        shift_s=picture_shift(source),
        colour=colour_of(source),
        notes=tuple(f"not_copied:{reason}" for reason in reasons) if not may_copy else ("copied",),
    )


def _plan_of_sound(source: Source, segment_s: float, output: Output) -> EncodePlan:
    """A film without picture: the same grid, of sound alone."""
    return EncodePlan(
        fps=source.fps,
        total_frames=_bounded(max(1, math.ceil(Fraction(source.duration_s) * source.fps - ROUNDING))),
        segment_frames=max(1, round(Fraction(segment_s) * source.fps)),
        renditions=_sound_rungs(source),
        container=output.actual_container,
    )


def without_copy(plan: EncodePlan, *, preset: str, ladder: tuple[Rung, ...] = LADDER) -> EncodePlan:
    """The same plan with its copied rung encoded: for a source that turned out to be damaged."""
    rungs = {rung_name(rung, row.codec): rung for rung in ladder for row in plan.copied}
    rows = tuple(
        replace(
            row,
            is_copy=False,
            preset=preset,
            crf=CRF_BY_PRESET[preset],
            max_bitrate_bps=rate_of(rungs[row.name], row.codec),
        )
        if row.is_copy
        else row
        for row in plan.renditions
    )
    return replace(plan, renditions=rows, notes=("not_copied:damaged",))


def chunks(plan: EncodePlan, chunk_s: float = CHUNK_S) -> tuple[Chunk, ...]:
    """The film cut for several workers: a short lead, then runs of about `chunk_s`; 0 never cuts after the lead."""
    total = plan.segment_count
    lead = min(LEAD_SEGMENTS, total)
    step = max(1, round(chunk_s / plan.segment_s)) if chunk_s else max(1, total - lead)
    starts = range(lead, total, step)
    return (Chunk(0, lead), *(Chunk(first, min(first + step, total)) for first in starts))


def _picture_frames(source: Source) -> int:
    frames = round(Fraction(source.duration_s) * source.fps)
    if source.frame_count is not None and not source.is_vfr:
        frames = source.frame_count
    if frames < 1:
        raise SourceUnreadable("This file has no picture that could be shown.", code="no_frames")
    return frames + early_frames(source)


def _total_frames(source: Source, audio: AudioTrack | None, picture: int) -> int:
    audio_s = (audio.duration_s if audio else None) or 0.0
    is_longer = audio_s > picture / source.fps + LONGER_AUDIO_S
    return _bounded(round(Fraction(audio_s) * source.fps) if is_longer else picture)


def _bounded(frames: int) -> int:
    if frames > MAX_FRAMES:
        raise SourceUnreadable("This film is longer than VLog can encode.", code="duration_limit")
    return frames


def _video_row(rung: Rung, source: Source, preset: str, codec: Codec) -> RenditionPlan:
    width, height = size_on(rung, source)
    return RenditionPlan(
        name=rung_name(rung, codec),
        kind="video",
        codec=codec,
        max_bitrate_bps=rate_of(rung, codec),
        width=width,
        height=height,
        crf=CRF_BY_PRESET[preset],
        preset=preset,
    )


def rung_name(rung: Rung, codec: Codec) -> str:
    return rung.name if codec == "h264" else f"{rung.name}-{codec}"


def _copied_row(rung: Rung, source: Source, verdict: Verdict) -> RenditionPlan:
    return RenditionPlan(
        name=rung_name(rung, verdict.codec),
        kind="video",
        codec=verdict.codec,
        max_bitrate_bps=verdict.peak_bps,
        width=source.coded_width,
        height=source.coded_height,
        is_copy=True,
    )


def _audio_rows(source: Source, top: Rung) -> tuple[RenditionPlan, ...]:
    """Every sound track stays selectable: `audio`, `audio2`, ... The first is the one played unasked."""
    return tuple(
        _audio_row(
            source, track, AUDIO_NAME if position == 1 else f"{AUDIO_NAME}{position}", audio_bitrate(top)
        )
        for position, track in enumerate(source.audio[:MAX_SOUND_TRACKS], start=1)
    )


def _sound_rungs(source: Source) -> tuple[RenditionPlan, ...]:
    """The first track at several rates, `192k`, `64k`, for players to adapt between. With more tracks each has one
    rate: a playlist with tracks to choose from at each rate would make players load sound nobody hears.
    """
    first, *others = source.audio[:MAX_SOUND_TRACKS]
    rates = sound_rates(first) if not others else sound_rates(first)[:1]
    rungs = (_audio_row(source, first, f"{rate // 1000}k", rate) for rate in rates)
    tracks = (
        _audio_row(source, track, f"{AUDIO_NAME}{position}", sound_rates(track)[0])
        for position, track in enumerate(others, start=2)
    )
    return (*rungs, *tracks)


def _audio_row(source: Source, track: AudioTrack, name: str, bitrate_bps: int) -> RenditionPlan:
    return RenditionPlan(
        name=name,
        kind="audio",
        codec="aac",
        max_bitrate_bps=bitrate_bps,
        channels=min(2, track.channels),
        sample_rate=AUDIO_RATE_HZ,
        source_track=track.index,
        language=track.language,
        shift_s=sound_shift(source, track),
    )


def _warmup(source: Source) -> int:
    return max(WARMUP_VFR if source.is_vfr else 0, WARMUP_INTERLACED if source.is_interlaced else 0)
