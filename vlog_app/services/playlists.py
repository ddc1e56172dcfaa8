"""Playlists of a video, rendered from its rows: growing, full timeline, or finished."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import PurePosixPath
from typing import cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from encoder.languages import language_tag
from encoder.levels import expected_codec
from encoder.model import Container, EncodePlan, RenditionPlan
from encoder.names import CMAF, init_name, playlist_name, segment_name
from encoder.plan import LEAD_SEGMENTS
from encoder.playlist import (
    AudioTrackLine,
    Entry,
    Variant,
    master_playlist,
    media_playlist,
    peak_bps,
)
from encoder.rates import BUFFER_S

from ..models import Encode, Rendition, Segment, Video

AAC_CODEC = "mp4a.40.2"
TS_WRAPPING, CMAF_WRAPPING = 1.10, 1.02
INIT_ARG = "i"  # see _entry
FULL = "full"  # the value of `timeline=` that our own player sends


@dataclass(frozen=True, slots=True)
class Row:
    """One rendition with the durations, sizes and headers (CMAF) of its finished segments, by index."""

    rendition: Rendition
    durations: dict[int, float]
    sizes: dict[int, int]
    inits: dict[int, int] = field(default_factory=dict)

    @property
    def begun(self) -> int:
        """How many segments are there from the start without a hole."""
        count = 0
        while count in self.durations:
            count += 1
        return count

    @property
    def is_foreign(self) -> bool:
        return self.rendition.is_foreign

    @property
    def is_independent(self) -> bool:
        """May a player start with any segment?"""
        return not self.is_foreign or bool((self.rendition.index or {}).get("is_independent"))

    def container(self, plan: EncodePlan) -> Container:
        return cast(Container, self.rendition.container or plan.container)

    @property
    def peak_bps(self) -> int:
        return peak_bps([(self.durations[i], self.sizes[i]) for i in sorted(self.durations)])

    @property
    def average_bps(self) -> int:
        total_s = sum(self.durations.values())
        return round(sum(self.sizes.values()) * 8 / total_s) if total_s else 0


@dataclass(frozen=True, slots=True)
class Availability:
    """What is made of an encode, as players can use it."""

    encode: Encode
    plan: EncodePlan
    rows: tuple[Row, ...]
    is_whole: bool

    @property
    def rungs(self) -> list[Row]:
        """What players adapt between, highest first."""
        return [row for row in self.rows if row.rendition.is_rung]

    @property
    def tracks(self) -> list[Row]:
        """Sound to choose beside the rung that plays."""
        return [row for row in self.rows if not row.rendition.is_rung]

    @property
    def is_of_the_grid(self) -> bool:
        """No rendition has a timeline of its own."""
        return not any(row.is_foreign for row in self.rows)

    @property
    def playable(self) -> tuple[Row, ...]:
        """What players are told of. Beside renditions with a timeline of their own, which are whole from the start, one
        of the grid is named once it and its sound are whole too: nobody waits for a part while all can be watched.
        """
        if self.is_of_the_grid:
            return self.rows
        grid = [row for row in self.rows if not row.is_foreign]
        whole = [row for row in grid if len(row.durations) == row.rendition.planned_segments]
        tracks = [row for row in grid if not row.rendition.is_rung]
        rungs = [row for row in whole if row.rendition.is_rung]
        ready = (*rungs, *tracks) if rungs and all(row in whole for row in tracks) else ()
        return tuple(row for row in self.rows if row.is_foreign or row in ready)

    def file_name(self, name: str, index: int) -> str:
        """Where a segment lies in the folder of the video."""
        row = self.row(name)
        return segment_name(row.container(self.plan) if row else self.plan.container, name, index)

    def row(self, name: str) -> Row | None:
        return next((row for row in self.rows if row.rendition.name == name), None)


def load_availability(session: Session, video: Video, generation: int | None = None) -> Availability | None:
    """The generation viewers get, or one that they got until a while ago, in three queries."""
    query = select(Encode).where(Encode.video_id == video.id)
    if generation in (None, video.generation):
        query = query.where(Encode.generation == video.generation)
    else:
        former = Encode.superseded_at.is_not(None), Encode.retired_at.is_(None)
        query = query.where(Encode.generation == generation, *former)
    encode = session.scalars(query).first()
    if encode is None:
        return None
    return availability_of(session, encode)


def availability_of(session: Session, encode: Encode) -> Availability:
    renditions = session.scalars(
        select(Rendition).where(Rendition.encode_id == encode.id).order_by(Rendition.position)
    ).all()
    cells: dict[int, Row] = {r.id: _folded(r) for r in renditions}
    columns = (Segment.rendition_id, Segment.index, Segment.duration_s, Segment.size_bytes, Segment.init)
    loose = select(*columns).where(Segment.rendition_id.in_(cells))
    for rendition_id, index, duration_s, size, init in session.execute(loose):
        row = cells[rendition_id]
        row.durations[index], row.sizes[index] = duration_s, size
        if row.rendition.inits:
            row.inits[index] = init
    plan = EncodePlan.from_json(encode.plan)
    return Availability(encode, plan, tuple(cells[r.id] for r in renditions), encode.state == "done")


def _folded(rendition: Rendition) -> Row:
    index = rendition.index or {"durations": [], "sizes": []}
    durations, sizes, inits = index["durations"], index["sizes"], index.get("inits", [])
    return Row(rendition, dict(enumerate(durations)), dict(enumerate(sizes)), dict(enumerate(inits)))


def master_text(made: Availability, *, timeline: str | None, suffix: bool = True, prefix: str = "") -> str:
    """Our player gets every planned rung at once; others get a rung once its first chunk is in.

    `suffix` adds the generation to URLs; files on disk do without. `prefix`: where the playlists lie.
    """
    query = _query(made, timeline) if suffix else ""
    audio = [row for row in made.playable if not row.rendition.is_rung]
    video = [row for row in made.playable if row.rendition.is_rung]
    is_growing = made.is_of_the_grid and not made.is_whole
    if timeline != FULL and is_growing:
        lead = min(LEAD_SEGMENTS, made.plan.segment_count)
        video = [r for r in video if r.begun >= lead] or [r for r in video if r.begun]
    lines = [_audio_line(made, row, query) for row in audio]
    if made.plan.video:
        sound = max((_promised_bps(made, row) for row in audio), default=0)
        sound_average = max((row.average_bps for row in audio), default=0)
        variants = [_variant(made, row, sound, sound_average, query) for row in video]
    else:
        variants = [_sound_variant(made, row, audio, query) for row in video]
        # The first track lies in the variants themselves; it is named only where there are others.
        lines = [_audio_line(made, row, query, is_own=True) for row in video[:1] if audio] + lines
    if timeline != FULL and is_growing:
        variants = [replace(variant, peak_bps=most_bps(variant.peak_bps, made.plan)) for variant in variants]
    if prefix:
        variants = [replace(variant, uri=prefix + variant.uri) for variant in variants]
        lines = [replace(line, uri=line.uri and prefix + line.uri) for line in lines]
    return master_playlist(variants, lines, is_independent=all(row.is_independent for row in made.playable))


def _promised_bps(made: Availability, row: Row) -> int:
    """Until all of it is measured, a rendition may still need what it was promised."""
    return row.peak_bps if made.is_whole else max(row.peak_bps, row.rendition.max_bitrate_bps)


def most_bps(promised_bps: int, plan: EncodePlan) -> int:
    """What no segment to come exceeds (RFC 8216 4.3.4.2): an encoder whose buffer is full may spend it at once, and
    MPEG-TS wraps small rungs in more than it wraps large ones.
    """
    wrapping = TS_WRAPPING if plan.container != CMAF else CMAF_WRAPPING
    return round(promised_bps * (1 + BUFFER_S / plan.segment_s) * wrapping)


def _audio_line(made: Availability, row: Row, query: str, *, is_own: bool = False) -> AudioTrackLine:
    planned = made.plan.rendition(row.rendition.name)
    return AudioTrackLine(
        uri=None if is_own else f"{playlist_name(made.plan.container, planned.name)}{query}",
        name=_sound_name(made.plan, planned),
        channels=planned.channels,
        language=language_tag(planned.language),
    )


def _sound_name(plan: EncodePlan, planned: RenditionPlan) -> str:
    """Names in a group must differ; what people read is made from the language by the player."""
    if len(plan.audio) == 1:
        return "Original"
    return f"Track {plan.audio.index(planned) + 1}"


def _variant(made: Availability, row: Row, sound_bps: int, sound_average_bps: int, query: str) -> Variant:
    planned = row.rendition
    if row.is_foreign:
        return _foreign_variant(made, row, query)
    peak = _promised_bps(made, row)
    average = row.average_bps + sound_average_bps if made.is_whole else None
    codec = made.plan.rendition(planned.name).codec
    picture = planned.codecs or expected_codec(codec, planned.width, planned.height, made.plan.fps)
    codecs = (picture, AAC_CODEC) if made.plan.audio else (picture,)
    uri = f"{playlist_name(made.plan.container, planned.name)}{query}"
    return Variant(uri, planned.width, planned.height, made.plan.fps, codecs, peak + sound_bps, average)


def _sound_variant(made: Availability, row: Row, tracks: list[Row], query: str) -> Variant:
    """A player hears the rung or another track, never both."""
    heard = [row, *tracks]
    peaks = [_promised_bps(made, each) for each in heard]
    average = max(each.average_bps for each in heard) if made.is_whole else None
    uri = f"{playlist_name(made.plan.container, row.rendition.name)}{query}"
    return Variant(uri, 0, 0, made.plan.fps, (AAC_CODEC,), max(peaks), average)


def _foreign_variant(made: Availability, row: Row, query: str) -> Variant:
    """All of it was measured when it came in, its sound with it."""
    rendition = row.rendition
    return Variant(
        f"{playlist_name(row.container(made.plan), rendition.name)}{query}",
        rendition.width,
        rendition.height,
        Fraction((rendition.index or {})["fps"]),
        tuple((rendition.codecs or "").split(",")),
        row.peak_bps,
        row.average_bps,
        has_sound_inside=True,
        is_sdr=False,
    )


def media_text(made: Availability, row: Row, *, timeline: str | None, suffix: bool = True) -> str:
    """The full timeline lists segments that are still to come, with the length they will have. A rung that is whole
    says so before the others are.
    """
    query = f"?g={made.encode.generation}" if suffix else ""
    is_full = made.is_whole or timeline == FULL or row.begun == row.rendition.planned_segments
    count = row.rendition.planned_segments if is_full else row.begun
    entries = [_entry(made, row, index, query) for index in range(count)]
    target_s = 0.0 if row.is_foreign else made.plan.segment_s
    return media_playlist(entries, target_s=target_s, is_whole=is_full, is_independent=row.is_independent)


def _entry(made: Availability, row: Row, index: int, query: str) -> Entry:
    """Addresses are relative to the playlist. A segment that is still to come may turn out to need another header than
    its neighbours; `i` says which one this playlist promised, so that it can be answered together with its own.
    """
    name, container = row.rendition.name, row.container(made.plan)
    uri = PurePosixPath(segment_name(container, name, index)).name + query
    known_s = row.durations.get(index)
    duration_s = float(made.plan.duration_of(index)) if known_s is None else known_s
    if container != CMAF:
        return Entry(uri, duration_s)
    number = row.inits.get(index, 0)
    is_settled = made.is_whole or row.is_foreign
    promised = f"&{INIT_ARG}={number}" if query and not is_settled else ""
    return Entry(uri + promised, duration_s, PurePosixPath(init_name(name, number)).name + query)


def _query(made: Availability, timeline: str | None) -> str:
    extra = f"&timeline={timeline}" if timeline == FULL else ""
    return f"?g={made.encode.generation}{extra}"
