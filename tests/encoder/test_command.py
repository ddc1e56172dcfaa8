"""Argument lists of ffmpeg, compared whole: one golden list each, and what holds for all of them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from encoder.command import Work, audio_command, video_command, video_filters
from encoder.limits import AUDIO_CODECS, MAX_PIXELS, VIDEO_CODECS
from encoder.model import EncodePlan
from encoder.plan import Output, make_plan
from encoder.poster import PLACES, closer_command, peek_command
from encoder.software import cpu_arguments
from encoder.stills import storyboard_command, storyboard_layout
from tests.factories import make_source

SOURCE = Path("/films/-i evil.mp4")
OUT = Path("/scratch")
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mp3,flac,ogg,wav"
FENCE = [
    *("-protocol_whitelist", "file", "-format_whitelist", FORMATS),
    *("-codec_whitelist", ",".join(sorted(VIDEO_CODECS | AUDIO_CODECS)), "-max_pixels", str(MAX_PIXELS)),
]
NO_TAGS = ["-sn", "-dn", "-map_metadata", "-1", "-map_chapters", "-1"]
HLS_LOG = [
    "-hls_list_size",
    "0",
    "-hls_playlist_type",
    "event",
    "-hls_flags",
    "independent_segments+temp_file",
]


@pytest.fixture
def plan() -> EncodePlan:
    """60 s at 25 fps on 480p and 360p with sound: ten segments of 150 frames."""
    return make_plan(make_source(seconds=60, width=854, height=480))


def every_command(plan: EncodePlan) -> list[list[str]]:
    works = (Work({"480p": 2, "360p": 3}, 7), Work({"480p": 0, "360p": 0}, 2), Work({"360p": 9}, 10))
    commands = [video_command("ffmpeg", SOURCE, plan, work, OUT) for work in works]
    commands.append(audio_command("ffmpeg", SOURCE, plan, plan.audio[0], OUT))
    commands += [peek_command("ffmpeg", SOURCE, plan, part, OUT) for part in PLACES]
    return [*commands, closer_command("ffmpeg", SOURCE, plan, OUT)]


def after(argv: list[str], option: str) -> str:
    return argv[argv.index(option) + 1]


def test_the_command_for_pictures(plan: EncodePlan) -> None:
    argv = video_command("ffmpeg", SOURCE, plan, Work({"480p": 2, "360p": 3}, 7), OUT)
    assert argv == [
        *("ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "warning"),
        *("-progress", "pipe:1", "-stats_period", "0.5", "-max_error_rate", "1"),
        *("-copyts", "-start_at_zero", "-ss", "11.980000", "-t", "30.080000"),
        *FENCE,
        *("-i", "file:/films/-i evil.mp4"),
        *("-filter_complex", video_filters(plan, list(plan.video), Work({"480p": 2, "360p": 3}, 7))),
        *rung("480p", crf=23, rate=1_000_000, start=2, level="3.0"),
        *rung("360p", crf=23, rate=600_000, start=3, level="3.0"),
    ]


def rung(name: str, *, crf: int, rate: int, start: int, level: str) -> list[str]:
    return [
        *("-map", f"[{name}]", "-an", *NO_TAGS, "-fps_mode", "passthrough"),
        *("-c:v", "libx264", "-preset", "veryfast", "-profile:v", "high", "-level", level, "-crf", str(crf)),
        *("-rc_init_occupancy", str(rate // 2), "-threads", "1"),
        *("-maxrate", str(rate * 23 // 24), "-bufsize", str(rate * 3 // 2)),
        *("-force_key_frames", "expr:eq(mod(n,150),0)", "-g", "150"),
        *("-avoid_negative_ts", "disabled", "-f", "hls", "-hls_time", "6.000000", *HLS_LOG),
        *(
            "-hls_segment_options",
            "avoid_negative_ts=disabled:mpegts_flags=+initial_discontinuity",
        ),
        *("-start_number", str(start), "-hls_segment_filename", f"/scratch/{name}_%05d.ts"),
        f"/scratch/{name}.m3u8",
    ]


def test_the_command_for_sound(plan: EncodePlan) -> None:
    assert audio_command("ffmpeg", SOURCE, plan, plan.audio[0], OUT) == [
        *("ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "warning"),
        *("-progress", "pipe:1", "-stats_period", "0.5", "-max_error_rate", "1"),
        *("-copyts", "-start_at_zero"),
        *FENCE,
        *("-i", "file:/films/-i evil.mp4", "-map", "0:a:0", *NO_TAGS),
        *("-af", "aresample=48000:async=1:first_pts=0,apad,atrim=end=60.000000", "-ac", "2"),
        *("-c:a", "aac", "-b:a", "96000", "-threads", "1"),
        # 3 packets of 1024 samples spread over ten segments
        *("-avoid_negative_ts", "disabled", "-f", "hls", "-hls_time", "6.006400", *HLS_LOG),
        *("-hls_segment_options", "avoid_negative_ts=disabled", "-start_number", "0"),
        *("-hls_segment_filename", "/scratch/audio_%05d.ts", "/scratch/audio.m3u8"),
    ]


def test_the_command_for_a_poster_decodes_key_frames_only(plan: EncodePlan) -> None:
    argv = peek_command("ffmpeg", SOURCE, plan, 0.25, OUT)
    till_filters = argv.index("-filter_complex")
    assert argv[:till_filters] == [
        *("ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "warning", "-progress", "pipe:1"),
        *("-skip_frame", "nokey", "-noaccurate_seek", "-ss", "15.000", "-t", "20", "-threads", "1", *FENCE),
        *("-i", "file:/films/-i evil.mp4"),
    ]
    large, one, two = after(argv, "-filter_complex").split(";")
    assert large.startswith("[0:V:0]scale=854:480:flags=lanczos")
    assert large.endswith("scale=out_color_matrix=smpte170m:out_range=pc,split=3[large][one][two]")
    assert one == "[one]scale=640:360[small]"
    assert two == "[two]scale=64:36:flags=area,format=gray[look]"
    assert argv[-2:] == ["-y", "/scratch/look_%d.pgm"]
    assert argv.count("-frames:v") == argv.count("-map_metadata") == 3


def test_the_command_for_the_storyboard_of_a_short_film(plan: EncodePlan) -> None:
    argv = storyboard_command("ffmpeg", OUT / "rung.m3u8", storyboard_layout(plan), OUT)
    pick = "select='isnan(prev_selected_t)+gte(t-prev_selected_t,1.980)'"
    assert argv == [
        *("ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "warning", "-progress", "pipe:1"),
        *(
            "-protocol_whitelist",
            "file",
            "-allowed_extensions",
            "ts,m4s,mp4",
            "-f",
            "hls",
            "-i",
            "/scratch/rung.m3u8",
        ),
        *("-map", "0:v:0", "-fps_mode", "passthrough", "-frames:v", "1"),
        *("-vf", f"{pick},scale=208:116:out_color_matrix=smpte170m:out_range=pc,tile=10x10", "-q:v", "5"),
        *("-start_number", "0", "-y", "/scratch/storyboard_%d.jpg"),
    ]


def test_of_a_long_film_only_key_frames_are_decoded_for_the_storyboard() -> None:
    layout = storyboard_layout(make_plan(make_source(seconds=3600)))
    argv = storyboard_command("ffmpeg", OUT / "rung.m3u8", layout, OUT)
    assert argv.index("-skip_frame") < argv.index("-i")
    assert after(argv, "-skip_frame") == "nokey"


def test_every_command_has_one_input_which_is_a_file_behind_whitelists(plan: EncodePlan) -> None:
    for argv in every_command(plan):
        assert argv.count("-i") == 1
        assert after(argv, "-i") == f"file:{SOURCE}"
        for option in ("-protocol_whitelist", "-format_whitelist", "-codec_whitelist", "-max_pixels"):
            assert argv.index(option) < argv.index("-i")
        assert after(argv, "-protocol_whitelist") == "file"
        assert not {"hls", "concat", "lavfi", "image2"} & set(after(argv, "-format_whitelist").split(","))


def test_every_command_says_its_progress_and_never_asks(plan: EncodePlan) -> None:
    for argv in every_command(plan):
        assert after(argv, "-progress") == "pipe:1"
        assert "-nostdin" in argv


def test_tags_never_reach_what_is_published(plan: EncodePlan) -> None:
    for argv in every_command(plan):
        assert "-map_metadata" in argv
        assert after(argv, "-map_metadata") == "-1"


def test_each_rung_starts_at_its_own_number(plan: EncodePlan) -> None:
    argv = video_command("ffmpeg", SOURCE, plan, Work({"480p": 4, "360p": 6}, 8), OUT)
    numbers = [argv[place + 1] for place, word in enumerate(argv) if word == "-start_number"]
    assert numbers == ["4", "6"]


def test_only_a_run_that_does_not_begin_the_film_announces_a_seam(plan: EncodePlan) -> None:
    argv = video_command("ffmpeg", SOURCE, plan, Work({"480p": 0, "360p": 1}, 2), OUT)
    options = [argv[place + 1] for place, word in enumerate(argv) if word == "-hls_segment_options"]
    assert ["initial_discontinuity" in text for text in options] == [False, True]


def test_a_rung_that_is_done_is_left_out(plan: EncodePlan) -> None:
    argv = video_command("ffmpeg", SOURCE, plan, Work({"360p": 1}, 2), OUT)
    assert [argv[place + 1] for place, word in enumerate(argv) if word == "-map"] == ["[360p]"]
    assert "480p" not in after(argv, "-filter_complex")


def test_the_first_chunk_is_read_from_the_start_and_the_last_to_the_end(plan: EncodePlan) -> None:
    first = video_command("ffmpeg", SOURCE, plan, Work({"360p": 0}, 2), OUT)
    last = video_command("ffmpeg", SOURCE, plan, Work({"360p": 2}, 10), OUT)
    assert ("-ss" in first, "-t" in first) == (False, True)
    assert ("-ss" in last, "-t" in last) == (True, False)


def test_a_segment_boundary_is_never_missed_by_a_microsecond() -> None:
    plan = make_plan(replace(make_source(), fps=Fraction(24000, 1001), frame_count=1440))
    argv = video_command("ffmpeg", SOURCE, plan, Work({"360p": 0}, 2), OUT)
    assert after(argv, "-hls_time") == "6.006000"
    odd = make_plan(replace(make_source(), fps=Fraction(30000, 1001)), segment_s=5)
    argv = video_command("ffmpeg", SOURCE, odd, Work({"360p": 0}, 2), OUT)
    assert Fraction(after(argv, "-hls_time")) <= odd.segment_frames / odd.fps


# --- CMAF and the newer codecs


def test_segments_in_cmaf_have_a_header_beside_them(plan: EncodePlan) -> None:
    argv = video_command("ffmpeg", SOURCE, replace(plan, container="cmaf"), Work({"360p": 3}, 7), OUT)
    assert argv[argv.index("-avoid_negative_ts") :] == [
        *("-avoid_negative_ts", "disabled", "-f", "hls", "-hls_time", "6.000000", *HLS_LOG),
        *(
            "-hls_segment_type",
            "fmp4",
            "-hls_segment_options",
            "movflags=+default_base_moof+frag_discont:brand=cmfc:use_editlist=1",
        ),
        *("-hls_fmp4_init_filename", "360p_init.mp4", "-start_number", "3"),
        *("-hls_segment_filename", "/scratch/360p_%05d.m4s", "/scratch/360p.m3u8"),
    ]


def test_sound_in_cmaf_does_not_begin_before_zero(plan: EncodePlan) -> None:
    argv = audio_command("ffmpeg", SOURCE, replace(plan, container="cmaf"), plan.audio[0], OUT)
    assert after(argv, "-hls_segment_options") == "movflags=+default_base_moof:brand=cmfc:use_editlist=1"


def test_hevc_is_asked_for_closed_groups_and_the_tag_that_phones_take() -> None:
    plan = make_plan(make_source(width=854, height=480), output=Output(codec="hevc", h264_too=False))
    row = plan.rendition("480p-hevc")
    assert cpu_arguments(plan, row) == [
        *("-c:v", "libx265", "-preset", "superfast", "-profile:v", "main", "-tag:v", "hvc1"),
        *("-forced-idr", "1", "-crf", "27", "-x265-params"),
        "level-idc=3.0:high-tier=0:open-gop=0:scenecut=0:vbv-init=0.5:pools=none:frame-threads=1:wpp=0"
        ":info=0:log-level=error",
        *("-maxrate", "650000", "-bufsize", "1300000"),
    ]


def test_av1_is_asked_for_one_thread_and_a_cap() -> None:
    plan = make_plan(make_source(width=854, height=480), output=Output(codec="av1", h264_too=False))
    assert cpu_arguments(plan, plan.rendition("360p-av1")) == [
        *(
            "-c:v",
            "libsvtav1",
            "-preset",
            "9",
            "-crf",
            "41",
            "-svtav1-params",
            "lp=1:scd=0:mbr-overshoot-pct=20",
        ),
        *("-maxrate", "316250", "-bufsize", "495000"),
    ]
