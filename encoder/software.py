"""What the CPU's encoders are asked for: x264, x265 and SVT-AV1, as argument lists. Pure."""

from __future__ import annotations

from .levels import avc_level, hevc_level
from .model import EncodePlan, RenditionPlan
from .rates import BUFFER_S, capped_run, found

HEVC_NAME = ("-tag:v", "hvc1")  # Apple's players take no other


def cpu_arguments(plan: EncodePlan, row: RenditionPlan) -> list[str]:
    """From `-c:v` on: capped quality with one thread, so that the same chunk gives the same bytes for 6-8 % less CPU.
    Rungs run beside each other.
    """
    encoders = {"h264": _x264, "hevc": _x265, "av1": _svt_av1}
    return [*encoders[row.codec](plan, row), *_capped(row)]


def _x264(plan: EncodePlan, row: RenditionPlan) -> list[str]:
    return [
        *("-c:v", "libx264", "-preset", row.preset, "-profile:v", "high"),
        *("-level", f"{avc_level(row.width, row.height, plan.fps) / 10:.1f}"),
        *("-crf", str(row.crf)),
        *found(row.max_bitrate_bps),
        *("-threads", "1"),
    ]


#: x265 and SVT-AV1 do more at the same name or number: what costs about as much as each of x264's presets.
X265_PRESETS = {
    "ultrafast": "ultrafast",
    "superfast": "ultrafast",
    "veryfast": "superfast",
    "faster": "veryfast",
    "fast": "faster",
    "medium": "fast",
}
# From 10 on SVT-AV1 shows parts of other pictures where much moves at a low rate (seen with numbered frames), and
# needs more bytes than 9 for it; figures in docs/measured.md.
SVT_PRESETS = {"ultrafast": 9, "superfast": 9, "veryfast": 9, "faster": 8, "fast": 8, "medium": 7}
X265_SLOWEST, SVT_SLOWEST = "medium", 5
# By itself it takes a cap for a wish and goes over it by half where all is noise.
SVT_OWN = "lp=1:scd=0:mbr-overshoot-pct=20"
# x264's number for the same picture -> theirs (measured at equal PSNR; AV1 counts to 63).
X265_CRF_PLUS, SVT_CRF_PLUS = 4, 18


def _x265(plan: EncodePlan, row: RenditionPlan) -> list[str]:
    own = [
        f"level-idc={hevc_level(row.width, row.height, plan.fps) / 10:.1f}:high-tier=0",
        "open-gop=0:scenecut=0",  # pictures of one segment must not look into the next
        "vbv-init=0.5",  # with less its first pictures suffer
        "pools=none:frame-threads=1:wpp=0",
        "info=0:log-level=error",  # its settings in the header would make headers differ for no reason
    ]
    return [
        *("-c:v", "libx265", "-preset", X265_PRESETS.get(row.preset, X265_SLOWEST), "-profile:v", "main"),
        *HEVC_NAME,
        *("-forced-idr", "1", "-crf", str(row.crf + X265_CRF_PLUS), "-x265-params", ":".join(own)),
    ]


def _svt_av1(_plan: EncodePlan, row: RenditionPlan) -> list[str]:
    return [
        *("-c:v", "libsvtav1", "-preset", str(SVT_PRESETS.get(row.preset, SVT_SLOWEST))),
        *("-crf", str(row.crf + SVT_CRF_PLUS), "-svtav1-params", SVT_OWN),
    ]


def _capped(row: RenditionPlan) -> list[str]:
    """Easy films stay small, hard ones stay under the rung's rate. x265 stays far below what it may by itself."""
    most = row.max_bitrate_bps
    if row.codec == "hevc":
        return ["-maxrate", str(most), "-bufsize", str(BUFFER_S * most)]
    return capped_run(most)
