"""The films of the matrix: what phones, cameras, screen recorders and archives make, in small, with what must become
of each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from tests.media.dolby import dolby_vision
from tests.media.scene import (
    AAC,
    H264,
    HD,
    HEIGHT,
    HEVC10,
    SECONDS,
    VP9,
    WIDTH,
    Kitchen,
    picture,
    sound,
    tags,
)


@dataclass(frozen=True, slots=True)
class Expected:
    """`code`: refused by the probe with it. `frames`: of the published film. `red`: corner that shows the marker."""

    code: str | None = None
    size: tuple[int, int] = (WIDTH, HEIGHT)
    seconds: float = SECONDS
    fps: Fraction = Fraction(25)
    channels: int = 0
    is_vfr: bool = False
    is_interlaced: bool = False
    hdr: str | None = None
    red: str | None = "top left"
    white: tuple[int, int] = (222, 240)  # luma of the white corner, from and to
    red_luma: tuple[int, int] = (55, 71)  # BT.709 has 63; 81 would be the matrix of BT.601
    flashes: bool = True
    is_damaged: bool = False
    languages: tuple[str | None, ...] | None = None


@dataclass(frozen=True, slots=True)
class Film:
    """`make(kitchen)` writes the film. `is_quick`: runs every time, the others in the slow suite."""

    name: str
    make: Callable[[Kitchen], Path]
    expected: Expected = field(default_factory=Expected)
    is_quick: bool = False


def encoded(name: str, *codec: str, with_sound: bool = True, **how: object) -> Callable[[Kitchen], Path]:
    """The scene in one codec and container; sound in AAC unless `codec` says other."""
    seconds = float(str(how.get("seconds", SECONDS)))
    inputs = (*picture(**how), *(sound(seconds) if with_sound else ()))
    return lambda kitchen: kitchen.run(name, *inputs, *codec)


def h264(name: str, **how: object) -> Callable[[Kitchen], Path]:
    return encoded(name, *H264, *AAC, **how)  # type: ignore[arg-type]


def from_plain(
    name: str, *arguments: str, before: tuple[str, ...] = (), codec: tuple[str, ...] = ("-c", "copy")
) -> Callable[[Kitchen], Path]:
    return lambda kitchen: kitchen.run(name, *before, "-i", str(kitchen.plain), *codec, *arguments)


def hdr(name: str, transfer: str, x265: str = "") -> Callable[[Kitchen], Path]:
    """The scene with its white at 203 nits, in BT.2020."""
    light = (
        f"{HD}:range=tv,zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt2020"
        f",zscale=t={transfer}:m=bt2020nc:r=tv:npl=203,format=yuv420p10le"
    )
    marks = ("-color_primaries", "bt2020", "-color_trc", transfer, "-colorspace", "bt2020nc")
    codec = [f"{each}:{x265}" if x265 and each.startswith("log-level") else each for each in HEVC10]
    return encoded(name, *codec, *marks, "-tag:v", "hvc1", *AAC, colour=light)


def dolby(name: str, transfer: str, compatibility: int) -> Callable[[Kitchen], Path]:
    make = hdr(name, transfer, x265="bframes=0:repeat-headers=1")
    return lambda kitchen: dolby_vision(kitchen, make(kitchen), compatibility)


def interlaced(name: str, order: str) -> Callable[[Kitchen], Path]:
    """Two fields in a picture, 50 moments a second."""
    weave = f"out_color_matrix=bt709:out_range=tv,{tags('bt709', 'bt709', 'bt709')},tinterlace=interleave_top"
    if order == "bff":
        weave = weave.replace("interleave_top", "interleave_bottom")
    flags = ("-c:v", "mpeg2video", "-q:v", "2", "-flags", "+ildct+ilme", *AAC)
    return encoded(name, *flags, fps="50", colour=f"{weave},setfield={order}")


def damaged(kitchen: Kitchen) -> Path:
    """A part in the middle of the pictures reads as noise, as after a bad sector. Key frames stand where it is not
    copied.
    """
    whole = kitchen.run("long.mp4", *picture(seconds=4.2), *sound(4.2), *H264, "-g", "47", *AAC)
    data = bytearray(whole.read_bytes())
    start = data.index(b"mdat") + 4
    middle = start + (data.index(b"moov") - start) // 2
    data[middle - 200 : middle + 200] = bytes(i * 37 % 251 for i in range(400))
    path = kitchen.folder / "damaged.mp4"
    path.write_bytes(data)
    return path


def cut_off(kitchen: Kitchen) -> Path:
    """The upload of a film with its header in front broke off."""
    whole = kitchen.run("fast.mp4", "-i", str(kitchen.plain), "-c", "copy", "-movflags", "+faststart")
    path = kitchen.folder / "cut.mp4"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    return path


def with_cover(kitchen: Kitchen) -> Path:
    cover = kitchen.run("cover.png", "-f", "lavfi", "-i", "color=blue:s=300x300", "-frames:v", "1")
    maps = ("-map", "1", "-map", "0", "-c", "copy", "-disposition:v:0", "attached_pic")
    return kitchen.run("cover.mp4", "-i", str(kitchen.plain), "-i", str(cover), *maps)


def with_captions(kitchen: Kitchen) -> Path:
    words = kitchen.folder / "words.srt"
    words.write_text("1\n00:00:00,000 --> 00:00:01,000\nWords\n")
    maps = ("-map", "1", "-map", "0", "-c:v", "copy", "-c:a", "copy")
    return kitchen.run("captions.mkv", "-i", str(kitchen.plain), "-i", str(words), *maps)


def two_tracks(kitchen: Kitchen) -> Path:
    names = ("-metadata:s:a:0", "language=deu", "-metadata:s:a:1", "language=eng")
    maps = ("-map", "0", "-map", "1", "-map", "2", *H264, *AAC, *names)
    return kitchen.run("two.mp4", *picture(), *sound(), *sound(layout="stereo"), *maps)


def with_sound(name: str, track: tuple[str, ...], codec: str = "aac") -> Callable[[Kitchen], Path]:
    """The scene with a sound track of another kind."""
    return lambda kitchen: kitchen.run(name, *picture(), *track, *H264, "-c:a", codec)


def late_sound(kitchen: Kitchen) -> Path:
    return kitchen.run(
        "latesound.mp4", *picture(), "-itsoffset", "0.7", *sound(SECONDS - 0.7, offset=0.7), *H264, *AAC
    )


def early_sound(name: str) -> Callable[[Kitchen], Path]:
    """A second of sound before the first picture."""
    return lambda kitchen: kitchen.run(
        name, "-itsoffset", "1", *picture(), *sound(SECONDS + 1, offset=-1), *H264, *AAC
    )


def rate(fps: str, *, seconds: float = SECONDS, grid: str | None = None, quick: bool = False) -> Film:
    exact = Fraction(grid or fps)
    expected = Expected(fps=exact, seconds=seconds, channels=1, flashes=Fraction(fps) >= 20, red="top left")
    make = h264(f"rate{fps.replace('/', '_')}.mp4", fps=fps, seconds=seconds)
    return Film(f"{fps} fps", make, expected, quick)


def size(width: int, height: int, *, quick: bool = False, **facts: object) -> Film:
    shown = {"red": None, "flashes": False, "size": (width, height), "white": (0, 255), **facts}
    make = encoded(f"size{width}x{height}.mkv", "-c:v", "ffv1", with_sound=False, width=width, height=height)
    return Film(f"{width}x{height}", make, Expected(**shown), quick)  # type: ignore[arg-type]


SD = "out_color_matrix=smpte170m:out_range=tv"
MONO = Expected(channels=1)


def toned(transfer: str) -> Expected:
    """White paper lands where SDR has it, highlights above; what red becomes is a matter of taste."""
    return Expected(channels=1, hdr=transfer, white=(185, 225), red_luma=(0, 255))


SILENT = Expected()
NTSC = Fraction(30000, 1001)


FILMS = (
    Film("plain", lambda kitchen: kitchen.plain, MONO, is_quick=True),
    # --- the way it is held
    Film(
        "turned left",
        from_plain("left.mp4", before=("-display_rotation", "90")),
        Expected(size=(90, 160), channels=1, red="bottom left"),
        is_quick=True,
    ),
    Film(
        "upside down",
        from_plain("down.mp4", before=("-display_rotation", "180")),
        Expected(channels=1, red="bottom right"),
    ),
    Film(
        "turned right",
        from_plain("right.mov", before=("-display_rotation", "270")),
        Expected(size=(90, 160), channels=1, red="top right"),
    ),
    Film("portrait", h264("portrait.mp4", width=90, height=160), Expected(size=(90, 160), channels=1)),
    Film("square", h264("square.mp4", width=96, height=96), Expected(size=(96, 96), channels=1)),
    Film("scope", h264("scope.mp4", width=240, height=100), Expected(size=(240, 100), channels=1)),
    # --- pixels that are not square, odd or few
    Film(
        "pixels 4:3",
        encoded("wide.mp4", "-aspect", "16/9", *H264, *AAC, width=120, height=90),
        MONO,
        is_quick=True,
    ),
    Film(
        "PAL wide, 16:11",
        encoded("pal.mkv", "-vf", "setsar=16/11", *H264, *AAC, width=176, height=144),
        Expected(size=(256, 144), channels=1),
    ),
    Film(
        "odd size",
        encoded("odd.webm", *VP9, "-c:a", "libopus", width=161, height=91),
        Expected(size=(161, 91), channels=1),
        is_quick=True,
    ),
    size(1, 1, code="picture_size"),
    size(2, 2),
    size(16, 16),
    size(4096, 2),
    Film("8K", h264("8k.mp4", width=7680, height=4320, fps="5", seconds=1.0),
         Expected(size=(7680, 4320), fps=Fraction(5), seconds=1.0, channels=1, flashes=False)),
    # --- when pictures are shown
    Film(
        "a phone's own rhythm",
        encoded("phone.mp4", "-vf", "settb=1/90000,setpts='(N+0.1*sin(N*1.7))/30/TB'", "-fps_mode", "vfr",
                "-enc_time_base", "1/90000", *H264, *AAC, fps="30"),
        Expected(fps=Fraction(30), channels=1, is_vfr=True),
        is_quick=True,
    ),
    Film(
        "a screen that stands still",
        encoded("screen.mp4", "-vf", "select='lt(n,20)+gt(n,62)'", "-fps_mode", "vfr", *H264, *AAC, fps="30"),
        Expected(fps=Fraction(30), channels=1, is_vfr=True, flashes=False),
    ),
    Film("upper field first", interlaced("tff.ts", "tff"), Expected(channels=1, is_interlaced=True), is_quick=True),
    Film("lower field first", interlaced("bff.mkv", "bff"), Expected(channels=1, is_interlaced=True)),
    Film(
        "starts at ten seconds",
        from_plain("late.ts", "-output_ts_offset", "10"),
        MONO,
        is_quick=True,
    ),
    Film("starts at ten seconds, mkv", from_plain("late.mkv", "-output_ts_offset", "10"), MONO),
    Film("starts before zero", from_plain("early.mp4", "-output_ts_offset", "-0.2",
         "-avoid_negative_ts", "disabled"), Expected(channels=1, flashes=False, seconds=2.4)),
    Film("beginning cut by an edit list", from_plain("trim.mp4", before=("-ss", "0.6")),
         Expected(channels=1, seconds=2.0), is_quick=True),
    Film("one frame", h264("one.mp4", seconds=0.04), Expected(seconds=0.04, channels=1, flashes=False)),
    Film("one frame in the last segment", h264("tail.mp4", seconds=2.04),
         Expected(seconds=2.04, channels=1, flashes=False),
         is_quick=True),
    Film("fifty milliseconds", h264("short.mp4", seconds=0.05, fps="60"),
         Expected(seconds=0.05, fps=Fraction(60), channels=1, flashes=False)),
    rate("1/10", seconds=20, grid="5"),
    rate("1/2", seconds=4, grid="5"),
    rate("1", seconds=3, grid="5"),
    rate("10"),
    rate("12"),
    rate("15"),
    rate("24000/1001", quick=True),
    rate("24"),
    rate("30000/1001"),
    rate("30"),
    rate("48"),
    rate("50"),
    rate("60000/1001"),
    rate("60"),
    rate("120", grid="60"),
    rate("240", grid="60"),
    # --- colours
    Film("ten bits", encoded("deep.mkv", *H264, *AAC, pixels="yuv420p10le"), MONO),
    Film("HDR10", hdr("hdr10.mp4", "smpte2084"), toned("smpte2084"),
         is_quick=True),
    Film("HLG", hdr("hlg.mp4", "arib-std-b67"), toned("arib-std-b67")),
    Film("Dolby Vision 8.1", dolby("base81.mp4", "smpte2084", 1), toned("smpte2084")),
    Film("Dolby Vision 8.4", dolby("base84.mp4", "arib-std-b67", 4), toned("arib-std-b67"), is_quick=True),
    Film(
        "full range",
        encoded("full.mp4", "-color_range", "pc", *H264, *AAC, pixels="yuvj420p",
                colour=f"out_color_matrix=bt709:out_range=pc,{tags('bt709', 'bt709', 'bt709')}:range=pc"),
        MONO,
        is_quick=True,
    ),
    Film(
        "BT.601, tagged",
        h264("ntsc.mp4", colour=f"{SD},{tags('smpte170m', 'smpte170m', 'smpte170m')}"),
        MONO,
    ),
    Film("BT.601, untagged", h264("untagged.mp4", colour=SD), MONO),
    Film(
        "BT.2020 without HDR",
        h264("wide2020.mp4", colour=f"out_color_matrix=bt2020nc:out_range=tv,{tags('bt2020', 'bt709', 'bt2020nc')}"),
        Expected(channels=1, red=None),
    ),
    Film("4:4:4", h264("444.mp4", pixels="yuv444p"), MONO),
    Film("RGB", encoded("rgb.mkv", "-c:v", "ffv1", "-c:a", "flac", pixels="gbrp", colour="out_range=pc"), MONO),
    # --- sound
    Film("no sound", h264("silent.mp4", with_sound=False), SILENT, is_quick=True),
    Film("stereo, 44.1 kHz", with_sound("stereo.mp4", sound(layout="stereo", rate=44_100)), Expected(channels=2)),
    Film("5.1", with_sound("surround.mp4", sound(layout="5.1")), Expected(channels=6)),
    Film("7.1", with_sound("surround8.mkv", sound(layout="7.1"), "flac"), Expected(channels=8)),
    Film("two languages", two_tracks, Expected(channels=1, languages=("deu", "eng"))),
    Film("sound that goes on", with_sound("longer.mp4", sound(4.6)),
         Expected(channels=1, seconds=4.6, flashes=False)),
    Film("sound that goes on, mkv", with_sound("longer.mkv", sound(4.6)),
         Expected(channels=1, seconds=4.6, flashes=False)),
    Film("sound that ends early", with_sound("shorter.mp4", sound(1.0)),
         Expected(channels=1, flashes=False)),
    Film("sound that starts late", late_sound, MONO),
    Film("sound before the picture", early_sound("early_sound.mp4"), Expected(channels=1, seconds=SECONDS + 1)),
    Film("sound before the picture, ts", early_sound("early_sound.ts"), Expected(channels=1, seconds=SECONDS + 1)),
    # --- what else is in a file
    Film("a cover picture", with_cover, MONO),
    Film("captions", with_captions, MONO),
    Film("a time code track", from_plain("timecode.mov", "-timecode", "01:00:00:00"), MONO),
    # --- containers and codecs
    Film("Matroska", from_plain("plain.mkv"), MONO),
    Film("transport stream", from_plain("plain.ts"), MONO),
    Film("fragmented", from_plain("fragments.mp4", "-movflags", "frag_keyframe+empty_moov+delay_moov"), MONO),
    Film(
        "fragmented, its first picture stays longer",
        from_plain("first.mp4", "-movflags", "frag_keyframe+empty_moov"),
        Expected(channels=1, seconds=2.6213, is_vfr=True),
    ),
    Film("VP9 and Opus", encoded("vp9.webm", *VP9, "-c:a", "libopus"), MONO),
    Film("VP8 and Vorbis", encoded("vp8.webm", "-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libvorbis"), MONO),
    Film("MPEG-4 and MP3", encoded("old.avi", "-c:v", "mpeg4", "-q:v", "3", "-c:a", "libmp3lame"), MONO),
    Film("ProRes and PCM", encoded("edit.mov", "-c:v", "prores_ks", "-c:a", "pcm_s16le", pixels="yuv422p10le"), MONO),
    Film("HEVC", encoded("hevc.mp4", *HEVC10[:-2], "-tag:v", "hvc1", *AAC), MONO),
    Film("AV1", encoded("av1.mp4", "-c:v", "libsvtav1", "-preset", "12", *AAC), MONO),
    Film("Motion JPEG", encoded("mjpeg.avi", "-c:v", "mjpeg", "-q:v", "2", "-c:a", "pcm_s16le", pixels="yuvj420p",
         colour="out_color_matrix=smpte170m:out_range=pc"), MONO),
    # --- broken, or no film
    Film("damaged in the middle", damaged, Expected(channels=1, seconds=4.2, is_damaged=True, flashes=False),
         is_quick=True),
    Film("cut off", cut_off, Expected(code="truncated_media"), is_quick=True),
)  # fmt: skip
