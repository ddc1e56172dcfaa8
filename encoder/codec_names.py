"""What a stream calls itself in a playlist (RFC 6381), read from its own parameter sets, in whatever container."""

from __future__ import annotations

from typing import Any

from .errors import OutputInvalid
from .fmp4 import av1_codec, hevc_codec

SOUND_NAMES = {"mp3": "mp4a.40.34", "ac3": "ac-3", "eac3": "ec-3", "opus": "Opus", "flac": "fLaC"}
AVC_SPS, HEVC_SPS = 7, 33  # types of NAL units


def stream_codec(stream: Any) -> str:
    """`stream` is one of PyAV. Raises OutputInvalid for a codec that no player has."""
    context = stream.codec_context
    name, extra = context.codec.canonical_name, bytes(context.extradata or b"")
    try:
        if name == "h264":
            return f"avc1.{_avc_profile(extra).hex().upper()}"
        if name == "hevc":
            return _hevc(extra, str(context.codec_tag))
        if name == "av1":
            return av1_codec(extra)
    except (IndexError, StopIteration) as error:
        raise OutputInvalid("A rendition has no parameter sets.", code="no_parameter_sets") from error
    if name == "aac":
        return "mp4a.40.5" if "HE" in str(context.profile) else "mp4a.40.2"
    if name in SOUND_NAMES:
        return SOUND_NAMES[name]
    raise OutputInvalid(f"A rendition is in {name}, which players do not have.", code="codec")


def _avc_profile(extra: bytes) -> bytes:
    """Profile, constraints and level, three bytes."""
    if extra[:1] == b"\x01":  # avcC, of MP4
        return bytes(extra[at] for at in (1, 2, 3))
    unit = next(unit for unit in _units(extra) if unit[0] & 0x1F == AVC_SPS)
    return bytes(unit[at] for at in (1, 2, 3))


def _hevc(extra: bytes, tag: str) -> str:
    if extra[:1] == b"\x01":  # hvcC, of MP4
        codec = hevc_codec(extra)
        return codec.replace("hvc1", "hev1", 1) if tag == "hev1" else codec
    unit = next(unit for unit in _units(extra) if unit[0] >> 1 & 0x3F == HEVC_SPS)
    plain = unit.replace(b"\0\0\3", b"\0\0")  # emulation prevention
    # Behind the unit's two bytes and one of counts: what hvcC repeats from its second byte on.
    return hevc_codec(b"\x01" + plain[3:15])


def _units(stream: bytes) -> list[bytes]:
    """NAL units of an Annex B stream."""
    return [unit for unit in stream.split(b"\0\0\1")[1:] if unit]
