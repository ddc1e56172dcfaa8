"""Argument lists for devices: one whole list for each way, what holds for all, and that ffmpeg knows every word."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from encoder.choice import PLAIN, Choice, Way
from encoder.command import Work, video_command
from encoder.device import CPU, Device, DeviceKind, Encoder
from encoder.filters import TAGS
from encoder.hardware import ENCODERS, MODES, encoder_options, on_device, scale, upload, video_filters
from encoder.hardware import video_command as device_command
from encoder.limits import AUDIO_CODECS, MAX_PIXELS, VIDEO_CODECS
from encoder.model import Colour, EncodePlan, RenditionPlan
from encoder.plan import make_plan
from encoder.process import Limits, run_to_end
from encoder.rates import BUFFER_S
from tests.factories import make_source
from vlog_app.ffmpeg import bundled_path

SOURCE = Path("/films/-i evil.mp4")
OUT = Path("/scratch")
FENCE = [
    *("-protocol_whitelist", "file"),
    *("-format_whitelist", "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mp3,flac,ogg,wav"),
    *("-codec_whitelist", ",".join(sorted(VIDEO_CODECS | AUDIO_CODECS)), "-max_pixels", str(MAX_PIXELS)),
    *("-i", "file:/films/-i evil.mp4"),
]
NO_TAGS = ["-sn", "-dn", "-map_metadata", "-1", "-map_chapters", "-1"]
NODE = "/dev/dri/renderD128"
WORK = Work({"480p": 2, "360p": 3}, 7)

CARD = Device(DeviceKind.NVIDIA, 1, "/dev/nvidia1")
VAAPI = Device(DeviceKind.VAAPI, 0, NODE)
QSV = Device(DeviceKind.QSV, 0, NODE)
DEVICES = {each.kind: each for each in (CARD, VAAPI, QSV)}

WAYS = [
    Choice(way, DEVICES[kind], Encoder("h264", ENCODERS[kind]["h264"], MODES[kind][0]), "")
    for kind, ways in (
        (DeviceKind.NVIDIA, (Way.DEVICE, Way.DEVICE_ENCODE, Way.DEVICE_DECODE)),
        (DeviceKind.VAAPI, (Way.DEVICE, Way.DEVICE_ENCODE)),
        (DeviceKind.QSV, (Way.DEVICE_ENCODE,)),
    )
    for way in ways
]
IDS = [f"{choice.device.kind.value}-{choice.way.value}" for choice in WAYS]
WHOLE_CARD, CARD_ENCODES, CARD_DECODES, WHOLE_VAAPI, VAAPI_ENCODES, QSV_ENCODES = WAYS
every_way = pytest.mark.parametrize("choice", WAYS, ids=IDS)


@pytest.fixture
def plan() -> EncodePlan:
    """60 s at 25 fps on 480p and 360p: ten segments of 150 frames, colours as they should be."""
    return replace(make_plan(make_source(seconds=60, width=854, height=480)), colour=PLAIN)


def after(argv: list[str], option: str) -> str:
    return argv[argv.index(option) + 1]


def all_after(argv: list[str], option: str) -> list[str]:
    return [argv[place + 1] for place, word in enumerate(argv) if word == option]


def begin(*opened: str) -> list[str]:
    return [
        *("ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "warning"),
        *("-progress", "pipe:1", "-stats_period", "0.5", "-max_error_rate", "1", *opened),
        *("-copyts", "-start_at_zero", "-ss", "11.980000", "-t", "30.080000", *FENCE),
    ]


def rung(name: str, start: int, *encoder: str) -> list[str]:
    return [
        *("-map", f"[{name}]", "-an", *NO_TAGS, "-fps_mode", "passthrough", *encoder),
        *("-force_key_frames", "expr:eq(mod(n,150),0)", "-g", "150"),
        *("-bsf:v", "setts=pts=PTS:dts=STARTPTS+N-2"),
        *("-avoid_negative_ts", "disabled", "-f", "hls", "-hls_time", "6.000000"),
        *(
            "-hls_list_size",
            "0",
            "-hls_playlist_type",
            "event",
            "-hls_flags",
            "independent_segments+temp_file",
        ),
        *("-hls_segment_options", "avoid_negative_ts=disabled:mpegts_flags=+initial_discontinuity"),
        *("-start_number", str(start), "-hls_segment_filename", f"/scratch/{name}_%05d.ts"),
        f"/scratch/{name}.m3u8",
    ]


# --- whole lists


def test_the_whole_chain_on_nvidia(plan: EncodePlan) -> None:
    def nvenc(rate: int) -> list[str]:
        return [
            *("-c:v", "h264_nvenc", "-profile:v", "high", "-preset", "p4", "-tune", "hq"),
            *("-rc", "vbr", "-cq", "24", "-b:v", "0", "-maxrate", str(rate), "-bufsize", str(rate)),
            *("-rc-lookahead", "20", "-spatial-aq", "1", "-bf", "2", "-b_ref_mode", "middle"),
            *("-forced-idr", "1", "-no-scenecut", "1"),
        ]

    assert device_command("ffmpeg", WHOLE_CARD, SOURCE, plan, WORK, OUT) == [
        *begin(
            *("-init_hw_device", "cuda=gpu:1", "-filter_hw_device", "gpu"),
            *("-hwaccel", "cuda", "-hwaccel_device", "gpu", "-hwaccel_output_format", "cuda"),
            *("-extra_hw_frames", "16"),
        ),
        "-filter_complex",
        "[0:V:0]fps=25:start_time=12.000000,trim=start_pts=300:end_pts=1050,"
        f"scale_cuda=854:480:interp_algo=lanczos:format=nv12:passthrough=0,setsar=1,{TAGS},"
        "split=2[cut480p][rest480p];[cut480p]trim=start_pts=300[480p];"
        "[rest480p]scale_cuda=640:360:interp_algo=lanczos:format=nv12:passthrough=0,setsar=1[cut360p];"
        "[cut360p]trim=start_pts=450[360p]",
        *rung("480p", 2, *nvenc(1_000_000)),
        *rung("360p", 3, *nvenc(600_000)),
    ]


def test_the_whole_chain_on_vaapi(plan: EncodePlan) -> None:
    def vaapi(rate: int) -> list[str]:
        return [
            *("-c:v", "h264_vaapi", "-profile:v", "high", "-rc_mode", "QVBR", "-global_quality", "24"),
            *("-b:v", str(rate * 8 // 10), "-maxrate", str(rate * 23 // 24), "-bufsize", str(rate * 3 // 2)),
            *("-rc_init_occupancy", str(rate // 2), "-bf", "2", "-idr_interval", "0", "-async_depth", "4"),
        ]

    assert device_command("ffmpeg", WHOLE_VAAPI, SOURCE, plan, WORK, OUT) == [
        *begin(
            *("-init_hw_device", f"vaapi=gpu:{NODE}", "-filter_hw_device", "gpu"),
            *("-hwaccel", "vaapi", "-hwaccel_device", "gpu", "-hwaccel_output_format", "vaapi"),
            *("-extra_hw_frames", "16"),
        ),
        "-filter_complex",
        "[0:V:0]fps=25:start_time=12.000000,trim=start_pts=300:end_pts=1050,"
        f"scale_vaapi=w=854:h=480:mode=hq:format=nv12,setsar=1,{TAGS},"
        "split=2[cut480p][rest480p];[cut480p]trim=start_pts=300[480p];"
        "[rest480p]scale_vaapi=w=640:h=360:mode=hq:format=nv12,setsar=1[cut360p];"
        "[cut360p]trim=start_pts=450[360p]",
        *rung("480p", 2, *vaapi(1_000_000)),
        *rung("360p", 3, *vaapi(600_000)),
    ]


def test_quick_sync_encodes_what_the_cpu_decodes(plan: EncodePlan) -> None:
    def qsv(rate: int) -> list[str]:
        return [
            *("-c:v", "h264_qsv", "-profile:v", "high", "-preset", "medium", "-global_quality", "24"),
            *("-b:v", str(rate * 8 // 10), "-maxrate", str(rate * 23 // 24), "-bufsize", str(rate * 3 // 2)),
            *("-rc_init_occupancy", str(rate // 2), "-bf", "2", "-forced_idr", "1", "-async_depth", "4"),
        ]

    assert device_command("ffmpeg", QSV_ENCODES, SOURCE, plan, WORK, OUT) == [
        *begin(
            *("-init_hw_device", f"vaapi=va:{NODE}", "-init_hw_device", "qsv=gpu@va"),
            *("-filter_hw_device", "gpu"),
        ),
        "-filter_complex",
        "[0:V:0]fps=25:start_time=12.000000,trim=start_pts=300:end_pts=1050,"
        "format=nv12,hwupload=extra_hw_frames=64,"
        f"vpp_qsv=w=854:h=480:format=nv12,setsar=1,{TAGS},"
        "split=2[cut480p][rest480p];[cut480p]trim=start_pts=300[480p];"
        "[rest480p]vpp_qsv=w=640:h=360:format=nv12,setsar=1[cut360p];"
        "[cut360p]trim=start_pts=450[360p]",
        *rung("480p", 2, *qsv(1_000_000)),
        *rung("360p", 3, *qsv(600_000)),
    ]


def test_a_card_without_encoders_decodes_and_scales_for_x264(plan: EncodePlan) -> None:
    argv = device_command("ffmpeg", CARD_DECODES, SOURCE, plan, WORK, OUT)
    assert after(argv, "-filter_complex") == (
        "[0:V:0]fps=25:start_time=12.000000,trim=start_pts=300:end_pts=1050,"
        f"scale_cuda=854:480:interp_algo=lanczos:format=nv12:passthrough=0,setsar=1,{TAGS},"
        "split=2[cut480p][rest480p];"
        "[cut480p]trim=start_pts=300,hwdownload,format=nv12,format=yuv420p[480p];"
        "[rest480p]scale_cuda=640:360:interp_algo=lanczos:format=nv12:passthrough=0,setsar=1[cut360p];"
        "[cut360p]trim=start_pts=450,hwdownload,format=nv12,format=yuv420p[360p]"
    )
    on_cpu = video_command("ffmpeg", SOURCE, plan, WORK, OUT)
    assert argv[argv.index("-map") :] == on_cpu[on_cpu.index("-map") :]


def test_on_the_cpu_it_is_the_list_of_the_cpu(plan: EncodePlan) -> None:
    choice = Choice(Way.CPU, CPU, CPU.encoders[0], "no_device")
    assert device_command("ffmpeg", choice, SOURCE, plan, WORK, OUT) == video_command(
        "ffmpeg", SOURCE, plan, WORK, OUT
    )


# --- what holds for all


@every_way
def test_the_film_is_opened_behind_the_same_fence(choice: Choice, plan: EncodePlan) -> None:
    argv = device_command("ffmpeg", choice, SOURCE, plan, WORK, OUT)
    place = argv.index("-protocol_whitelist")
    assert argv[place : place + len(FENCE)] == FENCE
    assert argv.count("-i") == 1


@every_way
def test_the_grid_and_the_segments_are_those_of_the_cpu(choice: Choice, plan: EncodePlan) -> None:
    argv = device_command("ffmpeg", choice, SOURCE, plan, WORK, OUT)
    on_cpu = video_command("ffmpeg", SOURCE, plan, WORK, OUT)
    for option in ("-ss", "-t", "-map", "-force_key_frames", "-g", "-hls_time", "-start_number", "-fps_mode"):
        assert all_after(argv, option) == all_after(on_cpu, option)
    for word in ("fps=", "trim=start_pts=300:end_pts=1050", "trim=start_pts=450"):
        assert word in after(argv, "-filter_complex")
    assert [word for word in argv if word.endswith(".m3u8")] == [
        word for word in on_cpu if word.endswith(".m3u8")
    ]


@every_way
def test_pictures_cross_the_bus_once_at_most(choice: Choice, plan: EncodePlan) -> None:
    graph = after(device_command("ffmpeg", choice, SOURCE, plan, WORK, OUT), "-filter_complex")
    uploads, downloads = graph.count("hwupload"), graph.count("hwdownload")
    assert uploads == (choice.way is Way.DEVICE_ENCODE)
    assert downloads == (2 if choice.way is Way.DEVICE_DECODE else 0)
    assert graph.count("[0:V:0]") == 1


@every_way
def test_pictures_are_eight_bits_before_they_are_encoded(choice: Choice, plan: EncodePlan) -> None:
    graph = after(device_command("ffmpeg", choice, SOURCE, plan, WORK, OUT), "-filter_complex")
    assert graph.count("format=nv12") >= len(WORK.starts)
    assert "p010" not in graph


@every_way
def test_the_last_chunk_holds_the_last_picture(choice: Choice, plan: EncodePlan) -> None:
    graph = video_filters(choice, plan, list(plan.video), Work({"480p": 9, "360p": 9}, 10))
    assert "tpad=stop=50:stop_mode=clone" in graph


@every_way
def test_only_rungs_that_are_wanted_are_made(choice: Choice, plan: EncodePlan) -> None:
    argv = device_command("ffmpeg", choice, SOURCE, plan, Work({"360p": 2}, 4), OUT)
    assert all_after(argv, "-map") == ["[360p]"]


@every_way
def test_sizes_are_even(choice: Choice) -> None:
    plan = replace(make_plan(make_source(width=1279, height=721)), colour=PLAIN)
    graph = video_filters(choice, plan, list(plan.video), Work({row.name: 0 for row in plan.video}, 1))
    sizes = re.findall(r"scale_cuda=(\d+):(\d+)", graph) + re.findall(r"w=(\d+):h=(\d+)", graph)
    assert len(sizes) == len(plan.video)
    assert all(int(width) % 2 == int(height) % 2 == 0 for width, height in sizes)


@pytest.mark.parametrize("choice", [CARD_ENCODES, VAAPI_ENCODES, QSV_ENCODES])
def test_other_colours_are_changed_in_memory_before_the_upload(choice: Choice, plan: EncodePlan) -> None:
    hdr = replace(plan, colour=Colour("smpte2084", "bt2020", "bt2020nc"))
    graph = video_filters(choice, hdr, list(hdr.video), WORK)
    assert graph.index("tonemap") < graph.index("hwupload") < graph.index("split")
    on_device_once = {"cuda": 1, "vaapi": 1, "qsv": 1}
    scalers = re.findall(r"scale_(cuda|vaapi)|vpp_(qsv)", graph)
    assert len(scalers) == sum(on_device_once.values()) - 2  # the lower rung only


def test_an_interlaced_film_is_deinterlaced_on_the_card(plan: EncodePlan) -> None:
    graph = video_filters(WHOLE_CARD, replace(plan, deinterlace=True), list(plan.video), WORK)
    assert graph.startswith("[0:V:0]yadif_cuda,fps=")


def test_a_filter_without_a_twin_on_the_device_is_refused() -> None:
    with pytest.raises(ValueError, match="yadif does not run on vaapi"):
        on_device("yadif", DeviceKind.VAAPI)
    with pytest.raises(ValueError, match="zscale"):
        on_device("zscale=t=linear", DeviceKind.NVIDIA)


def test_the_device_that_was_chosen_is_opened_once(plan: EncodePlan) -> None:
    for choice in WAYS:
        argv = device_command("ffmpeg", choice, SOURCE, plan, WORK, OUT)
        opened = all_after(argv, "-init_hw_device")
        assert len(opened) == (2 if choice.device.kind is DeviceKind.QSV else 1)
        assert str(choice.device.node or choice.device.index) in opened[0] or opened[0] == "cuda=gpu:1"
        assert argv.index("-init_hw_device") < argv.index("-i")


# --- every encoder in every mode

ENCODER_MODES = [
    Encoder(codec, name, mode)
    for kind in MODES
    for codec, name in ENCODERS[kind].items()
    for mode in MODES[kind]
]
every_mode = pytest.mark.parametrize("encoder", ENCODER_MODES, ids=lambda each: f"{each.name}-{each.mode}")
ROW = RenditionPlan("720p", "video", 2_500_000, width=1280, height=720, crf=23, preset="veryfast")


@every_mode
def test_the_rate_is_capped_unless_the_encoder_cannot(encoder: Encoder) -> None:
    argv = encoder_options(encoder, ROW)
    assert ("-maxrate" in argv) == ("-bufsize" in argv) == encoder.is_capped
    if encoder.is_capped:
        assert worst_over_a_join(argv) <= BUFFER_S * ROW.max_bitrate_bps


def worst_over_a_join(argv: list[str]) -> int:
    """Bits that the end of one run and the start of the next may spend at once; NVENC begins with all of its buffer."""
    most, found = int(after(argv, "-bufsize")), "-rc_init_occupancy"
    return most + (int(after(argv, found)) if found in argv else most)


@every_mode
def test_there_is_one_way_to_say_the_quality(encoder: Encoder) -> None:
    argv = encoder_options(encoder, ROW)
    said = [option for option in ("-cq", "-global_quality", "-qp") if option in argv]
    assert len(said) == (1 if encoder.aims_at_quality else 0)


@every_mode
def test_forced_key_frames_are_idr(encoder: Encoder) -> None:
    argv = encoder_options(encoder, ROW)
    words = {"nvenc": ("-forced-idr", "1"), "vaapi": ("-idr_interval", "0"), "qsv": ("-forced_idr", "1")}
    option, value = words[encoder.name.rpartition("_")[2]]
    assert after(argv, option) == value


@every_mode
def test_no_encoder_reorders_more_than_x264(encoder: Encoder) -> None:
    assert int(after(encoder_options(encoder, ROW), "-bf")) <= 2
    assert after(encoder_options(encoder, replace(ROW, preset="ultrafast")), "-bf") == "0"


@every_mode
def test_a_better_quality_is_a_lower_number(encoder: Encoder) -> None:
    if encoder.aims_at_quality:
        better, worse = (encoder_options(encoder, replace(ROW, crf=crf)) for crf in (20, 30))
        option = next(each for each in ("-cq", "-global_quality", "-qp") if each in better)
        assert 0 < int(after(better, option)) < int(after(worse, option)) <= 255


@every_mode
def test_hevc_carries_the_tag_that_apple_plays(encoder: Encoder) -> None:
    assert (after(encoder_options(encoder, ROW), "-tag:v") == "hvc1") if encoder.codec == "hevc" else True
    assert ("-tag:v" in encoder_options(encoder, ROW)) == (encoder.codec == "hevc")


# --- against the real program

# Options of every encoder, which the help on one does not repeat.
COMMON = {"-c:v", "-tag:v", "-b:v", "-maxrate", "-bufsize", "-bf", "-rc_init_occupancy", "-global_quality"}


@pytest.fixture(scope="module")
def full_ffmpeg() -> str:
    """The bundled build: it knows the encoders of all devices."""
    path = bundled_path()
    assert path
    return path


def help_on(ffmpeg: str, topic: str) -> str:
    done = subprocess.run([ffmpeg, "-hide_banner", "-h", topic], capture_output=True, text=True, timeout=30)
    return done.stdout


@pytest.mark.media
@pytest.mark.parametrize("name", sorted({encoder.name for encoder in ENCODER_MODES}))
def test_ffmpeg_knows_every_option_and_value(full_ffmpeg: str, name: str) -> None:
    text = help_on(full_ffmpeg, f"encoder={name}")
    assert text.startswith("Encoder ")
    for encoder in (each for each in ENCODER_MODES if each.name == name):
        argv = encoder_options(encoder, ROW)
        for option, value in zip(argv[::2], argv[1::2], strict=True):
            if option not in COMMON:
                assert_option(text, option.removesuffix(":v"), value)


def assert_option(text: str, option: str, value: str) -> None:
    """The option is listed, and a word as value is one of its words."""
    entry = re.search(rf"^  {re.escape(option)} +<\w+>.*\n((?:     \S.*\n)*)", text, re.MULTILINE)
    assert entry, f"{option} is not listed"
    if not value.isdigit():
        assert re.search(rf"^     {re.escape(value)} ", entry[1], re.MULTILINE), f"{option} has no {value}"


@pytest.mark.media
@pytest.mark.parametrize("kind", list(MODES))
def test_ffmpeg_knows_every_scaler_and_its_options(full_ffmpeg: str, kind: DeviceKind) -> None:
    name, _, options = scale(kind, ROW)[0].partition("=")
    text = help_on(full_ffmpeg, f"filter={name}")
    names = [word.partition("=")[0] for word in options.split(":") if "=" in word]
    assert names
    for each in names:
        assert re.search(rf"^   {each} +<", text, re.MULTILINE), f"{name} has no {each}"
    assert "hwupload" in upload(kind)[1]


@pytest.mark.media
def test_the_counted_decoding_clock_is_x264s_own(ffmpeg_path: str, tmp_path: Path) -> None:
    """Where chunks of a device and of x264 meet, decoding times go on evenly: the rule gives x264 its own bytes."""
    picture = ["-f", "lavfi", "-i", "testsrc2=s=160x90:r=30000/1001:d=3"]
    chain = "[0:v]fps=30000/1001:start_time=0,trim=start_pts=30:end_pts=85,setsar=1[v]"
    for name, clock in (("own", []), ("counted", ["-bsf:v", "setts=pts=PTS:dts=STARTPTS+N-2"])):
        argv = [
            *(ffmpeg_path, "-nostdin", "-loglevel", "error", "-progress", "pipe:1", "-copyts", *picture),
            *("-filter_complex", chain, "-map", "[v]", "-fps_mode", "passthrough"),
            *("-c:v", "libx264", "-preset", "veryfast", "-threads", "1", "-g", "30", *clock),
            *("-avoid_negative_ts", "disabled", "-f", "mpegts", str(tmp_path / f"{name}.ts")),
        ]
        run_to_end(argv, Limits(wall_s=60))
    assert (tmp_path / "own.ts").read_bytes() == (tmp_path / "counted.ts").read_bytes()
