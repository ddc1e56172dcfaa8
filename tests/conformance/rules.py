"""A whole published film: the master playlist against its renditions, and the renditions against each other."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from .findings import Finding
from .media import Media, check_media, read_media
from .mpegts import CLOCK_HZ
from .texts import Text, attributes, read_text

PEAK_LOW, PEAK_HIGH = 0.999, 1.10  # of the measured peak
AVERAGE = 0.01
SOUND_LENGTH_S = 0.050
SOUND_START_S = 0.050
SOUND_SEAM_S = 0.150  # sound may be cut a few packets from where the picture is cut
TICKS = 2


@dataclass(frozen=True, slots=True)
class Variant:
    """`is_foreign`: cut by somebody else, its sound inside."""

    attributes: dict[str, str]
    media: Media
    is_foreign: bool


@dataclass(frozen=True, slots=True)
class Track:
    """Without an address of its own (`media` is None) a track is the sound of the variants themselves."""

    attributes: dict[str, str]
    media: Media | None

    @property
    def group(self) -> str:
        return self.attributes.get("GROUP-ID", "")


def check(
    folder: Path,
    master: str = "master.m3u8",
    copied: Collection[str] = (),
    foreign: Collection[str] = (),
) -> list[Finding]:
    """Everything that is wrong with the film in `folder`. Rungs in `copied` are the source's own pictures, which may
    come without colour tags. Those in `foreign` were made and cut by somebody else: they carry their sound inside, and
    are held to what their playlists say of them, not to the grid and the colours of the others.
    """
    path = folder / master
    if not path.is_file():
        return [Finding("missing_master", master, "is not there")]
    text = read_text(master, path.read_bytes(), is_master=True)
    variants, tracks = _variants(folder, text, foreign), _tracks(folder, text)
    media = {one.name: one for one in _all_media(variants, tracks)}
    for item in media.values():
        check_media(item, is_copy=rung_of(item) in copied, is_foreign=rung_of(item) in foreign)
    _check_master(text, variants)
    for variant in variants:
        beside = [t for t in tracks if t.group == _bare(variant, "AUDIO")]
        _check_variant(text, variant, beside)
    _check_groups(text, variants, tracks)
    _check_together(text, [each for each in variants if not each.is_foreign], tracks)
    return text.findings + [f for item in media.values() for f in (*item.text.findings, *item.findings)]


def rung_of(media: Media) -> str:
    return media.name.partition("/")[0].removesuffix(".m3u8")


def _all_media(variants: list[Variant], tracks: list[Track]) -> list[Media]:
    return [variant.media for variant in variants] + _media_of(tracks)


def _media_of(tracks: list[Track]) -> list[Media]:
    return [track.media for track in tracks if track.media is not None]


def _variants(folder: Path, text: Text, foreign: Collection[str]) -> list[Variant]:
    found = []
    for value, uri in text.entries:
        media = read_media(folder, uri)
        if media is None:
            text.find("missing_playlist", f"{uri} is not there")
        else:
            found.append(Variant(attributes(text, value), media, rung_of(media) in foreign))
    return found


def _tracks(folder: Path, text: Text) -> list[Track]:
    found = []
    for value in text.values("EXT-X-MEDIA"):
        fields = attributes(text, value)
        unquoted = {name: content.strip('"') for name, content in fields.items()}
        media = read_media(folder, unquoted["URI"]) if "URI" in unquoted else None
        if media is None and "URI" in unquoted:
            text.find("missing_playlist", f"{unquoted['URI']} is not there")
            continue
        found.append(Track(unquoted, media))
    return found


def _check_master(text: Text, variants: list[Variant]) -> None:
    if (text.number("EXT-X-VERSION") or 1) < 4:  # the first one with EXT-X-MEDIA
        text.find("version", "the version is too low for what it uses")
    if text.value("EXT-X-INDEPENDENT-SEGMENTS") is None:
        text.find("independent", "does not say that segments are independent")
    if not variants:
        text.find("empty", "names no variant")
    uris = [uri for _value, uri in text.entries]
    if len(set(uris)) != len(uris):
        text.find("repeated_variant", "the same playlist is named twice")


def _bare(variant: Variant, name: str) -> str:
    return variant.attributes.get(name, "").strip('"')


def _check_variant(text: Text, variant: Variant, tracks: list[Track]) -> None:
    name, fields = variant.media.name, variant.attributes
    for needed in ("BANDWIDTH", "AVERAGE-BANDWIDTH", "CODECS"):
        if needed not in fields:
            text.find("attribute_missing", f"{name} has no {needed}")
    for needed in ("RESOLUTION", "FRAME-RATE"):
        if variant.media.is_video and needed not in fields:
            text.find("attribute_missing", f"{name} has no {needed}")
        if not variant.media.is_video and needed in fields:
            text.find("picture_promised", f"{name} says {needed} and holds sound alone")
    for quoted in ("CODECS", "AUDIO"):
        if quoted in fields and not fields[quoted].startswith('"'):
            text.find("attributes", f"{quoted} of {name} is not quoted")
    sps = next(iter({sps for segment in variant.media.segments for sps in segment.sps}), None)
    heard = [variant.media, *_media_of(tracks)]
    sounds = [sound for media in heard for segment in media.segments for sound in segment.sounds]
    promised = _bare(variant, "CODECS").split(",")
    real = {*([sps.codec] if sps else []), *(sound.codec for sound in sounds)}
    if variant.is_foreign:  # the reader looks at the first stream of a segment alone
        real.add("mp4a.40.2")
    if set(promised) != real:
        text.find("codecs", f"{name} says {promised}, its bytes say {sorted(real)}")
    if sps is not None:
        if fields.get("RESOLUTION") != f"{sps.width}x{sps.height}":
            text.find("resolution", f"{name} says {fields.get('RESOLUTION')}, is {sps.width}x{sps.height}")
        _check_frame_rate(text, variant)
        _check_range(text, variant)
    _check_rates(text, variant, tracks)


def _check_range(text: Text, variant: Variant) -> None:
    """Everything of ours is SDR and says so; of what others made nobody knows."""
    said = variant.attributes.get("VIDEO-RANGE", "" if variant.is_foreign else "missing")
    if said not in (("",) if variant.is_foreign else ("SDR",)):
        text.find("video_range", f"{variant.media.name} says {said}")


def _check_frame_rate(text: Text, variant: Variant) -> None:
    step, said = variant.media.frame_ticks, variant.attributes.get("FRAME-RATE", "0")
    if not re.fullmatch(r"\d+(\.\d{1,3})?", said):
        text.find("frame_rate", f"{variant.media.name} says {said}")
    elif step is not None and abs(float(said) - CLOCK_HZ / step) > 0.002 * float(said) + 0.001:
        text.find("frame_rate", f"{variant.media.name} says {said}, is {CLOCK_HZ / step:.3f}")


def _check_rates(text: Text, variant: Variant, tracks: list[Track]) -> None:
    media, name = variant.media, variant.media.name
    beside = _media_of(tracks)
    peaks = [media.peak_bps, max((track.peak_bps for track in beside), default=0.0)]
    # Of sound alone a player hears the variant or another track, never both.
    peak = sum(peaks) if media.is_video else max(peaks)
    said = int(variant.attributes.get("BANDWIDTH", "0"))
    if said < peak * PEAK_LOW - 1:
        text.find("bandwidth", f"{name} says {said}, but {peak:.0f} bit/s are needed")
    if said > peak * PEAK_HIGH + 1:
        text.find("bandwidth_high", f"{name} says {said}, but never needs more than {peak:.0f} bit/s")
    parts = [media, *([max(beside, key=lambda m: m.size)] if beside else [])]
    averages = [part.size * 8 / max(sum(part.extinf), 0.001) for part in parts]
    average = sum(averages) if media.is_video else max(averages)
    stated = int(variant.attributes.get("AVERAGE-BANDWIDTH", "0"))
    if abs(stated - average) > average * AVERAGE + 1:
        text.find("average_bandwidth", f"{name} says {stated}, is {average:.0f} bit/s")


def _check_groups(text: Text, variants: list[Variant], tracks: list[Track]) -> None:
    groups = {track.group for track in tracks}
    for variant in variants:
        wanted = _bare(variant, "AUDIO")
        if wanted not in groups and (wanted or tracks):
            text.find("audio_group", f"{variant.media.name} wants the group {wanted!r}, which is not there")
    for group in groups:
        members = [track for track in tracks if track.group == group]
        names = [track.attributes.get("NAME", "") for track in members]
        if len(set(names)) != len(names) or "" in names:
            text.find("audio_names", f"the names in group {group} are not unique: {names}")
        if sum(track.attributes.get("DEFAULT") == "YES" for track in members) != 1:
            text.find("audio_default", f"group {group} has not exactly one default track")
    for track in tracks:
        media = track.media or variants[0].media
        channels = {str(sound.channels) for segment in media.segments for sound in segment.sounds}
        if {track.attributes.get("CHANNELS")} != channels:
            text.find("channels", f"{media.name} says {track.attributes.get('CHANNELS')}, has {channels}")
        if track.media is None and any(variant.media.is_video for variant in variants):
            text.find("audio_uri", "a track has no address, and there is no sound in the pictures' segments")


def _check_together(text: Text, variants: list[Variant], tracks: list[Track]) -> None:
    """All renditions of one film: same target, same end, same boundaries, same clock."""
    everything = _all_media(variants, tracks) if variants else []
    if len({media.target for media in everything}) > 1:
        text.find("targets_differ", "renditions have different target durations")
    if len({media.text.value("EXT-X-PLAYLIST-TYPE") for media in everything}) > 1:
        text.find("types_differ", "some renditions are whole and some still grow")
    if not variants:
        return
    first = variants[0].media
    for variant in variants[1:]:
        _check_aligned(first, variant.media)
    for media in _media_of(tracks):
        _check_sound_fits(first, media)


def _check_aligned(first: Media, other: Media) -> None:
    if len(first.segments) != len(other.segments):
        other.find("alignment", f"{len(other.segments)} segments, {first.name} has {len(first.segments)}")
    for number, (one, two) in enumerate(zip(first.segments, other.segments, strict=False)):
        if not one.pts or not two.pts:
            continue
        if abs(one.pts[0] - two.pts[0]) > TICKS or one.units != two.units:
            other.find(
                "alignment",
                f"{two.units} units from {two.pts[0]}, {first.name} has {one.units} from {one.pts[0]}",
                number,
            )


def _check_sound_fits(picture: Media, sound: Media) -> None:
    missing_s = picture.duration_s - sound.duration_s
    if abs(missing_s) > SOUND_LENGTH_S:
        sound.find("sound_length", f"{-missing_s * 1000:+.0f} ms against the picture")
    if len(sound.segments) != len(picture.segments):
        sound.find("sound_segments", f"{len(sound.segments)} segments for {len(picture.segments)} of picture")
    for number, (one, two) in enumerate(zip(picture.segments, sound.segments, strict=False)):
        if not one.pts or not two.pts:
            continue
        apart_s = (two.pts[0] - one.pts[0]) / CLOCK_HZ
        if abs(apart_s) > (SOUND_START_S if number == 0 else SOUND_SEAM_S):
            sound.find("sound_start", f"begins {apart_s * 1000:+.0f} ms from the picture", number)
