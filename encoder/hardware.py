"""Argument lists for devices: the same film, the same grid and the same segments as `command`, made elsewhere. Pure.

Of the filters beside scaling, `fps`, `tpad`, `trim`, `split`, `setsar` and `setparams` only touch clocks, tags and
references, so they work on frames that lie in a device's memory; every other needs a twin there, or frames in memory.
"""

from __future__ import annotations

from pathlib import Path

from .choice import PLAIN, Choice, Way
from .command import (
    Work,
    fan_out,
    grid_filters,
    hls_output,
    input_arguments,
    nothing_else,
    preamble,
)
from .command import video_command as cpu_command
from .command import video_output as x264_output
from .device import Device, DeviceKind, Encoder
from .filters import TAGS, first_scale
from .inputs import Origin
from .model import EncodePlan, RenditionPlan
from .rates import BUFFER_S, capped_run, found

# Ways to ask one kind of encoder, best first; detection takes the first that works.
MODES: dict[DeviceKind, tuple[str, ...]] = {
    DeviceKind.NVIDIA: (
        "cq_bref",
        "cq_b",
        "cq",
    ),  # B frames as references since Turing, with HEVC at all since Turing
    DeviceKind.VAAPI: (
        "qvbr",
        "qvbr_lp",
        "vbr",
        "vbr_lp",
        "cqp",
        "cqp_lp",
    ),  # lp: the only one on some Intel parts
    DeviceKind.QSV: ("qvbr", "vbr"),
}
ENCODERS: dict[DeviceKind, dict[str, str]] = {
    DeviceKind.NVIDIA: {"h264": "h264_nvenc", "hevc": "hevc_nvenc", "av1": "av1_nvenc"},
    DeviceKind.VAAPI: {"h264": "h264_vaapi", "hevc": "hevc_vaapi", "av1": "av1_vaapi"},
    DeviceKind.QSV: {"h264": "h264_qsv", "hevc": "hevc_qsv", "av1": "av1_qsv"},
}
PROFILES = {"h264": ("-profile:v", "high"), "hevc": ("-profile:v", "main", "-tag:v", "hvc1"), "av1": ()}
HWACCEL = {DeviceKind.NVIDIA: "cuda", DeviceKind.VAAPI: "vaapi"}

# x264's number for the same rung -> the device's. To be measured: these follow the scales, not pictures. AV1 counts
# to 63 on NVIDIA and to 255 elsewhere.
QUALITY: dict[tuple[str, str], tuple[int, int]] = {  # (times, plus)
    ("nvenc", "h264"): (1, 1),
    ("nvenc", "hevc"): (1, 4),
    ("nvenc", "av1"): (1, 9),
    ("other", "h264"): (1, 1),
    ("other", "hevc"): (1, 4),
    ("other", "av1"): (5, 5),
}
NVENC_PRESETS = {
    "ultrafast": "p1",
    "superfast": "p2",
    "veryfast": "p4",
    "faster": "p4",
    "fast": "p5",
    "medium": "p5",
}
NVENC_SLOWEST = "p6"
TARGET_OF_CAP = 0.8  # what VBR aims at; room for hard scenes below the cap

B_FRAMES = 2
# x264 reorders by two frames with every preset but the fastest, which has no B frames. Decoding clocks of all chunks
# of a rendition must agree in this, or they would run backwards where a chunk of another encoder follows.
NO_B_FRAMES = "ultrafast"

EXTRA_FRAMES = "16"  # beyond the decoder's own: what fps, tpad and split hold on to


def video_command(
    ffmpeg: str, choice: Choice, source: Origin, plan: EncodePlan, work: Work, out: Path
) -> list[str]:
    """Like `command.video_command`, on the device and in the way that were chosen."""
    if choice.way is Way.CPU:
        return cpu_command(ffmpeg, source, plan, work, out)
    rows = [row for row in plan.encoded if row.name in work.starts]
    argv = [*preamble(ffmpeg), *device_input(choice), *input_arguments(source, plan, work)]
    argv += ["-filter_complex", video_filters(choice, plan, rows, work)]
    for row in rows:
        if choice.way is Way.DEVICE_DECODE:
            argv += x264_output(plan, row, work, out)
        else:
            argv += _video_output(choice.encoder, plan, row, work, out)
    return argv


def video_filters(choice: Choice, plan: EncodePlan, rows: list[RenditionPlan], work: Work) -> str:
    """The cascade of `command.video_filters` with the scaler of the device. One upload at most, for all rungs; a
    download only of what the CPU encodes, after scaling.
    """
    kind = choice.device.kind
    tail = ["hwdownload", "format=nv12", "format=yuv420p"] if choice.way is Way.DEVICE_DECODE else []
    parts = []
    label = "0:V:0"
    for position, row in enumerate(rows):
        chain = _top(choice, plan, row, work) if position == 0 else scale(kind, row)
        parts.append(f"[{label}]{','.join(chain)}{fan_out(row, is_last=position == len(rows) - 1)}")
        label = f"rest{row.name}"
        cut = [f"trim=start_pts={work.starts[row.name] * plan.segment_frames}", *tail]
        parts.append(f"[cut{row.name}]{','.join(cut)}[{row.name}]")
    return ";".join(parts)


def _top(choice: Choice, plan: EncodePlan, row: RenditionPlan, work: Work) -> list[str]:
    """From the source's frames to the highest rung on the device."""
    kind, head = choice.device.kind, grid_filters(plan, work)
    if choice.way is not Way.DEVICE_ENCODE:
        return [*(on_device(each, kind) for each in head), *scale(kind, row), TAGS]
    if plan.colour == PLAIN:
        return [*head, *upload(kind), *scale(kind, row), TAGS]
    return [*head, *first_scale(row, plan.colour), *upload(kind)]  # colours are changed in memory


def on_device(filter_: str, kind: DeviceKind) -> str:
    """The same filter for frames in a device's memory. Raises ValueError when there is none: a film that needs it is
    decoded by the CPU, see `choice.choose`.
    """
    name = filter_.partition("=")[0]
    if name in ("fps", "tpad", "trim", "setsar"):
        return filter_
    if filter_ == "yadif" and kind is DeviceKind.NVIDIA:
        return "yadif_cuda"
    raise ValueError(f"{name} does not run on {kind} frames")


def device_init(device: Device) -> list[str]:
    """Opens the device under the name `gpu`, also for filters that ask for one."""
    match device.kind:
        case DeviceKind.NVIDIA:
            opened = ["-init_hw_device", f"cuda=gpu:{device.index}"]
        case DeviceKind.VAAPI:
            opened = ["-init_hw_device", f"vaapi=gpu:{device.node}"]
        case DeviceKind.QSV:
            # By way of VAAPI: the only way to name the chip when there are several.
            opened = ["-init_hw_device", f"vaapi=va:{device.node}", "-init_hw_device", "qsv=gpu@va"]
        case _:
            raise ValueError("the CPU is not opened")
    return [*opened, "-filter_hw_device", "gpu"]


def decode_options(kind: DeviceKind) -> list[str]:
    """ffmpeg's own decoders with the device behind them, so that the list of codecs a stranger's file may use holds.
    Frames stay there; were the decoder to fall back to memory in silence, the next filter would refuse them.
    """
    name = HWACCEL[kind]
    return [
        *("-hwaccel", name, "-hwaccel_device", "gpu", "-hwaccel_output_format", name),
        *("-extra_hw_frames", EXTRA_FRAMES),
    ]


def device_input(choice: Choice) -> list[str]:
    opened = device_init(choice.device)
    return opened if choice.way is Way.DEVICE_ENCODE else [*opened, *decode_options(choice.device.kind)]


def upload(kind: DeviceKind) -> list[str]:
    """From memory to the device, once for all rungs. nv12: eight bits, and what every encoder takes."""
    # QSV takes frames from a pool of fixed size: lookahead, split and three encoders hold this many at most.
    options = "=extra_hw_frames=64" if kind is DeviceKind.QSV else ""
    return ["format=nv12", f"hwupload{options}"]


def scale(kind: DeviceKind, row: RenditionPlan) -> list[str]:
    """Always a new picture, never the decoder's own passed on: an encoder that looks ahead would hold its whole pool.
    The format turns ten bits into eight.
    """
    match kind:
        case DeviceKind.NVIDIA:
            scaler = f"scale_cuda={row.width}:{row.height}:interp_algo=lanczos:format=nv12:passthrough=0"
        case DeviceKind.VAAPI:
            scaler = f"scale_vaapi=w={row.width}:h={row.height}:mode=hq:format=nv12"
        case DeviceKind.QSV:
            scaler = f"vpp_qsv=w={row.width}:h={row.height}:format=nv12"
        case _:
            raise ValueError("the CPU scales elsewhere")
    return [scaler, "setsar=1"]


def encoder_options(encoder: Encoder, row: RenditionPlan) -> list[str]:
    """Capped quality in each encoder's own words."""
    common = ["-c:v", encoder.name, *PROFILES[encoder.codec]]
    if encoder.name.endswith("_nvenc"):
        return [*common, *_nvenc(encoder, row)]
    return [*common, *(_vaapi(encoder, row) if encoder.name.endswith("_vaapi") else _qsv(encoder, row))]


def decoding_clock(row: RenditionPlan) -> list[str]:
    """Counted, not left to the encoder: in decoding order picture after picture, so many ahead as x264 is."""
    return ["-bsf:v", f"setts=pts=PTS:dts=STARTPTS+N-{reorder_delay(row)}"]


def reorder_delay(row: RenditionPlan) -> int:
    return 0 if row.preset == NO_B_FRAMES else B_FRAMES


def quality(encoder: Encoder, crf: int) -> int:
    family = "nvenc" if encoder.name.endswith("_nvenc") else "other"
    times, plus = QUALITY[family, encoder.codec]
    return crf * times + plus


def _nvenc(encoder: Encoder, row: RenditionPlan) -> list[str]:
    rate = row.max_bitrate_bps
    b_frames = 0 if encoder.mode == "cq" else reorder_delay(row)
    return [
        *("-preset", NVENC_PRESETS.get(row.preset, NVENC_SLOWEST), "-tune", "hq"),
        # -b:v 0: without it ffmpeg's default of 2 Mbit/s becomes the target.
        *("-rc", "vbr", "-cq", str(quality(encoder, row.crf)), "-b:v", "0"),
        # Every run begins with a full buffer, whatever one asks for: the end of one and the start of the next together.
        *("-maxrate", str(rate), "-bufsize", str(BUFFER_S * rate // 2)),
        *("-rc-lookahead", "20", "-spatial-aq", "1", "-bf", str(b_frames)),
        *(("-b_ref_mode", "middle") if encoder.mode == "cq_bref" and b_frames else ()),
        "-forced-idr",
        "1",  # a forced key frame is otherwise an I frame that later pictures may look behind
        "-no-scenecut",
        "1",  # with lookahead it would put key frames of its own between ours
    ]


def _vaapi(encoder: Encoder, row: RenditionPlan) -> list[str]:
    mode, _, power = encoder.mode.partition("_")
    delay = reorder_delay(row)
    return [
        *_rate_control(mode, encoder, row, ["-rc_mode", mode.upper()]),
        *(("-low_power", "1") if power else ()),
        # Low power encoders have no B frames; asked for some they refuse.
        *(("-bf", "0") if power or not delay else ("-bf", str(delay))),
        *("-idr_interval", "0"),  # every forced I frame is an IDR
        *("-async_depth", "4"),
    ]


def _qsv(encoder: Encoder, row: RenditionPlan) -> list[str]:
    return [
        *("-preset", "medium"),
        # A quality together with a cap and a target is what selects QVBR; look_ahead would select a mode without cap.
        *_rate_control(encoder.mode, encoder, row, []),
        *("-bf", str(reorder_delay(row)), "-forced_idr", "1", "-async_depth", "4"),
    ]


def _rate_control(mode: str, encoder: Encoder, row: RenditionPlan, words: list[str]) -> list[str]:
    level = str(quality(encoder, row.crf))
    if mode == "cqp":
        return [*words, *(("-global_quality", level) if encoder.codec == "av1" else ("-qp", level))]
    rate = row.max_bitrate_bps
    return [
        *words,
        *(("-global_quality", level) if mode == "qvbr" else ()),
        *("-b:v", str(int(rate * TARGET_OF_CAP)), *capped_run(rate), *found(rate)),
    ]


def _video_output(encoder: Encoder, plan: EncodePlan, row: RenditionPlan, work: Work, out: Path) -> list[str]:
    return [
        *("-map", f"[{row.name}]", "-an", *nothing_else()),
        *("-fps_mode", "passthrough"),
        *encoder_options(encoder, row),
        # An IDR on every segment boundary, counted in frames of this run, which begins on one.
        *("-force_key_frames", f"expr:eq(mod(n,{plan.segment_frames}),0)", "-g", str(plan.segment_frames)),
        *decoding_clock(row),
        *hls_output(plan, row, work.starts[row.name], out),
    ]
