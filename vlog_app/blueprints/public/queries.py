"""Reads for the public pages: one function a page, rows shaped for the template."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, or_, select

from encoder.model import Source

from ...extensions import db
from ...models import Encode, Rendition, Video
from ...services.grid import Grid, whole_percent
from ...services.grid_reading import read_grid
from . import links

PAGE_SIZE = 24
RELATED = 8
CARD_TICKS = 8
LISTED_STATES = ("viewable", "ready")


@dataclass(frozen=True, slots=True)
class Card:
    """One video in a grid or list."""

    title: str
    slug: str
    description: str
    duration_s: float
    published_at: datetime
    poster_url: str | None
    is_sound: bool  # nothing to see but its poster
    top_rung: str | None
    still_encoding: str | None
    ticks: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class HomePage:
    lead: Card | None
    cards: tuple[Card, ...]
    page: int
    has_older: bool
    is_preparing: bool


@dataclass(frozen=True, slots=True)
class Captions:
    src: str
    srclang: str
    label: str


@dataclass(frozen=True, slots=True)
class PlayerView:
    """What the player partial needs."""

    slug: str
    title: str
    master_url: str
    progress_url: str
    poster_url: str | None
    storyboard_url: str | None
    duration_s: float
    status: str
    is_sound: bool = False
    captions: tuple[Captions, ...] = ()


@dataclass(frozen=True, slots=True)
class WatchPage:
    video: Video
    player: PlayerView
    source: Source
    grid: Grid | None
    rungs: tuple[str, ...]

    @property
    def is_playable(self) -> bool:
        """A failed encode may still leave something to watch."""
        if self.video.state in LISTED_STATES:
            return True
        return self.video.state == "failed" and self.grid is not None and self.grid.watchable > 0

    @property
    def is_encoding(self) -> bool:
        return self.video.state in ("pending", "processing", "viewable")


def _is_public(now: datetime) -> ColumnElement[bool]:
    return and_(Video.deleted_at.is_(None), Video.published_at <= now)


def _is_listed(now: datetime) -> ColumnElement[bool]:
    return and_(_is_public(now), Video.state.in_(LISTED_STATES))


def home_page(page: int, now: datetime) -> HomePage:
    """Page 1 leads with the newest; further pages are only a grid. Two queries, three when there is nothing."""
    newest = select(Video).where(_is_listed(now)).order_by(Video.published_at.desc(), Video.id.desc())
    first_page = PAGE_SIZE + 1  # the lead, then a full grid
    offset = 0 if page == 1 else first_page + (page - 2) * PAGE_SIZE
    limit = first_page if page == 1 else PAGE_SIZE
    found = list(db.session.scalars(newest.offset(offset).limit(limit + 1)))
    cards = _cards(found[:limit])
    lead = cards[0] if page == 1 and cards else None
    return HomePage(
        lead=lead,
        cards=tuple(cards[1:] if lead else cards),
        page=page,
        has_older=len(found) > limit,
        is_preparing=not cards and _anything_preparing(now),
    )


def watch_page(slug: str, now: datetime) -> WatchPage | None:
    """None for what is unknown, hidden, not published yet or deleted: all look the same from outside."""
    video = db.session.scalars(select(Video).where(Video.slug == slug, _is_public(now))).one_or_none()
    if video is None:
        return None
    grid = read_grid(video.id, video.generation, now)
    return WatchPage(
        video=video,
        player=_player(video),
        source=Source.from_json(video.source),
        grid=grid,
        rungs=tuple(row.name for row in grid.rungs if row.done) if grid else (),
    )


def related(video_id: int, now: datetime) -> list[Card]:
    query = select(Video).where(_is_listed(now), Video.id != video_id)
    return _cards(list(db.session.scalars(query.order_by(Video.published_at.desc()).limit(RELATED))))


def _player(video: Video) -> PlayerView:
    status = "processing" if video.state == "pending" else video.state
    return PlayerView(
        slug=video.slug,
        title=video.title,
        master_url=links.master_url(video),
        progress_url=links.progress_url(video),
        poster_url=links.poster_url(video),
        storyboard_url=links.storyboard_url(video),
        duration_s=video.duration_s,
        status=status,
        is_sound=_is_sound(video),
    )


def _is_sound(video: Video) -> bool:
    return video.width == 0


def _anything_preparing(now: datetime) -> bool:
    query = select(func.count(Video.id)).where(
        _is_public(now), or_(Video.state == "pending", Video.state == "processing")
    )
    return bool(db.session.scalar(query))


def _cards(videos: list[Video]) -> list[Card]:
    rungs = _rungs([video.id for video in videos])
    return [_card(video, rungs.get(video.id, [])) for video in videos]


def _rungs(video_ids: list[int]) -> dict[int, list[Rendition]]:
    """Rungs of the generation viewers get, highest first."""
    query = (
        select(Video.id, Rendition)
        .join(Encode, and_(Encode.video_id == Video.id, Encode.generation == Video.generation))
        .join(Rendition, Rendition.encode_id == Encode.id)
        .where(Video.id.in_(video_ids), Rendition.is_rung)
        .order_by(Rendition.position)
    )
    rungs: dict[int, list[Rendition]] = {}
    for video_id, rendition in db.session.execute(query):
        rungs.setdefault(video_id, []).append(rendition)
    return rungs


def _card(video: Video, rungs: list[Rendition]) -> Card:
    unfinished = [rung for rung in rungs if rung.done_segments < rung.planned_segments]
    is_whole = video.state == "ready" or not unfinished
    weights = [max(1, rung.width * rung.height) for rung in rungs]
    done = sum(rung.done_segments * weight for rung, weight in zip(rungs, weights, strict=True))
    planned = sum(rung.planned_segments * weight for rung, weight in zip(rungs, weights, strict=True))
    return Card(
        title=video.title,
        slug=video.slug,
        description=video.description,
        duration_s=video.duration_s,
        published_at=video.published_at or video.created_at,
        poster_url=links.poster_url(video),
        is_sound=_is_sound(video),
        top_rung=next((rung.name for rung in rungs if rung.done_segments), None),
        still_encoding=None if is_whole else unfinished[0].name,
        ticks=() if is_whole else _ticks(whole_percent(done, planned)),
    )


def _ticks(percent: int) -> tuple[str | None, ...]:
    """Eight ticks: done, the one that moves, still to come."""
    done = min(CARD_TICKS - 1, percent * CARD_TICKS // 100)
    return ("done",) * done + ("moving",) + (None,) * (CARD_TICKS - done - 1)
