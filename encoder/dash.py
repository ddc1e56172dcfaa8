"""The DASH manifest (ISO/IEC 23009-1) of a finished film in CMAF: the segments that HLS plays, described once more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import groupby, pairwise
from xml.sax.saxutils import quoteattr

from .model import is_rung

PROFILE = "urn:mpeg:dash:profile:isoff-live:2011"  # numbered segments by template, whatever the name says
CHANNELS = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011"
ROLE = "urn:mpeg:dash:role:2011"
MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Representation:
    """One rendition. Its files are the header `init` and `{name}/seg_0000.m4s` on, in time `durations_s`."""

    name: str
    codecs: str
    bandwidth_bps: int
    durations_s: Sequence[float]
    init: str
    width: int = 0
    height: int = 0
    fps: Fraction = field(default=Fraction(0))
    sample_rate: int = 0
    channels: int = 0
    language: str | None = None

    @property
    def is_video(self) -> bool:
        return self.width > 0


def manifest(representations: Sequence[Representation], *, duration_s: float, query: str = "") -> str:
    """One adaptation set for each codec of the picture, highest rung first, and one for each sound track; without
    picture the rates of the first track share one. `query` is put behind the names of all files.
    """
    pictures = [each for each in representations if each.is_video]
    rates = [each for each in representations if not each.is_video and is_rung(each.name)]
    tracks = [each for each in representations if not is_rung(each.name)]
    sets = [list(group) for _family, group in groupby(sorted(pictures, key=_family), key=_family)]
    sets += [rates] if rates else []
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        f'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="{PROFILE}" type="static" minBufferTime="PT2S"'
        f' mediaPresentationDuration="PT{duration_s:.3f}S">',
        "<Period>",
    ]
    for number, members in enumerate([*sets, *([track] for track in tracks)]):
        lines += _adaptation_set(number, members, query)
    return "\n".join([*lines, "</Period>", "</MPD>", ""])


def _family(representation: Representation) -> str:
    return representation.codecs.partition(".")[0]


def _adaptation_set(number: int, members: Sequence[Representation], query: str) -> list[str]:
    first = members[0]
    kind = "video" if first.is_video else "audio"
    language = f" lang={quoteattr(first.language)}" if first.language else ""
    lines = [
        f'<AdaptationSet id="{number}" contentType="{kind}" mimeType="{kind}/mp4"{language}'
        ' segmentAlignment="true" startWithSAP="1">',
    ]
    if not first.is_video:
        lines.append(f'<Role schemeIdUri="{ROLE}" value="main"/>')
    for member in members:
        lines += _representation(member, query)
    return [*lines, "</AdaptationSet>"]


def _representation(member: Representation, query: str) -> list[str]:
    facts = f'id="{member.name}" codecs="{member.codecs}" bandwidth="{member.bandwidth_bps}"'
    if member.is_video:
        facts += f' width="{member.width}" height="{member.height}" frameRate="{member.fps}"'
    else:
        facts += f' audioSamplingRate="{member.sample_rate}"'
    channels = f'<AudioChannelConfiguration schemeIdUri="{CHANNELS}" value="{member.channels}"/>'
    files = f"{member.init}{query}", f"{member.name}/seg_$Number%04d$.m4s{query}"
    return [
        f"<Representation {facts}>",
        *([] if member.is_video else [channels]),
        f'<SegmentTemplate timescale="{MICROSECONDS}" startNumber="0"'
        f" initialization={quoteattr(files[0])} media={quoteattr(files[1])}>",
        "<SegmentTimeline>",
        *_timeline(member.durations_s),
        "</SegmentTimeline>",
        "</SegmentTemplate>",
        "</Representation>",
    ]


def _timeline(durations_s: Sequence[float]) -> list[str]:
    """Runs of equal lengths. Borders are rounded, not lengths: else rounding would add up over a long film."""
    borders, at = [0], 0.0
    for duration_s in durations_s:
        at += duration_s
        borders.append(round(at * MICROSECONDS))
    lines, start = [], 0
    lengths = [end - begin for begin, end in pairwise(borders)]
    for length, run in groupby(lengths):
        count = len(list(run))
        first = ' t="0"' if not start else ""
        repeat = f' r="{count - 1}"' if count > 1 else ""
        lines.append(f'<S{first} d="{length}"{repeat}/>')
        start += count
    return lines
