"""Colours: what is assumed of a source, and the filters that make BT.709 of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from encoder.filters import TAGS, colour_of, first_scale, next_scale
from encoder.model import Colour, EncodePlan, RenditionPlan
from encoder.plan import make_plan
from tests.factories import make_source

ROW = RenditionPlan("360p", "video", 600_000, width=640, height=360)


@pytest.mark.parametrize(
    ("width", "height", "matrix"),
    [
        (720, 576, "smpte170m"),
        (640, 360, "smpte170m"),
        (1280, 534, "bt709"),
        (1280, 720, "bt709"),
        (720, 1280, "bt709"),
    ],
)
def test_an_untagged_source_is_taken_for_what_players_take_it_for(
    width: int, height: int, matrix: str
) -> None:
    source = replace(make_source(), coded_width=width, coded_height=height)
    assert colour_of(source) == Colour(matrix=matrix)


def test_a_tag_is_believed_whatever_the_size() -> None:
    source = replace(make_source(), color_space="bt470bg", coded_height=1080, full_range=True)
    assert colour_of(source) == Colour(matrix="bt470bg", full_range=True)


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_hdr_without_other_tags_is_bt2020(transfer: str) -> None:
    colour = colour_of(replace(make_source(), color_transfer=transfer))
    assert colour == Colour(hdr=transfer, primaries="bt2020", matrix="bt2020nc")


def test_ordinary_colours_cost_no_more_than_a_scaler() -> None:
    assert first_scale(ROW, Colour()) == [
        "scale=640:360:flags=lanczos:out_color_matrix=bt709:out_range=tv:in_color_matrix=bt709:in_range=tv",
        "setsar=1",
        "format=yuv420p",
        TAGS,
    ]


def test_full_range_becomes_limited() -> None:
    assert first_scale(ROW, Colour(full_range=True))[0].endswith("in_color_matrix=bt709:in_range=pc")


def test_rgb_has_no_matrix() -> None:
    assert "in_color_matrix" not in first_scale(ROW, Colour(matrix="gbr"))[0]


def test_hdr_is_scaled_before_it_is_mapped() -> None:
    chain = first_scale(ROW, Colour(hdr="smpte2084", primaries="bt2020", matrix="bt2020nc"))
    assert chain == [
        "zscale=w=640:h=360:f=lanczos:pin=bt2020:tin=smpte2084:min=bt2020nc:rin=tv:t=linear:npl=203",
        "format=gbrpf32le",
        "zscale=p=bt709",
        "tonemap=mobius:desat=0",
        "zscale=t=bt709:m=bt709:r=tv",
        "format=yuv420p",
        "setsar=1",
        TAGS,
    ]


@pytest.mark.parametrize(
    "colour", [Colour(primaries="smpte432"), Colour(matrix="ycgco"), Colour(matrix="ictcp")]
)
def test_colours_that_the_scaler_does_not_know_go_through_zimg(colour: Colour) -> None:
    given = f"pin={colour.primaries}:tin=bt709:min={colour.matrix}:rin=tv"
    assert first_scale(ROW, colour)[0] == f"zscale=w=640:h=360:f=lanczos:{given}:p=bt709:t=bt709:m=bt709:r=tv"


def test_lower_rungs_only_scale() -> None:
    assert next_scale(ROW) == ["zscale=w=640:h=360:f=lanczos", "setsar=1", "format=yuv420p"]


def test_colours_are_frozen_in_the_plan() -> None:
    plan = make_plan(replace(make_source(), color_transfer="smpte2084", full_range=True))
    assert plan.colour.hdr == "smpte2084"
    assert EncodePlan.from_json(plan.to_json()) == plan


def test_a_plan_from_before_colours_were_planned_is_still_read() -> None:
    data = make_plan(make_source()).to_json()
    del data["colour"]
    assert EncodePlan.from_json(data).colour == Colour()
