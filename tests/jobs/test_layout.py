"""How the grid of one encode is cut into jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder.model import Chunk
from encoder.plan import make_plan
from jobs.layout import (
    ENCODE,
    ESSENTIAL,
    JobDraft,
    Rank,
    draft_again,
    draft_jobs,
    draft_parts,
    split_for_demand,
)
from jobs.worker import SLOTS
from tests.factories import make_recording, make_source


def cells(drafts: Iterable[JobDraft]) -> Counter[tuple[str, int]]:
    return Counter((name, index) for draft in drafts for name in draft.renditions for index in draft.chunk)


@given(
    seconds=st.floats(0.5, 3 * 3600),
    width=st.integers(64, 4096),
    height=st.integers(64, 4096),
    has_audio=st.booleans(),
    chunk_s=st.sampled_from([0, 1, 30, 60, 600]),
)
def test_jobs_cover_every_cell_once(
    seconds: float, width: int, height: int, has_audio: bool, chunk_s: float
) -> None:
    plan = make_plan(make_source(seconds=seconds, width=width, height=height, has_audio=has_audio))
    drafts = draft_jobs(plan, chunk_s)
    found = cells(draft for draft in drafts if draft.kind in ESSENTIAL)
    wanted = {(row.name, index) for row in plan.renditions for index in range(plan.segment_count)}
    assert set(found) == wanted
    assert set(found.values()) == {1}


@given(seconds=st.floats(0.5, 3 * 3600), channels=st.integers(1, 8), tracks=st.integers(1, 10))
def test_jobs_of_sound_alone_cover_every_cell_once_and_the_lowest_rate_is_first(
    seconds: float, channels: int, tracks: int
) -> None:
    plan = make_plan(make_recording(seconds=seconds, channels=channels, tracks=tracks))
    drafts = draft_jobs(plan, 60)
    found = cells(drafts)
    assert set(found) == {(row.name, index) for row in plan.renditions for index in range(plan.segment_count)}
    assert set(found.values()) == {1}
    first = min((draft for draft in drafts if draft.kind in ESSENTIAL), key=lambda draft: draft.rank)
    assert first.renditions == (plan.lowest.name,)


def test_the_lowest_rung_of_the_first_chunk_comes_first() -> None:
    first = min(
        (draft for draft in draft_jobs(make_plan(make_source()), 60) if draft.kind == ENCODE),
        key=lambda draft: draft.rank,
    )
    assert (first.rank, first.renditions, first.chunk) == (Rank.LEAD, ("360p",), Chunk(0, 2))


@pytest.mark.parametrize("names", [("360p",), ("720p", "480p", "360p")])
@pytest.mark.parametrize(("first", "end", "segment"), [(2, 10, 2), (2, 10, 5), (2, 10, 9), (0, 1, 0)])
def test_a_cut_for_a_viewer_covers_the_rest_of_the_job_once(
    names: tuple[str, ...], first: int, end: int, segment: int
) -> None:
    drafts = split_for_demand(Chunk(first, end), names, segment)
    found = cells(drafts)
    assert set(found) == {(name, index) for name in names for index in range(segment, end)}
    assert set(found.values()) == {1}
    assert (drafts[0].rank, drafts[0].renditions) == (Rank.DEMAND, names[-1:])


def test_every_job_of_sound_alone_is_taken_by_some_slot() -> None:
    drafts = draft_jobs(make_plan(make_recording(tracks=1)), 60)
    for draft in drafts:
        assert any(
            draft.kind in slot.kinds and slot.min_rank <= draft.rank <= slot.max_rank for slot in SLOTS
        )


@pytest.mark.parametrize("names", [{"1080p", "720p", "480p", "360p", "audio"}, {"480p"}, {"audio"}])
def test_encoding_again_covers_what_was_chosen_once_and_no_more(names: set[str]) -> None:
    plan = make_plan(make_source(seconds=300))
    drafts = draft_again(plan, 60, names)
    found = cells(drafts)
    assert set(found) == {(name, index) for name in names for index in range(plan.segment_count)}
    assert set(found.values()) == {1}
    assert {draft.rank for draft in drafts} <= {Rank.BULK, Rank.SOUND}, "nobody waits for it"
    for draft in drafts:
        assert any(
            draft.kind in slot.kinds and slot.min_rank <= draft.rank <= slot.max_rank for slot in SLOTS
        )


@given(
    st.sets(st.tuples(st.sampled_from(["1080p", "480p", "audio"]), st.integers(0, 9))),
    st.sampled_from([0, 12, 60]),
)
def test_jobs_for_single_segments_make_each_of_them_once_and_no_other_picture(
    wanted: set[tuple[str, int]], chunk_s: float
) -> None:
    plan = make_plan(make_source(seconds=60))
    drafts = draft_parts(plan, chunk_s, wanted)
    pictures = cells(draft for draft in drafts if draft.kind == ENCODE)
    assert pictures == Counter(cell for cell in wanted if cell[0] != "audio")
    sound = [draft.chunk for draft in drafts if draft.kind != ENCODE]
    assert sound == ([Chunk(0, 10)] if any(name == "audio" for name, _ in wanted) else [])


def test_rungs_that_lack_the_same_segments_share_a_decode() -> None:
    wanted = {(name, index) for name in ("720p", "360p") for index in (3, 4)} | {("360p", 5)}
    parts = [(draft.renditions, draft.chunk) for draft in draft_parts(make_plan(make_source()), 60, wanted)]
    assert parts == [(("720p", "360p"), Chunk(3, 5)), (("360p",), Chunk(5, 6))]
