"""Devices as values: what a failure means, who makes a chunk, what is tried next, who rests, which rungs meet."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import pytest

from encoder.choice import (
    FALLBACK,
    FIRST_REST_S,
    LONGEST_REST_S,
    Choice,
    Footage,
    Rest,
    Way,
    after_failure,
    choose,
)
from encoder.device import CPU, FAILURE_WORDS, Device, DeviceKind, Encoder, Verdict, classify_failure
from encoder.model import Colour, EncodePlan
from encoder.plan import make_plan
from tests.factories import make_source

ALL_DECODERS = ("h264", "hevc", "hevc10", "av1", "vp9")
H264_NVENC = Encoder("h264", "h264_nvenc", "cq_bref")
CARD = Device(
    DeviceKind.NVIDIA, 0, "/dev/nvidia0", "NVIDIA L4", "570", (H264_NVENC,), ALL_DECODERS, max_sessions=None
)
DECODES_ONLY = replace(CARD, name="NVIDIA H100", encoders=())
VAAPI = Device(
    DeviceKind.VAAPI,
    0,
    "/dev/dri/renderD128",
    "Intel GPU",
    "6.1",
    (Encoder("h264", "h264_vaapi", "qvbr"),),
    ("h264",),
)
QSV = replace(VAAPI, kind=DeviceKind.QSV, encoders=(Encoder("h264", "h264_qsv", "qvbr"),), decoders=())
FILM = Footage("h264", long_side=1920)


@pytest.fixture
def plan() -> EncodePlan:
    return make_plan(make_source(width=3840, height=2160))


def pick(plan: EncodePlan, *devices: Device, footage: Footage | None = FILM, **facts: object) -> Choice:
    return choose((*devices, CPU), plan, plan.video, footage, **facts)  # type: ignore[arg-type]


# --- what a failure means

SAID = [
    ("[h264_nvenc @ 0x5] OpenEncodeSessionEx failed: out of memory (10): (no details)", Verdict.BUSY),
    ("OpenEncodeSessionEx failed: incompatible client key (21): (no details)", Verdict.BUSY),
    ("OpenEncodeSessionEx failed: out of memory (10)\nNo capable devices found", Verdict.BUSY),
    ("cu->cuCtxCreate(&ctx, 0, dev) failed -> CUDA_ERROR_OUT_OF_MEMORY: out of memory", Verdict.BUSY),
    ("Failed to create encode pipeline context: 2 (resource allocation failed).", Verdict.BUSY),
    ("Failed to end picture encode issue: 28 (HW busy now).", Verdict.BUSY),
    (
        "[h264_nvenc @ 0x5] OpenEncodeSessionEx failed: unsupported device (2): (no details)",
        Verdict.UNAVAILABLE,
    ),
    ("[h264_nvenc @ 0x562a49ca0600] Cannot load libcuda.so.1", Verdict.UNAVAILABLE),
    ("[CUDA @ 0x56] Could not dynamically load CUDA\nDevice creation failed: -1.", Verdict.UNAVAILABLE),
    ("[h264_nvenc @ 0x5] Cannot load libnvidia-encode.so.1", Verdict.UNAVAILABLE),
    (
        "Driver does not support the required nvenc API version. Required: 13.0 Found: 12.0",
        Verdict.UNAVAILABLE,
    ),
    ("The minimum required Nvidia driver for nvenc is 570.0 or newer", Verdict.UNAVAILABLE),
    ("cuInit(0) failed -> CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected", Verdict.UNAVAILABLE),
    ("[h264_nvenc @ 0x5] No capable devices found", Verdict.UNAVAILABLE),
    ("[VAAPI @ 0x55] No VA display found for device /dev/dri/renderD128.", Verdict.UNAVAILABLE),
    ("Failed to initialise VAAPI connection: -1 (unknown libva error).", Verdict.UNAVAILABLE),
    ("Error creating a MFX session: -9.", Verdict.UNAVAILABLE),
    ("B frames as references are not supported", Verdict.UNSUPPORTED),
    ("Provided device doesn't support required NVENC features", Verdict.UNSUPPORTED),
    ("Driver does not support QVBR RC mode (supported modes: CQP, CBR, VBR).", Verdict.UNSUPPORTED),
    ("No usable encoding entrypoint found for profile VAProfileHEVCMain (17).", Verdict.UNSUPPORTED),
    ("No support for codec hevc profile 4.\nFailed setup for format vaapi", Verdict.UNSUPPORTED),
    ("Selected ratecontrol mode is unsupported", Verdict.UNSUPPORTED),
    ("Impossible to convert between the formats supported by the filter 'graph'", Verdict.UNSUPPORTED),
    ("[h264 @ 0x5] No decoder surfaces left", Verdict.UNSUPPORTED),
    ("Invalid data found when processing input", Verdict.UNKNOWN),
    ("No space left on device", Verdict.UNKNOWN),
    ("", Verdict.UNKNOWN),
]


@pytest.mark.parametrize(("stderr", "verdict"), SAID)
def test_the_words_of_a_failed_ffmpeg_say_what_is_wrong_with_the_device(
    stderr: str, verdict: Verdict
) -> None:
    assert classify_failure(stderr) is verdict


def test_every_word_that_is_looked_for_can_be_found() -> None:
    words = [word for _verdict, group in FAILURE_WORDS for word in group]
    assert all(word == word.lower() for word in words)
    assert len(words) == len(set(words))


def test_only_a_broken_device_is_held_against_it() -> None:
    assert [each for each in Verdict if each.counts_against_device] == [Verdict.UNAVAILABLE, Verdict.UNKNOWN]


# --- who makes a chunk


def test_a_device_that_can_do_all_of_it_does(plan: EncodePlan) -> None:
    assert pick(plan, CARD) == Choice(Way.DEVICE, CARD, H264_NVENC, "whole_chain")


def test_without_devices_the_cpu_works(plan: EncodePlan) -> None:
    assert pick(plan) == Choice(Way.CPU, CPU, CPU.encoders[0], "no_device")


@pytest.mark.parametrize(
    ("footage", "reason"),
    [
        (None, "facts_unknown"),
        (replace(FILM, is_rotated=True), "rotated"),
        (replace(FILM, codec="prores"), "codec"),
        (replace(FILM, bit_depth=10), "codec"),  # no card decodes ten-bit H.264
        (replace(FILM, codec="hevc", bit_depth=12), "codec"),
        (replace(FILM, is_420=False), "codec"),
        (replace(FILM, long_side=7680), "size"),
    ],
)
def test_what_a_card_cannot_decode_the_cpu_decodes_for_it(
    plan: EncodePlan, footage: Footage | None, reason: str
) -> None:
    choice = pick(plan, CARD, footage=footage)
    assert (choice.way, choice.reason) == (Way.DEVICE_ENCODE, f"decoded_by_cpu:{reason}")


def test_ten_bit_hevc_has_a_test_of_its_own(plan: EncodePlan) -> None:
    deep = replace(FILM, codec="hevc", bit_depth=10)
    assert pick(plan, CARD, footage=deep).way is Way.DEVICE
    assert pick(plan, replace(CARD, decoders=("hevc",)), footage=deep).way is Way.DEVICE_ENCODE


def test_colours_are_changed_by_the_cpu(plan: EncodePlan) -> None:
    hdr = replace(plan, colour=Colour(hdr="smpte2084", primaries="bt2020", matrix="bt2020nc"))
    assert pick(hdr, CARD).reason == "decoded_by_cpu:colours"


def test_an_interlaced_film_stays_on_the_card_that_has_the_same_filter(plan: EncodePlan) -> None:
    interlaced = replace(plan, deinterlace=True)
    assert pick(interlaced, CARD).way is Way.DEVICE
    assert pick(interlaced, VAAPI).reason == "decoded_by_cpu:interlaced"


def test_a_card_without_encoders_decodes_for_the_cpu(plan: EncodePlan) -> None:
    choice = pick(plan, DECODES_ONLY)
    assert choice == Choice(
        Way.DEVICE_DECODE, DECODES_ONLY, CPU.encoders[0], "encoded_by_cpu:codec_not_on_device"
    )


def test_a_card_that_can_do_nothing_for_this_film_is_left_alone(plan: EncodePlan) -> None:
    choice = pick(plan, DECODES_ONLY, footage=replace(FILM, is_rotated=True))
    assert (choice.way, choice.reason) == (Way.CPU, "codec_not_on_device")


@pytest.mark.parametrize(("load", "way"), [(4, Way.DEVICE), (5, Way.DEVICE_DECODE), (8, Way.DEVICE_DECODE)])
def test_a_card_is_never_asked_for_more_sessions_than_it_has(load: int, way: Way) -> None:
    plan = make_plan(make_source(width=1920, height=1080))
    assert len(plan.video) == 4
    card = replace(CARD, max_sessions=8)
    assert pick(plan, card, load={card.id: load}).way is way


def test_of_two_equal_cards_the_one_with_less_to_do_works(plan: EncodePlan) -> None:
    second = replace(CARD, index=1)
    assert pick(plan, CARD, second, load={CARD.id: 4}).device == second
    assert pick(plan, CARD, second, load={CARD.id: 4, second.id: 4}).device == CARD


def test_a_card_that_encodes_comes_before_one_that_only_decodes(plan: EncodePlan) -> None:
    assert pick(plan, DECODES_ONLY, replace(CARD, index=1), footage=None).device.index == 1
    assert pick(plan, DECODES_ONLY, VAAPI).device == VAAPI


def test_a_resting_card_is_passed_over(plan: EncodePlan) -> None:
    assert pick(plan, CARD, VAAPI, resting=frozenset({CARD.id})).device == VAAPI
    assert pick(plan, CARD, resting=frozenset({CARD.id})) == Choice(
        Way.CPU, CPU, CPU.encoders[0], "device_rests"
    )


def test_of_two_doors_to_one_chip_the_one_that_aims_at_quality_is_taken(plan: EncodePlan) -> None:
    assert pick(plan, VAAPI, QSV).device == VAAPI
    spends_all = replace(VAAPI, encoders=(Encoder("h264", "h264_vaapi", "vbr_lp"),))
    assert pick(plan, spends_all, QSV).device == QSV


def test_an_encoder_that_cannot_keep_the_rate_is_not_used(plan: EncodePlan) -> None:
    uncapped = replace(VAAPI, encoders=(Encoder("h264", "h264_vaapi", "cqp"),))
    assert (pick(plan, uncapped).way, pick(plan, uncapped).reason) == (Way.CPU, "no_rate_cap")


@pytest.mark.parametrize(("width", "height"), [(320, 144), (2160, 5000)])
def test_sizes_no_encoder_takes_are_made_by_the_cpu(width: int, height: int) -> None:
    plan = make_plan(make_source(width=width, height=height))
    assert pick(plan, replace(CARD, decoders=())).reason == "size_not_on_device"


def test_the_facts_of_a_source_decide_what_decodes_it() -> None:
    source = replace(make_source(), rotation=90, pix_fmt="yuv420p10le", bit_depth=10, video_codec="hevc")
    assert Footage.of(source) == Footage("hevc", bit_depth=10, is_rotated=True, long_side=1920)
    assert not Footage.of(replace(source, pix_fmt="yuv422p10le")).is_420
    assert not Footage.of(replace(source, rotation=360)).is_rotated


# --- what is tried next


@pytest.mark.parametrize(
    ("way", "verdict", "expected"),
    [
        (Way.DEVICE, Verdict.UNSUPPORTED, Way.DEVICE_ENCODE),
        (Way.DEVICE, Verdict.UNKNOWN, Way.DEVICE_ENCODE),
        (Way.DEVICE, Verdict.BUSY, Way.CPU),
        (Way.DEVICE, Verdict.UNAVAILABLE, Way.CPU),
        (Way.DEVICE_ENCODE, Verdict.UNSUPPORTED, Way.CPU),
        (Way.DEVICE_ENCODE, Verdict.BUSY, Way.CPU),
        (Way.DEVICE_DECODE, Verdict.UNKNOWN, Way.CPU),
    ],
)
def test_a_failed_way_leads_to_the_next(way: Way, verdict: Verdict, expected: Way) -> None:
    following = after_failure(Choice(way, CARD, H264_NVENC, "whole_chain"), verdict)
    assert following is not None
    assert (following.way, following.reason) == (expected, f"after_{way.value}:{verdict.value}")
    assert following.device == (CPU if expected is Way.CPU else CARD)


@pytest.mark.parametrize("verdict", list(Verdict))
def test_after_the_cpu_there_is_nothing_left(verdict: Verdict) -> None:
    assert after_failure(Choice(Way.CPU, CPU, CPU.encoders[0], "no_device"), verdict) is None


@pytest.mark.parametrize("verdict", list(Verdict))
@pytest.mark.parametrize("way", list(Way))
def test_every_fall_ends(way: Way, verdict: Verdict) -> None:
    choice: Choice | None = Choice(way, CARD, H264_NVENC, "")
    ways = []
    while choice:
        ways.append(choice.way)
        choice = after_failure(choice, verdict)
    assert ways[-1] is Way.CPU
    assert len(ways) == len(set(ways)) <= 1 + len(FALLBACK[way])


# --- who rests


def test_a_device_rests_after_the_third_failure_in_a_row() -> None:
    rest = Rest()
    for _ in range(2):
        rest = rest.failed(Verdict.UNKNOWN, 100)
        assert rest.is_over(100)
    rest = rest.failed(Verdict.UNKNOWN, 100)
    assert (rest.is_over(100), rest.is_over(100 + FIRST_REST_S)) == (False, True)


def test_each_rest_is_twice_as_long_up_to_an_hour() -> None:
    rest, lengths = Rest(), []
    for _ in range(12):
        rest = rest.failed(Verdict.UNAVAILABLE, 0)
        lengths.append(rest.until_s)
    assert lengths[2:6] == [60, 120, 240, 480]
    assert lengths[-1] == LONGEST_REST_S


def test_one_success_clears_the_slate() -> None:
    rest = Rest(failures=5, until_s=900)
    assert rest.worked() == Rest()


@pytest.mark.parametrize("verdict", [Verdict.BUSY, Verdict.UNSUPPORTED])
def test_what_is_not_its_fault_sends_no_device_to_rest(verdict: Verdict) -> None:
    rest = Rest()
    for _ in range(10):
        rest = rest.failed(verdict, 0)
    assert rest == Rest()


# --- kept as JSON


@pytest.mark.parametrize("device", [CPU, CARD, DECODES_ONLY, VAAPI, replace(CARD, max_sessions=3)])
def test_a_device_survives_being_written_down(device: Device) -> None:
    assert Device.from_json(json.loads(json.dumps(device.to_json()))) == device


def test_devices_have_names_that_differ() -> None:
    ids = [each.id for each in (CPU, CARD, replace(CARD, index=1), VAAPI, QSV)]
    assert ids == ["cpu", "nvidia:0", "nvidia:1", "vaapi:0", "qsv:0"]


def test_the_grid_does_not_ask_who_works(plan: EncodePlan) -> None:
    assert plan.fps == Fraction(25)
    assert "nvidia" not in json.dumps(plan.to_json())
