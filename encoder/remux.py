"""May the source itself be the top rung? The rules, each with a reason code; every one that says no is reported.

A copied rung costs almost nothing and is there within seconds. It must be what the encoded rungs are: cut at the same
frames, decodable by the same players, within the rates the ladder promises. H.264 is copied wherever it is made, HEVC
and AV1 where the owner prefers them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction

from .ladder import Rung, ladder_lines, rate_of, size_on
from .model import Codec, KeyFrames, Source

H264: tuple[Codec, ...] = ("h264",)
PROFILES: dict[Codec, tuple[str, ...]] = {
    "h264": ("Baseline", "Constrained Baseline", "Main", "High"),
    "hevc": ("Main",),
    "av1": ("Main",),
}
# 5.1, as each codec counts it: what phones and television sets decode.
HIGHEST_LEVEL: dict[Codec, int] = {"h264": 51, "hevc": 153, "av1": 13}
HDR_TRANSFERS = ("smpte2084", "arib-std-b67")
RATE_SLACK = 1.1  # the average may be this much above the rung's rate
PEAK_SLACK = 2.0  # a single segment this much
SHAPE_SLACK = Fraction(1, 100)  # 854x480 is a rounded 16:9 and often says so
SIZE_SLACK = 2  # pixels
SHORTEST, LONGEST = Fraction(2, 3), Fraction(5, 3)  # of the wanted segment length


@dataclass(frozen=True, slots=True)
class Verdict:
    """`segment_frames` is set when the source may be copied, as `codec`; else `reasons` say why not, as codes."""

    reasons: tuple[str, ...]
    segment_frames: int = 0
    peak_bps: int = 0
    codec: Codec = "h264"

    @property
    def is_fit(self) -> bool:
        return not self.reasons


def judge(source: Source, top: Rung, wanted_frames: int, codecs: Collection[Codec] = H264) -> Verdict:
    """`wanted_frames`: the segment length one would choose freely. The copy may ask for another, near to it. `codecs`:
    those that films are made in.
    """
    keys = source.keyframes
    codec = next((each for each in PROFILES if each == source.video_codec), None)
    if codec not in codecs or codec is None:
        return Verdict(("codec",) if codec != "h264" else ("codec_not_wanted",))
    if keys is None or source.frame_count is None:
        return Verdict(("no_frame_table",))
    reasons = [code for code, is_wrong in _picture_rules(source, top, keys, codec) if is_wrong]
    frames = cut_length(keys, source.frame_count, wanted_frames)
    if frames is None:
        return Verdict((*reasons, "irregular_keyframes"))
    peak, most = peak_bps(keys, source, frames), rate_of(top, codec)
    average = sum(keys.group_bytes) * 8 * source.fps / source.frame_count
    if average > most * RATE_SLACK:
        reasons.append("bitrate")
    if peak > most * PEAK_SLACK:
        reasons.append("peak_bitrate")
    return Verdict(tuple(reasons), frames, peak, codec)


def _picture_rules(source: Source, top: Rung, keys: KeyFrames, codec: Codec) -> Iterator[tuple[str, bool]]:
    yield "profile", source.profile not in PROFILES[codec]
    yield "pixel_format", source.pix_fmt != "yuv420p" or source.bit_depth != 8
    yield "level", (source.level or 0) > HIGHEST_LEVEL[codec]
    yield "interlaced", source.is_interlaced
    yield "rotated", source.rotation != 0
    yield "pixel_shape", abs(source.sar - 1) > SHAPE_SLACK
    yield "variable_frame_rate", source.is_vfr
    yield "hdr", source.color_transfer in HDR_TRANSFERS
    yield "colours", not _has_common_colours(source)
    yield "late_start", abs(source.start_time_s) > float(1 / source.fps) / 2 or source.picture_after_s > 0
    yield "open_gop", not keys.is_closed
    yield "own_headers", keys.has_own_headers
    yield "too_large", ladder_lines(source) > top.lines
    yield "size", not _is_size_of(top, source)


def _has_common_colours(source: Source) -> bool:
    """BT.709 or untagged, so that a change of rung does not change colours."""
    named = source.color_space in (None, "bt709") and source.color_primaries in (None, "bt709")
    return named and not source.full_range


def _is_size_of(top: Rung, source: Source) -> bool:
    width, height = size_on(top, source)
    return max(abs(width - source.coded_width), abs(height - source.coded_height)) <= SIZE_SLACK


def cut_length(keys: KeyFrames, frame_count: int, wanted: int) -> int | None:
    """The segment length nearest to `wanted` for which every boundary is a key frame; None when there is none."""
    at = frozenset(keys.frames)
    lengths = range(max(1, int(wanted * SHORTEST)), int(wanted * LONGEST) + 1)
    for length in sorted(lengths, key=lambda length: (abs(length - wanted), length)):
        if all(start in at for start in range(0, frame_count, length)):
            return length
    return None


def peak_bps(keys: KeyFrames, source: Source, segment_frames: int) -> int:
    """The rate of the largest segment if cut every `segment_frames`."""
    sizes: dict[int, int] = {}
    for frame, size in zip(keys.frames, keys.group_bytes, strict=True):
        sizes[frame // segment_frames] = sizes.get(frame // segment_frames, 0) + size
    return round(max(sizes.values()) * 8 * source.fps / segment_frames)
