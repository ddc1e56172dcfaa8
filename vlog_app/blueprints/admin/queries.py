"""Reads for the owner's pages: one function a page, rows shaped for the template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVarTuple

from sqlalchemy import ColumnElement, Select, and_, case, func, not_, or_, select
from sqlalchemy.orm import aliased

from encoder.model import EncodePlan, Source
from jobs.layout import Priority

from ...extensions import db
from ...formats import time_left
from ...models import Attempt, Encode, Event, Job, Rendition, Video
from ...services.control import UNFINISHED
from ...services.encodes import UNTOUCHED
from ...services.generations import AT_WORK, current_encodes
from ...services.grid import Grid
from ...services.grid_reading import read_grid
from ..public import links
from .decisions import describe, explain

PAGE_SIZE = 50
EVENTS_SHOWN = 30
RULER_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
FLEETING = ("progress",)  # numbers that moved: nothing to tell

EncodeVerb = Callable[[int], None]
Ts = TypeVarTuple("Ts")
PAUSED_WORDS = "You paused it. Everything finished so far is kept."
MOVING_STATES = ("encoding", "viewable", "publishing")
STOPPED_STATES = ("failed", "cancelled")


@dataclass(frozen=True, slots=True)
class VideoRow:
    """One line of the table. `grid` is read only for what moves."""

    id: int
    title: str
    slug: str
    duration_s: float
    poster_url: str | None
    created_at: datetime
    is_published: bool
    on_disk_bytes: int
    state: str
    words: str
    detail: str
    grid: Grid | None
    can_retry: bool
    priority: str = ""  # of one that is not finished
    is_paused: bool = False
    is_beside: bool = False  # all this is of a new encode, while viewers get the former one

    @property
    def is_live(self) -> bool:
        return self.state in ("moving", "waiting") or self.is_paused


@dataclass(frozen=True, slots=True)
class Tab:
    key: str
    label: str
    count: int


@dataclass(frozen=True, slots=True)
class VideosPage:
    rows: tuple[VideoRow, ...]
    tabs: tuple[Tab, ...]
    tab: str
    search: str
    page: int
    total: int

    @property
    def first(self) -> int:
        return (self.page - 1) * PAGE_SIZE + 1

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1

    @property
    def has_older(self) -> bool:
        return self.last < self.total


@dataclass(frozen=True, slots=True)
class VideoPage:
    video: Video
    row: VideoRow
    source: Source
    grid: Grid | None
    encode: Encode | None
    poster_url: str | None
    storyboard_url: str | None
    events: tuple[Event, ...]
    is_damaged: bool = False  # ffmpeg complained about the source; what it could decode is in

    @property
    def can_cancel(self) -> bool:
        return self.encode is not None and self.encode.state in UNFINISHED

    @property
    def stands(self) -> str:
        """Differs when the buttons do."""
        encode = self.encode
        parts = (encode.generation, encode.state, self.row.is_paused, self.row.priority) if encode else ()
        return "-".join(str(part) for part in (*parts, self.row.is_published))

    @property
    def why(self) -> str:
        """Why the rungs are as they are."""
        return explain(EncodePlan.from_json(self.encode.plan)) if self.encode else ""

    @property
    def found(self) -> str:
        """What is in the uploaded file."""
        return describe(self.source)

    @property
    def ruler_step_s(self) -> int:
        """Time between two marks above the grid: round, and a dozen marks at most."""
        return next((step for step in RULER_STEPS_S if self.video.duration_s / step <= 12), RULER_STEPS_S[-1])


def _has_beside(states: tuple[str, ...]) -> ColumnElement[bool]:
    beside = aliased(Encode)
    later = beside.video_id == Video.id, beside.generation > Video.generation
    return select(beside.id).where(*later, beside.state.in_(states)).correlate(Video).exists()


# The tabs, and which videos each holds. `Encode` is the encode of the generation viewers get.
TABS: dict[str, tuple[str, ColumnElement[bool] | None]] = {
    "all": ("All", None),
    "encoding": ("Encoding", or_(Encode.state.in_(MOVING_STATES), _has_beside(MOVING_STATES))),
    "waiting": ("Waiting", or_(Encode.state == "planned", _has_beside(("planned",)))),
    "look": (
        "Needs a look",
        or_(Encode.state.in_(STOPPED_STATES), Video.state == "failed", _has_beside(("failed",))),
    ),
}


def videos_page(tab: str, search: str, page: int, now: datetime) -> VideosPage:
    total_query = _in_tab(_listed(select(func.count(Video.id)), search), tab)
    query = _in_tab(_listed(select(Video, Encode), search), tab).order_by(
        Video.created_at.desc(), Video.id.desc()
    )
    found = db.session.execute(query.offset((page - 1) * PAGE_SIZE).limit(PAGE_SIZE)).all()
    return VideosPage(
        rows=_rows([video for video, _ in found], now),
        tabs=_tabs(search),
        tab=tab,
        search=search,
        page=page,
        total=db.session.scalar(total_query) or 0,
    )


def video_row(video_id: int, now: datetime) -> VideoRow | None:
    """One line alone, for when only it changed."""
    video = _known(video_id)
    return _rows([video], now)[0] if video else None


def video_page(video_id: int, now: datetime) -> VideoPage | None:
    video = _known(video_id)
    if video is None:
        return None
    encode = _current([video_id]).get(video_id)
    row = _row(video, encode, _sizes([video_id]).get(video_id, (0, 0)), now)
    events = (
        select(Event)
        .where(Event.video_id == video_id, Event.kind.not_in(FLEETING))
        .order_by(Event.id.desc())
        .limit(EVENTS_SHOWN)
    )
    return VideoPage(
        video=video,
        row=row,
        source=Source.from_json(video.source),
        grid=row.grid or read_grid(video.id, _shown_generation(video, encode), now),
        encode=encode,
        poster_url=links.poster_url(video),
        storyboard_url=links.storyboard_url(video),
        events=tuple(db.session.scalars(events)),
        is_damaged=_is_damaged(encode),
    )


def _shown_generation(video: Video, encode: Encode | None) -> int:
    """Of a new encode that failed nothing is left to show."""
    return encode.generation if encode and encode.state in AT_WORK else video.generation


def _known(video_id: int) -> Video | None:
    query = select(Video).where(Video.id == video_id, Video.deleted_at.is_(None))
    return db.session.scalars(query).one_or_none()


def _current(video_ids: list[int]) -> dict[int, Encode]:
    """Video -> the new encode that is made beside what plays, else what plays."""
    found: dict[int, Encode] = {}
    for encode in db.session.scalars(current_encodes().where(Video.id.in_(video_ids))):
        found.setdefault(encode.video_id, encode)
    return found


def _rows(videos: list[Video], now: datetime) -> tuple[VideoRow, ...]:
    ids = [video.id for video in videos]
    encodes, sizes = _current(ids), _sizes(ids)
    return tuple(_row(video, encodes.get(video.id), sizes.get(video.id, (0, 0)), now) for video in videos)


def _is_damaged(encode: Encode | None) -> bool:
    if encode is None:
        return False
    damage = (
        select(func.max(Attempt.damage)).join(Job, Job.id == Attempt.job_id).where(Job.encode_id == encode.id)
    )
    return bool(db.session.scalar(damage))


def _listed(query: Select[*Ts], search: str) -> Select[*Ts]:
    joined = query.select_from(Video).outerjoin(
        Encode, and_(Encode.video_id == Video.id, Encode.generation == Video.generation)
    )
    joined = joined.where(Video.deleted_at.is_(None))
    return joined.where(Video.title.icontains(search, autoescape=True)) if search else joined


def _in_tab(query: Select[*Ts], tab: str) -> Select[*Ts]:
    condition = TABS[tab][1]
    return query if condition is None else query.where(condition)


def _tabs(search: str) -> tuple[Tab, ...]:
    counts: list[ColumnElement[int]] = [func.count(Video.id)]
    counts += [
        func.count(Video.id).filter(condition) for _, condition in TABS.values() if condition is not None
    ]
    found = db.session.execute(_listed(select(*counts), search)).one()
    return tuple(
        Tab(key, label, number) for (key, (label, _)), number in zip(TABS.items(), found, strict=True)
    )


def _sizes(video_ids: list[int]) -> Mapping[int, tuple[int, int]]:
    """Video -> (bytes of all its renditions, rungs that are whole of what viewers get)."""
    is_watched = Encode.generation == Video.generation
    whole = and_(is_watched, Rendition.is_rung, not_(Rendition.done_segments < Rendition.planned_segments))
    # What is taken over is no second file.
    own = case((or_(is_watched, Rendition.taken_from.is_(None)), Rendition.size_bytes), else_=0)
    query = (
        select(
            Encode.video_id,
            func.coalesce(func.sum(own), 0),
            func.count(Rendition.id).filter(whole),
        )
        .join(Rendition, Rendition.encode_id == Encode.id)
        .join(Video, Video.id == Encode.video_id)
        .where(Encode.video_id.in_(video_ids))
        .group_by(Encode.video_id)
    )
    return {video_id: (int(size), rungs) for video_id, size, rungs in db.session.execute(query)}


def _row(video: Video, encode: Encode | None, size: tuple[int, int], now: datetime) -> VideoRow:
    encode_state = encode.state if encode else "planned"
    is_beside = encode is not None and encode.generation != video.generation
    moves = encode is not None and encode_state in MOVING_STATES
    grid = read_grid(video.id, encode.generation, now) if encode and moves else None
    if encode is not None and is_beside:
        state, words, detail = _words_beside(encode, grid)
    else:
        state, words, detail = _state_words(video, encode_state, grid, size[1])
    if encode is not None and encode.paused_at is not None and state in ("moving", "waiting"):
        state, words, detail = "held", "Paused", PAUSED_WORDS
    return VideoRow(
        id=video.id,
        title=video.title,
        slug=video.slug,
        duration_s=video.duration_s,
        poster_url=links.poster_url(video),
        created_at=video.created_at,
        is_published=video.published_at is not None and video.published_at <= now,
        on_disk_bytes=video.source_size_bytes + size[0],
        state=state,
        words=words,
        detail=detail,
        grid=grid,
        can_retry=encode_state in STOPPED_STATES,
        priority=Priority(encode.priority).word if encode and encode.state in UNFINISHED else "",
        is_paused=encode is not None and encode.paused_at is not None and encode_state in UNFINISHED,
        is_beside=is_beside,
    )


def _words_beside(encode: Encode, grid: Grid | None) -> tuple[str, str, str]:
    """Of a new encode, while viewers get the former one."""
    if encode.state == "failed":
        return "failed", "New encode stopped", encode.error_message or UNTOUCHED
    if grid is not None:
        return "moving", f"Ready, encoded again {_so_far(grid)}", ""
    return "waiting", "Ready", "waits to be encoded again"


def _so_far(grid: Grid) -> str:
    left = f", {time_left(grid.eta_s)} left" if grid.eta_s is not None else ""
    return f"{grid.percent}%{left}"


def _state_words(video: Video, encode_state: str, grid: Grid | None, rungs: int) -> tuple[str, str, str]:
    """Shape, word, and what stands beside it."""
    if encode_state == "cancelled":
        return "held", "Cancelled", "What was finished is kept. Carry on whenever you like."
    if video.state == "failed" or encode_state == "failed":
        return "failed", "Stopped", video.error_message or "What was finished is kept."
    if grid is not None:
        return "moving", _so_far(grid), ""
    if encode_state == "planned":
        return "waiting", "Waiting", "for a worker"
    return "done", "Ready", "1 rung" if rungs == 1 else f"{rungs} rungs"
