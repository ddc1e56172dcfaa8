"""Test clips: how a device is made to show what it can do, and how its work is judged. Argument lists and judgement.

An encoder gets thirty moving pictures through the same upload, scaler and options as a film, with a key frame forced
in the middle; its stream is decoded in software and compared. A decoder's pictures must equal the software's, bit for
bit, as the codecs demand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .device import Device, Encoder
from .hardware import decode_options, decoding_clock, device_init, encoder_options, scale, upload
from .model import RenditionPlan

FRAMES = 30
KEY_AT = 15
SIZE = "1280x720"
# Scaled to half, with a rate that is easy to keep, as one rung would be.
ROW = RenditionPlan("trial", "video", 4_000_000, width=640, height=360, crf=23, preset="veryfast")
# Scalers differ by design: another kernel is 33 dB away on this clip, a wrong picture 10 dB.
LEAST_PSNR_DB = 25.0
MOST_BYTES = 2 * ROW.max_bitrate_bps // 8  # of one second: the cap and its buffer

UNITS = {"h264": "h264", "hevc": "hevc"}  # ffmpeg's names of the bare streams, whose units say what is an IDR
SAMPLES: dict[str, tuple[str, ...]] = {  # decoder -> how ffmpeg makes a film for it
    "h264": ("-c:v", "libx264", "-preset", "ultrafast"),
    "hevc": ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error"),
    "hevc10": ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error"),
    "av1": ("-c:v", "libsvtav1", "-preset", "12"),
    "vp9": ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"),
}
QUIET = ("-nostdin", "-hide_banner", "-loglevel", "error", "-progress", "pipe:1", "-y")
PICTURE = ("-f", "lavfi", "-i", f"testsrc2=s={SIZE}:r={FRAMES}:d=1")
# Each slice of a picture is a unit of its own; the first one's header starts with a set bit.
FIRST_SLICE = 0x80


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of a device's stream: where each picture stands on the grid, which of them are key frames and which
    are IDRs, likeness to what went in, bytes.
    """

    frames: tuple[int, ...]
    keys: tuple[int, ...]
    idrs: int | None  # None: the codec has no other key frames
    psnr_db: float
    size_bytes: int


def sample_encoder(decoder: str) -> str:
    return SAMPLES[decoder][1]


def encode_trial(ffmpeg: str, device: Device, encoder: Encoder, out: Path) -> list[str]:
    """One rung as a film would have it. Only the forced key frame makes one in the middle."""
    chain = [f"fps={FRAMES}", *upload(device.kind), f"trim=end_frame={FRAMES}", *scale(device.kind, ROW)]
    return [
        *(ffmpeg, *QUIET, *device_init(device), *PICTURE),
        *("-filter_complex", f"[0:v]{','.join(chain)}[v]", "-map", "[v]", "-fps_mode", "passthrough"),
        *encoder_options(encoder, ROW),
        *("-force_key_frames", f"expr:eq(mod(n,{KEY_AT}),0)", "-g", str(20 * FRAMES)),
        *decoding_clock(ROW),
        *("-f", "matroska", str(out)),
    ]


def check_command(ffmpeg: str, codec: str, stream: Path) -> list[str]:
    """Decodes a device's stream in software; what is judged goes to files in the working directory."""
    graph = (
        f"[0:v]settb=1/{FRAMES},split=3[all][k][mine];[k]select=key[keys];"
        f"[1:v]trim=end_frame={FRAMES},scale={ROW.width}:{ROW.height},format=yuv420p,setpts=N[was];"
        "[mine]format=yuv420p,setpts=N[is];[is][was]psnr=stats_file=psnr.txt[end]"
    )
    argv = [
        *(ffmpeg, *QUIET, "-i", str(stream), *PICTURE, "-filter_complex", graph),
        *("-map", "[all]", "-fps_mode", "passthrough", "-f", "framemd5", "all.txt"),
        *("-map", "[keys]", "-fps_mode", "passthrough", "-f", "framemd5", "keys.txt"),
        *("-map", "[end]", "-fps_mode", "passthrough", "-f", "null", "-"),
    ]
    if codec in UNITS:
        argv += ["-map", "0:v", "-c", "copy", "-f", UNITS[codec], "units.bin"]
    return argv


def read_check(codec: str, stream: Path) -> Checked:
    """What `check_command` left beside the stream."""
    folder = stream.parent
    likeness = re.findall(r"psnr_y:([\d.]+|inf)", (folder / "psnr.txt").read_text())
    return Checked(
        frames=_places(folder / "all.txt"),
        keys=_places(folder / "keys.txt"),
        idrs=idr_count((folder / "units.bin").read_bytes(), codec) if codec in UNITS else None,
        psnr_db=min((float(value) for value in likeness), default=0.0),
        size_bytes=stream.stat().st_size,
    )


def wrong_with(checked: Checked) -> str:
    """What is wrong with a device's stream; empty when nothing is."""
    if checked.frames != tuple(range(FRAMES)):
        return f"{len(checked.frames)} pictures came out, not {FRAMES} each in its place"
    if not {0, KEY_AT} <= set(checked.keys):
        return "the forced key frame is missing"
    if checked.idrs is not None and checked.idrs < 2:
        return "the forced key frame is no IDR"
    if checked.psnr_db < LEAST_PSNR_DB:
        return f"the pictures are not those that went in ({checked.psnr_db:.0f} dB)"
    if checked.size_bytes > MOST_BYTES:
        return f"{checked.size_bytes} bytes are more than the cap allows"
    return ""


def idr_count(stream: bytes, codec: str) -> int:
    """Pictures of an Annex B stream that nothing before them is needed for, and nothing after them looks behind."""
    if codec == "h264":
        slices = re.finditer(rb"\x00\x00\x01[\x05\x25\x45\x65](.)", stream, re.DOTALL)
    else:  # IDR_W_RADL and IDR_N_LP are types 19 and 20; the second byte of the header never matters
        slices = re.finditer(rb"\x00\x00\x01[\x26\x28].(.)", stream, re.DOTALL)
    return sum(1 for each in slices if each[1][0] & FIRST_SLICE)


def sample_command(ffmpeg: str, decoder: str, out: Path) -> list[str]:
    pixels = "yuv420p10le" if decoder.endswith("10") else "yuv420p"
    return [
        *(ffmpeg, *QUIET, *PICTURE, "-vf", f"scale={ROW.width}:{ROW.height}", "-pix_fmt", pixels),
        *SAMPLES[decoder],
        *("-g", str(KEY_AT), "-f", "matroska", str(out)),
    ]


def decode_trial(ffmpeg: str, device: Device | None, decoder: str, sample: Path, out: Path) -> list[str]:
    """The sums of all pictures of a sample, decoded by the device, or by the CPU for comparison."""
    is_deep = decoder.endswith("10")
    pixels = "yuv420p10le" if is_deep else "yuv420p"
    opened = [*device_init(device), *decode_options(device.kind)] if device else []
    fetched = ["hwdownload", f"format={'p010le' if is_deep else 'nv12'}"] if device else []
    return [
        *(ffmpeg, *QUIET, *opened, "-i", str(sample)),
        *("-vf", ",".join([*fetched, f"format={pixels}"]), "-fps_mode", "passthrough"),
        *("-f", "framemd5", str(out)),
    ]


def sums(path: Path) -> tuple[str, ...]:
    return tuple(line.rpartition(",")[2].strip() for line in _rows(path))


def sessions_trial(ffmpeg: str, device: Device, encoder: Encoder, sessions: int) -> list[str]:
    """As many encoders at once as asked for, each for a few small pictures."""
    small = RenditionPlan("trial", "video", 500_000, width=320, height=180, crf=30, preset="veryfast")
    names = [f"[v{place}]" for place in range(sessions)]
    chain = [*upload(device.kind), *scale(device.kind, small), f"split={sessions}{''.join(names)}"]
    argv = [ffmpeg, *QUIET, *device_init(device), "-f", "lavfi", "-i", "testsrc2=s=640x360:r=30:d=0.5"]
    argv += ["-filter_complex", f"[0:v]{','.join(chain)}"]
    for name in names:
        argv += ["-map", name, *encoder_options(encoder, small), "-f", "null", "-"]
    return argv


def _places(path: Path) -> tuple[int, ...]:
    return tuple(int(line.split(",")[2]) for line in _rows(path))


def _rows(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
