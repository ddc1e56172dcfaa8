"""Why an encode is as it is: reason codes of its plan as a sentence for the owner."""

from __future__ import annotations

from encoder.model import EncodePlan

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


def _listed(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]
