"""When the source itself may be the top rung."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from encoder.ladder import LADDER
from encoder.model import KeyFrames, Source
from encoder.plan import make_plan
from encoder.remux import cut_length, judge
from jobs.layout import COPY, ENCODE, draft_jobs
from tests.factories import make_source
from vlog_app.blueprints.admin.decisions import NOT_COPIED, explain

TOP = LADDER[2]
WANTED = 150  # 6 s of 25 frames
FRAMES = 1500


def keys_every(step: int, *, group_bytes: int = 100_000) -> KeyFrames:
    frames = tuple(range(0, FRAMES, step))
    return KeyFrames(frames, tuple(group_bytes for _ in frames), is_closed=True)


def fit_source(**changes: Any) -> Source:
    """60 s of 1080p at 25 frames a second, a key frame every two seconds, far below 5 Mb/s."""
    source = replace(make_source(), profile="High", level=40, keyframes=keys_every(50))
    return replace(source, **changes)


def test_a_fit_source_is_copied_and_keeps_the_wanted_segment_length() -> None:
    verdict = judge(fit_source(), TOP, WANTED)
    assert (verdict.reasons, verdict.segment_frames) == ((), WANTED)


UNFIT: dict[str, dict[str, Any]] = {
    "codec": {"video_codec": "hevc"},
    "no_frame_table": {"keyframes": None},
    "profile": {"profile": "High 4:2:2"},
    "pixel_format": {"pix_fmt": "yuv420p10le", "bit_depth": 10},
    "level": {"level": 62},
    "interlaced": {"is_interlaced": True},
    "rotated": {"rotation": 90},
    "pixel_shape": {"sar": Fraction(4, 3)},
    "variable_frame_rate": {"is_vfr": True},
    "hdr": {"color_transfer": "smpte2084"},
    "colours": {"color_space": "smpte170m"},
    "late_start": {"start_time_s": 0.5},
    "open_gop": {"keyframes": replace(keys_every(50), is_closed=False)},
    "size": {"coded_width": 1440},
    "irregular_keyframes": {"keyframes": KeyFrames((0, 333, 700), (9, 9, 9), is_closed=True)},
    "bitrate": {"keyframes": keys_every(50, group_bytes=1_400_000)},
    "peak_bitrate": {
        "keyframes": replace(keys_every(50), group_bytes=(8_000_000, *keys_every(50).group_bytes[1:]))
    },
}


@pytest.mark.parametrize("reason", UNFIT)
def test_each_rule_says_no_with_its_code(reason: str) -> None:
    assert judge(fit_source(**UNFIT[reason]), TOP, WANTED).reasons == (reason,)


def test_a_source_above_the_ladder_is_not_copied() -> None:
    huge = fit_source(width=7680, height=4320, coded_width=7680, coded_height=4320)
    assert set(judge(huge, LADDER[0], WANTED).reasons) == {"too_large", "size"}


@pytest.mark.parametrize(
    ("step", "length"),
    [(50, 150), (25, 150), (150, 150), (48, 144), (60, 120), (100, 100), (250, 250), (1, 150), (260, None)],
)
def test_segments_follow_the_key_frames_when_they_are_near_enough(step: int, length: int | None) -> None:
    assert cut_length(keys_every(step), FRAMES, WANTED) == length


def test_the_plan_of_a_fit_source_copies_its_top_rung_only() -> None:
    plan = make_plan(fit_source())
    assert [row.name for row in plan.copied] == ["1080p"]
    assert [row.name for row in plan.encoded] == ["720p", "480p", "360p"]
    assert plan.notes == ("copied",)


def test_no_encode_job_makes_the_copied_rung() -> None:
    drafts = draft_jobs(make_plan(fit_source()), 60)
    assert [draft.renditions for draft in drafts if draft.kind == COPY] == [("1080p",)]
    assert not any("1080p" in draft.renditions for draft in drafts if draft.kind == ENCODE)


def test_a_fit_source_on_the_lowest_rung_needs_no_encode_at_all() -> None:
    small = fit_source(width=640, height=360, coded_width=640, coded_height=360)
    small = replace(small, keyframes=keys_every(50, group_bytes=50_000))
    kinds = {draft.kind for draft in draft_jobs(make_plan(small), 60)}
    assert kinds == {COPY, "audio", "poster"}


def test_sound_longer_than_the_picture_is_a_reason_to_encode() -> None:
    source = fit_source()
    longer = replace(source, audio=(replace(source.audio[0], duration_s=90.0),))
    assert make_plan(longer).notes == ("not_copied:longer_sound",)


def test_every_reason_has_words_for_the_owner() -> None:
    codes = set(UNFIT) | {"damaged", "too_large", "longer_sound", "codec_not_wanted"}
    assert codes == set(NOT_COPIED)


def test_the_owner_is_told_why() -> None:
    assert explain(make_plan(fit_source())).startswith("1080p is the source itself, copied")
    words = explain(make_plan(fit_source(rotation=90, sar=Fraction(4, 3))))
    assert words.endswith("since it is stored turned and its pixels are not square.")
