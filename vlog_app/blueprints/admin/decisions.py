"""Why an encode is as it is: reason codes of its plan as a sentence for the owner."""

from __future__ import annotations

from collections.abc import Iterator

from encoder.languages import language_tag
from encoder.model import AudioTrack, EncodePlan, Source

NOT_COPIED = {
    "codec": "it is in none of the codecs that films are made in here",
    "no_frame_table": "its container has no table of its frames",
    "profile": "its profile is not one that every player decodes",
    "pixel_format": "its pixel format is not one that every player decodes",
    "level": "its level is too high for phones",
    "interlaced": "it is interlaced",
    "rotated": "it is stored turned",
    "pixel_shape": "its pixels are not square",
    "variable_frame_rate": "its frame rate varies",
    "hdr": "it is HDR",
    "colours": "its colours are not those of the other rungs, BT.709 in limited range",
    "late_start": "its picture starts late",
    "open_gop": "its groups of pictures are open",
    "own_headers": "its parameter sets stand between its pictures",
    "too_large": "it is larger than the highest rung",
    "size": "its size is not that of a rung",
    "irregular_keyframes": "its key frames do not stand where segments begin",
    "bitrate": "its bit rate is above that of the rung",
    "peak_bitrate": "its bit rate has peaks far above that of the rung",
    "damaged": "it is damaged",
    "longer_sound": "its sound and its picture differ in length",
    "codec_not_wanted": "films are to come in another codec",
}
PREFIX = "not_copied:"
CODEC_NAMES = {"h264": "H.264", "hevc": "HEVC", "av1": "AV1", "vp9": "VP9", "vp8": "VP8", "prores": "ProRes"}
HDR_NAMES = {"smpte2084": "HDR (PQ)", "arib-std-b67": "HDR (HLG)"}
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}


def explain(plan: EncodePlan) -> str:
    """One sentence about the top rung."""
    if not plan.video:
        return ""
    if plan.copied:
        return f"{plan.copied[0].name} is the source itself, copied without loss; the other rungs are encoded from it."
    top = next((row for row in plan.video if row.codec == "h264"), plan.video[0]).name
    reasons = [NOT_COPIED[note.removeprefix(PREFIX)] for note in plan.notes if note.startswith(PREFIX)]
    if not reasons:
        return ""
    return f"{top} is encoded and not copied from the source, since {_listed(reasons)}."


def describe(source: Source) -> str:
    """What was found in the file, and what is done about it, in one line."""
    parts = list(_picture_facts(source)) if source.has_picture else []
    for position, track in enumerate(source.audio):
        parts.append(("sound in " if position == 0 else "") + _sound_fact(track))
    if not source.audio:
        parts.append("no sound")
    return f"In the file: {', '.join(parts)}."


def _picture_facts(source: Source) -> Iterator[str]:
    codec = CODEC_NAMES.get(source.video_codec, source.video_codec)
    yield f"{codec} {source.profile}" if source.profile and source.profile not in codec else codec
    if source.bit_depth > 8:
        yield f"{source.bit_depth} bits a colour"
    if source.color_transfer in HDR_NAMES:
        yield f"{HDR_NAMES[source.color_transfer]}, shown as SDR"
    if source.is_interlaced:
        yield "interlaced, made progressive"
    if source.is_vfr:
        yield f"a frame rate that varies, shown at {float(source.fps):.3g} a second"
    if source.rotation:
        yield f"turned by {source.rotation}°"
    if source.sar != 1:
        yield f"pixels of {source.sar.numerator}:{source.sar.denominator}"


def _sound_fact(track: AudioTrack) -> str:
    layout = LAYOUTS.get(track.channels, f"{track.channels} channels")
    language = language_tag(track.language)
    return f"{track.codec.upper()} {layout}" + (f" ({language})" if language else "")


def _listed(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]
