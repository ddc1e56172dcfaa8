"""How the grid of one encode is cut into jobs, and in which order they are wanted. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import groupby

from encoder.model import Chunk, EncodePlan
from encoder.plan import chunks

ENCODE = "encode"
COPY = "copy"
AUDIO = "audio"
POSTER = "poster"
STORYBOARD = "storyboard"
WHOLE = "whole"  # the whole film, for a worker that knows no parts: it stands in for the others below

#: Kinds that fill the grid.
GRID_KINDS = (ENCODE, COPY, AUDIO)
#: Kinds without which a video is not ready. The others decorate it.
ESSENTIAL = (*GRID_KINDS, WHOLE)


class Priority(IntEnum):
    """How much the owner wants a film, lower first."""

    HIGH = 0
    NORMAL = 1
    LOW = 2

    @property
    def word(self) -> str:
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> Priority:
        """Raises KeyError for a word that names none."""
        return cls[word.upper()]


class Rank(IntEnum):
    """What a job is for, the more wanted first. How it and the owner's priority make one order: `place_of`."""

    DEMAND = 0  # a viewer is waiting for it
    COPY = 9  # the source itself as top rung: seconds
    LEAD = 10  # the lowest rung of the first chunk: watchable within seconds
    SOUND = 11
    POSTER = 12
    RATES = 13  # the other rates of sound without picture
    FIRST = 20  # the other rungs of the first chunk
    DEMAND_REST = 30  # the other rungs of what a viewer asked for
    STORYBOARD = 35  # comes when a film is all but finished: seconds
    BULK = 40
    NEWER_CODEC = 45  # rungs that only some players can show, beside those that all can


#: Work that is cut into pieces, of which films of equal priority take turns.
TAKES_TURNS = (Rank.BULK, Rank.NEWER_CODEC)
#: Places from here on are work that nobody waits for at this moment: there the owner's priority comes first.
LATER = 1_000
#: Added to the place of what is paused: behind everything any slot looks at.
PAUSED = 100_000


def place_of(rank: int, priority: int, *, is_paused: bool = False) -> int:
    """Where a job stands in the queue, lower first. What makes a film watchable goes by rank, so that every film
    begins before the rest of any; the rest goes by priority, and by rank within it.
    """
    is_opening = rank < Rank.FIRST
    place = rank * 10 + priority if is_opening else LATER + priority * 1_000 + rank
    return place + PAUSED if is_paused else place


@dataclass(frozen=True, slots=True)
class JobDraft:
    """A job to be. Its rectangle is `chunk` x `renditions`; rectangles of one encode never overlap."""

    kind: str
    rank: Rank
    chunk: Chunk
    renditions: tuple[str, ...]


def draft_jobs(plan: EncodePlan, chunk_s: float) -> tuple[JobDraft, ...]:
    """All jobs of a new encode."""
    lead, *rest = chunks(plan, chunk_s)
    whole = Chunk(0, plan.segment_count)
    # A job encodes one codec: devices differ in what they can do, and few can do all.
    own = plan.lowest.codec  # the one that every player has
    names = tuple(row.name for row in plan.encoded if row.codec == own)
    newer = [tuple(r.name for r in plan.encoded if r.codec == codec) for codec in plan.codecs if codec != own]
    drafts = [JobDraft(COPY, Rank.COPY, whole, (row.name,)) for row in plan.copied]
    # A copied rung that all can show makes the film watchable at once: then the first chunk need not be decoded twice.
    is_opened = any(row.codec == own for row in plan.copied)
    first, others = (names, ()) if is_opened else (names[-1:], names[:-1])
    if first:
        drafts.append(JobDraft(ENCODE, Rank.LEAD, lead, first))
    drafts += _sound_jobs(plan, whole)
    drafts.append(JobDraft(POSTER, Rank.POSTER, whole, ()))
    if others:
        drafts.append(JobDraft(ENCODE, Rank.FIRST, lead, others))
    if names:
        drafts += [JobDraft(ENCODE, Rank.BULK, chunk, names) for chunk in rest]
    drafts += [JobDraft(ENCODE, Rank.NEWER_CODEC, chunk, them) for them in newer for chunk in (lead, *rest)]
    return tuple(drafts)


def draft_again(plan: EncodePlan, chunk_s: float, names: Collection[str]) -> tuple[JobDraft, ...]:
    """Jobs for these renditions of a film that plays already in another encode: nobody waits for its beginning."""
    whole, pieces = Chunk(0, plan.segment_count), chunks(plan, chunk_s)
    drafts = [JobDraft(COPY, Rank.COPY, whole, (row.name,)) for row in plan.copied if row.name in names]
    drafts += [JobDraft(AUDIO, Rank.SOUND, whole, (row.name,)) for row in plan.audio if row.name in names]
    for position, codec in enumerate(plan.codecs):
        rungs = tuple(row.name for row in plan.encoded if row.codec == codec and row.name in names)
        rank = Rank.NEWER_CODEC if position else Rank.BULK
        drafts += [JobDraft(ENCODE, rank, chunk, rungs) for chunk in pieces if rungs]
    return tuple(drafts)


def draft_parts(plan: EncodePlan, chunk_s: float, cells: Collection[tuple[str, int]]) -> tuple[JobDraft, ...]:
    """Jobs for single segments, as (rendition, index), of a film that plays. Sound and copies are made in one piece."""
    drafts = draft_again(plan, chunk_s, {name for name, _ in cells})
    return tuple(
        part for draft in drafts for part in (_runs(draft, cells) if draft.kind == ENCODE else [draft])
    )


def _runs(draft: JobDraft, cells: Collection[tuple[str, int]]) -> Iterator[JobDraft]:
    """What of a draft's rectangle is among the cells, as rectangles."""
    for names, run in groupby(draft.chunk, lambda n: tuple(r for r in draft.renditions if (r, n) in cells)):
        first, *rest = run
        if names:
            yield replace(draft, chunk=Chunk(first, first + len(rest) + 1), renditions=names)


def _sound_jobs(plan: EncodePlan, whole: Chunk) -> list[JobDraft]:
    """Sound is made whole, one track at one rate a job. Without picture the lowest rate makes the film playable."""
    if plan.video:
        return [JobDraft(AUDIO, Rank.SOUND, whole, (row.name,)) for row in plan.audio]
    first = [JobDraft(AUDIO, Rank.SOUND, whole, (row.name,)) for row in (plan.lowest, *plan.tracks)]
    return first + [JobDraft(AUDIO, Rank.RATES, whole, (row.name,)) for row in plan.rungs[:-1]]


def split_for_demand(chunk: Chunk, names: tuple[str, ...], segment: int) -> tuple[JobDraft, ...]:
    """What an encode job `chunk` x `names` becomes when a viewer waits for `segment` inside it: [segment, end)
    goes first, its lowest rung before the others. The part before `segment` stays the old job's.
    """
    tail = Chunk(segment, chunk.end)
    drafts = [JobDraft(ENCODE, Rank.DEMAND, tail, names[-1:])]
    if names[:-1]:
        drafts.append(JobDraft(ENCODE, Rank.DEMAND_REST, tail, names[:-1]))
    return tuple(drafts)
