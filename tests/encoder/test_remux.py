"""When the source itself may be the top rung."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from encoder.ladder import LADDER
from encoder.model import Codec, KeyFrames, Source
from encoder.plan import Output, make_plan, without_copy
from encoder.remux import cut_length, judge
from jobs.layout import COPY, ENCODE, Rank, draft_jobs
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


def newer_source(codec: str, **changes: Any) -> Source:
    """The same in a codec that needs less."""
    profile, level = {"hevc": ("Main", 120), "av1": ("Main", 8)}[codec]
    keys = keys_every(50, group_bytes=60_000)
    return fit_source(
        **{"video_codec": codec, "profile": profile, "level": level, "keyframes": keys} | changes
    )


UNFIT: dict[str, dict[str, Any]] = {
    "codec": {"video_codec": "vp9"},
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
    "own_headers": {"keyframes": replace(keys_every(50), has_own_headers=True)},
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


@pytest.mark.parametrize("codec", ["hevc", "av1"])
def test_a_source_in_the_codec_the_owner_prefers_is_copied_beside_an_h264_ladder(codec: Codec) -> None:
    plan = make_plan(newer_source(codec), output=Output(codec=codec))
    assert [(row.name, row.codec) for row in plan.copied] == [(f"1080p-{codec}", codec)]
    assert [row.name for row in plan.encoded] == [
        *("1080p", f"720p-{codec}", "720p", f"480p-{codec}", "480p", f"360p-{codec}", "360p")
    ]
    alone = make_plan(newer_source(codec), output=Output(codec=codec, h264_too=False))
    assert [row.name for row in alone.encoded] == [f"{lines}p-{codec}" for lines in (720, 480, 360)]


@pytest.mark.parametrize("codec", ["hevc", "av1"])
def test_a_newer_codec_is_copied_only_where_films_are_made_in_it(codec: Codec) -> None:
    for output in (Output(), Output(container="cmaf"), Output(codec="hevc" if codec == "av1" else "av1")):
        assert make_plan(newer_source(codec), output=output).notes == ("not_copied:codec",)
    alone = Output(codec=codec, h264_too=False)
    assert make_plan(fit_source(), output=alone).notes == ("not_copied:codec_not_wanted",)


NEWER_UNFIT: dict[str, dict[str, Any]] = {
    "profile": {"profile": "Main 10"},
    "level": {"level": 156},
    "bitrate": {"keyframes": keys_every(50, group_bytes=900_000)},  # fine for H.264
    "hdr": {"color_transfer": "arib-std-b67"},
    "open_gop": {"keyframes": replace(keys_every(50, group_bytes=9), is_closed=False)},
}


@pytest.mark.parametrize("reason", NEWER_UNFIT)
def test_rules_hold_for_newer_codecs_in_their_own_numbers(reason: str) -> None:
    source = newer_source("hevc", **NEWER_UNFIT[reason])
    assert make_plan(source, output=Output(codec="hevc")).notes == (f"not_copied:{reason}",)


def test_what_every_player_has_opens_the_film_beside_a_copy_that_few_have() -> None:
    drafts = draft_jobs(make_plan(newer_source("hevc"), output=Output(codec="hevc")), 60)
    assert [draft.renditions for draft in drafts if draft.rank == Rank.LEAD] == [("360p",)]
    alone = draft_jobs(make_plan(newer_source("hevc"), output=Output(codec="hevc", h264_too=False)), 60)
    assert [d.renditions for d in alone if d.rank == Rank.LEAD] == [("720p-hevc", "480p-hevc", "360p-hevc")]


def test_a_copy_in_a_newer_codec_that_turns_out_damaged_is_encoded_in_it() -> None:
    plan = make_plan(newer_source("hevc"), output=Output(codec="hevc"))
    again = without_copy(plan, preset="veryfast").rendition("1080p-hevc")
    assert (again.is_copy, again.codec, again.max_bitrate_bps) == (False, "hevc", 3_250_000)
    assert again == make_plan(fit_source(), output=Output(codec="hevc")).rendition("1080p-hevc")


def test_every_reason_has_words_for_the_owner() -> None:
    codes = set(UNFIT) | {"damaged", "too_large", "longer_sound", "codec_not_wanted"}
    assert codes == set(NOT_COPIED)


def test_the_owner_is_told_why() -> None:
    assert explain(make_plan(fit_source())).startswith("1080p is the source itself, copied")
    words = explain(make_plan(fit_source(rotation=90, sar=Fraction(4, 3))))
    assert words.endswith("since it is stored turned and its pixels are not square.")
