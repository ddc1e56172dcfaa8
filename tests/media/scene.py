"""One scene in every coding. All films of the matrix show it, so that one decoded film tells its orientation, its
colours, and whether sound and picture belong together.

Red in the corner that is up and left, white in the one across, dark between, and a white flash with a beep for a tenth
of a second at each full second.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

SECONDS = 2.6  # more than one chunk of the matrix, and no whole number of segments
WIDTH, HEIGHT = 160, 90
FAST = ("-preset", "ultrafast")
H264 = ("-c:v", "libx264", *FAST, "-threads", "1")
HEVC10 = ("-c:v", "libx265", *FAST, "-x265-params", "log-level=error:pools=1", "-pix_fmt", "yuv420p10le")
VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8")
AAC = ("-c:a", "aac", "-b:a", "64k")


def tags(primaries: str, transfer: str, matrix: str) -> str:
    return f"setparams=color_primaries={primaries}:color_trc={transfer}:colorspace={matrix}"


HD = f"out_color_matrix=bt709:out_range=tv,{tags('bt709', 'bt709', 'bt709')}"


class Kitchen:
    """A folder and an ffmpeg."""

    def __init__(self, ffmpeg: str, folder: Path) -> None:
        self.ffmpeg, self.folder = ffmpeg, folder

    def run(self, name: str, *arguments: str) -> Path:
        path = self.folder / name
        if not path.exists():
            argv = [self.ffmpeg, "-nostdin", "-v", "error", *arguments, str(path)]
            subprocess.run(argv, check=True, timeout=120)
        return path

    @property
    def plain(self) -> Path:
        return self.run("plain.mp4", *picture(), *sound(), *H264, "-g", "25", *AAC)


def scene(
    width: int = WIDTH,
    height: int = HEIGHT,
    fps: str = "25",
    seconds: float = SECONDS,
    colour: str = HD,
    pixels: str = "yuv420p",
) -> str:
    """A filter graph without input. It is painted in RGB, so that no matrix but the one asked for is in it."""
    corners = "drawbox=0:0:iw/4:ih/4:red:fill,drawbox=3*iw/4:3*ih/4:iw/4:ih/4:white:fill"
    flash = "drawbox=c=white:t=fill:enable='gte(t,0.5)*lt(mod(t,1),0.1)'"
    base = f"color=0x202020:s={width}x{height}:r={fps}:d={seconds},format=gbrp,{flash},{corners}"
    first, _, rest = colour.partition(",")
    return f"{base},scale={first},format={pixels}{',' + rest if rest else ''}"


def picture(**how: object) -> tuple[str, ...]:
    return ("-f", "lavfi", "-i", scene(**how))  # type: ignore[arg-type]


def sound(
    seconds: float = SECONDS, layout: str = "mono", rate: int = 48_000, offset: float = 0.0
) -> tuple[str, ...]:
    """The beep on every channel. `offset`: where in the film the sound begins."""
    wave = f"0.5*sin(2*PI*1000*t)*gte(t+{offset}\\,0.5)*lt(mod(t+{offset}\\,1)\\,0.1)"
    count = {"mono": 1, "stereo": 2, "5.1": 6, "7.1": 8}[layout]
    return (
        "-f",
        "lavfi",
        "-i",
        f"aevalsrc='{'|'.join([wave] * count)}':c={layout}:s={rate}:d={seconds}",
    )
