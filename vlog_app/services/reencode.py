"""Encoding a film again, all of it or some rungs, as a new generation beside the one that plays.

Viewers go on with what they have until the new one is whole and looked into (services.publish). Rungs that are not
chosen are taken over: their rows now, their files by hard link when the new generation is published, so that every
generation has all its files in one folder and can go without a look at the others.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from encoder.errors import SourceUnreadable
from encoder.model import Chunk, EncodePlan, Source
from encoder.probe import probe
from encoder.takeover import difference, with_taken
from jobs.layout import POSTER, JobDraft, Priority, Rank, draft_again
from jobs.states import IllegalMove

from ..config import settings
from ..extensions import db, transaction
from ..models import Encode, Rendition, Video
from ..storage import free_bytes
from .clock import database_now
from .events import EventKind, record
from .generations import AT_WORK, encode_beside, folder_of, live_encode
from .media_files import source_file
from .planning import add_encode, plan_today, queue_drafts
from .playlists import availability_of
from .publish import missing_segments
from .upload_records import let_go_of_the_database

#: What a rung taken over has from its former row.
TAKEN_COLUMNS = (
    *("width", "height", "max_bitrate_bps", "planned_segments", "done_segments", "size_bytes"),
    *("codecs", "peak_bps", "average_bps", "inits", "index"),
)
EVERYTHING_STAYS = "Nothing was changed."


class NotAgain(IllegalMove):
    """The film cannot be encoded again, or not so. `code` is stable; the text is whole sentences that may be shown."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} {EVERYTHING_STAYS}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Choice:
    """What would be made by the settings of today. `only_all`: why rungs of it cannot be chosen one by one."""

    plan: EncodePlan
    only_all: str


def choice_for(video_id: int) -> Choice:
    """Raises NotAgain."""
    source = _look_again(video_id)
    session = db.session()
    _, live = _idle(session, session.get(Video, video_id))
    plan = _plan(source)
    return Choice(plan, _why_only_all(session, live, plan))


def encode_again(
    video_id: int, names: Collection[str] | None = None, priority: Priority = Priority.NORMAL
) -> list[str]:
    """Plan and queue a new generation by the settings of today; returns what it encodes, highest first. `names` None:
    everything. Raises NotAgain. Not to be called inside a transaction: the source is looked at again.
    """
    source = _look_again(video_id)
    with transaction() as session:
        video, live = _idle(session, session.get(Video, video_id, with_for_update=True))
        plan = _plan(source)
        wanted = _wanted(plan, names)
        taken = [row.name for row in plan.renditions if row.name not in wanted]
        if taken and (why := _why_only_all(session, live, plan)):
            raise NotAgain("only_all_rungs", f"Single rungs cannot be encoded again: {why} Encode all rungs.")
        _require_whole(session, live, taken)
        _require_room(session, live, taken)
        now = database_now(session)
        _forget_failed(session, video)
        encode = _add(session, video, live, with_taken(plan, EncodePlan.from_json(live.plan), taken), taken)
        encode.priority, encode.rungs = int(priority), wanted if taken else None
        video.source = replace(source, keyframes=None).to_json()
        _queue(session, video, encode, wanted, now)
        record(session, video.id, EventKind.AGAIN, now, generation=encode.generation, renditions=wanted)
        return wanted


def _idle(session: Session, video: Video | None) -> tuple[Video, Encode]:
    """A film that nothing is made for, and its source."""
    live = live_encode(session, video) if video is not None and video.deleted_at is None else None
    if video is None or live is None:
        raise NotAgain("not_found", "There is no such video.")
    if live.state in AT_WORK:
        raise NotAgain(
            "not_possible_now", "The film is being encoded. Cancel that first, or wait for its end."
        )
    beside = encode_beside(session, video)
    if beside is not None and beside.state in AT_WORK:
        raise NotAgain(
            "not_possible_now",
            "The film is being encoded again already. Cancel that first, or wait for its end.",
        )
    if not source_file(video).is_file():
        sentence = (
            "The source file is gone, and a film is encoded from its source. Viewers keep what they have."
        )
        raise NotAgain("source_missing", sentence)
    return video, live


def _look_again(video_id: int) -> Source:
    """What the source is by the probe of today. Its key frames, which say whether it may be copied, are not kept with
    the video. One that cannot be read any more is planned as it was known: its encode says what is wrong with it.
    """
    session = db.session()
    video, _ = _idle(session, session.get(Video, video_id))
    path, known = source_file(video), Source.from_json(video.source)
    let_go_of_the_database()
    try:
        return probe(path)
    except SourceUnreadable:
        return known


def _plan(source: Source) -> EncodePlan:
    try:
        return plan_today(source)
    except SourceUnreadable as error:
        raise NotAgain(error.code, error.public_message) from error


def _wanted(plan: EncodePlan, names: Collection[str] | None) -> list[str]:
    known = [row.name for row in plan.renditions]
    if names is None:
        return known
    if unknown := sorted(set(names) - set(known)):
        raise NotAgain("no_such_rung", f"There is no {', '.join(unknown)}; there are {', '.join(known)}.")
    if not names:
        raise NotAgain("no_rung", "Choose at least one rung.")
    return [name for name in known if name in names]


def _why_only_all(session: Session, live: Encode, plan: EncodePlan) -> str:
    """One sentence when nothing of what plays can be taken over; else empty."""
    if live.state != "done":
        return "the film was never finished, so there is nothing to leave as it is."
    foreign = Rendition.encode_id == live.id, Rendition.origin == "foreign"
    if session.scalar(select(Rendition.id).where(*foreign).limit(1)) is not None:
        return "its rungs were cut elsewhere, with segments of their own lengths, and do not join new ones."
    why = difference(EncodePlan.from_json(live.plan), plan)
    return f"they would not join the others, since {why}." if why else ""


def _require_whole(session: Session, live: Encode, taken: list[str]) -> None:
    if not taken:
        return
    missing = {name for name, _ in missing_segments(availability_of(session, live), folder_of(session, live))}
    if broken := [name for name in taken if name in missing]:
        sentence = (
            f"Parts of {', '.join(broken)} have gone from the disk. Choose it too, or check the files first."
        )
        raise NotAgain("rungs_are_broken", sentence)


def _require_room(session: Session, live: Encode, taken: list[str]) -> None:
    """About as much as what plays takes now."""
    mine = Rendition.encode_id == live.id, Rendition.name.not_in(taken)
    size = int(session.scalar(select(func.coalesce(func.sum(Rendition.size_bytes), 0)).where(*mine)) or 0)
    free = max(0, free_bytes(settings().storage_path) - settings().storage_reserve_bytes)
    if size > free:
        sentence = (
            f"The new encode takes about {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free. Make room."
        )
        raise NotAgain("storage_low", sentence)


def _forget_failed(session: Session, video: Video) -> None:
    """One that failed before is not spoken of any more."""
    if (failed := encode_beside(session, video)) is not None:
        failed.state = "cancelled"
        session.flush()


def _add(session: Session, video: Video, live: Encode, plan: EncodePlan, taken: list[str]) -> Encode:
    newest = session.scalar(select(func.max(Encode.generation)).where(Encode.video_id == video.id)) or 0
    encode = add_encode(session, video, plan, newest + 1, database_now(session))
    rows = {row.name: row for row in session.scalars(_rows(live))}
    for row in session.scalars(_rows(encode)):
        if row.name in taken:
            row.taken_from = live.generation
            for column in TAKEN_COLUMNS:
                setattr(row, column, getattr(rows[row.name], column))
    return encode


def _rows(encode: Encode) -> Select[Rendition]:
    return select(Rendition).where(Rendition.encode_id == encode.id)


def _queue(session: Session, video: Video, encode: Encode, wanted: list[str], now: datetime) -> None:
    plan = EncodePlan.from_json(encode.plan)
    drafts = draft_again(plan, settings().split_seconds, wanted)
    if not video.poster_version:
        drafts += (JobDraft(POSTER, Rank.POSTER, Chunk(0, plan.segment_count), ()),)
    queue_drafts(session, encode, drafts, now)
