"""Renditions of one plan beside those of another: only on the same grid."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from encoder.model import EncodePlan
from encoder.plan import Output, make_plan
from encoder.takeover import difference, with_taken
from tests.factories import make_recording, make_source

OLD = make_plan(make_source())


def test_the_same_plan_joins_itself_and_better_pictures() -> None:
    assert difference(OLD, OLD) == ""
    assert difference(OLD, make_plan(make_source(), preset="slow")) == ""
    recording = make_plan(make_recording())
    assert difference(recording, recording) == ""


@pytest.mark.parametrize(
    ("new", "why"),
    [
        (make_plan(make_source(), output=Output("cmaf")), "streaming format"),
        (make_plan(make_source(), segment_s=4), "another length"),
        (make_plan(make_source(width=1280, height=720)), "other rungs"),
        (replace(OLD, total_frames=OLD.total_frames - 1), "other times"),
        (replace(OLD, fps=Fraction(30)), "other times"),
        (replace(OLD, shift_s=0.04), "other times"),
        (replace(OLD, colour=replace(OLD.colour, full_range=True)), "colours"),
    ],
)
def test_what_keeps_two_apart_is_named(new: EncodePlan, why: str) -> None:
    assert why in difference(OLD, new)


def test_another_codec_means_other_rungs() -> None:
    cmaf = make_plan(make_source(), output=Output("cmaf"))
    hevc = make_plan(make_source(), output=Output("cmaf", "hevc"))
    assert "another codec" in difference(cmaf, hevc)


def test_what_is_taken_stays_as_the_old_plan_has_it() -> None:
    new = make_plan(make_source(), preset="slow")
    mixed = with_taken(new, OLD, {"1080p", "audio"})
    assert [row.name for row in mixed.renditions] == [row.name for row in new.renditions]
    assert mixed.rendition("1080p") == OLD.rendition("1080p")
    assert mixed.rendition("720p") == new.rendition("720p") != OLD.rendition("720p")


def test_why_the_top_rung_is_as_it_is_goes_with_it() -> None:
    old, new = replace(OLD, notes=("copied",)), replace(OLD, notes=("not_copied:codec",))
    assert with_taken(new, old, {"1080p"}).notes == ("copied",)
    assert with_taken(new, old, {"720p"}).notes == ("not_copied:codec",)
