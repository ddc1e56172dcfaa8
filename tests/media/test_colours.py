"""Whatever a stream's matrix is: the colours that went in come out, by any ffmpeg."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest

from encoder.filters import SWSCALE_MATRICES, colour_of, first_scale
from encoder.plan import make_plan
from tests.factories import make_source

COLOUR = (200, 60, 40)
WIDTH, HEIGHT = 640, 360
#: Shares of red and of blue in brightness (ITU-T H.273).
SHARES = {
    "bt709": (0.2126, 0.0722),
    "bt470bg": (0.299, 0.114),
    "smpte170m": (0.299, 0.114),
    "fcc": (0.30, 0.11),
    "smpte240m": (0.212, 0.087),
    "bt2020nc": (0.2627, 0.0593),
}

pytestmark = pytest.mark.media


def frame_of(colour: tuple[int, int, int], matrix: str) -> bytes:
    """One picture of that colour, as yuv420p of limited range."""
    red, green, blue = (value / 255 for value in colour)
    of_red, of_blue = SHARES[matrix]
    luma = of_red * red + (1 - of_red - of_blue) * green + of_blue * blue
    y = round(16 + 219 * luma)
    cb = round(128 + 224 * (blue - luma) / (2 - 2 * of_blue))
    cr = round(128 + 224 * (red - luma) / (2 - 2 * of_red))
    pixels = WIDTH * HEIGHT
    return bytes([y]) * pixels + bytes([cb]) * (pixels // 4) + bytes([cr]) * (pixels // 4)


@pytest.mark.parametrize("matrix", SWSCALE_MATRICES)
def test_a_colour_stays_what_it_is(matrix: str, ffmpeg_path: str) -> None:
    source = replace(make_source(seconds=1, width=WIDTH, height=HEIGHT), color_space=matrix)
    ours = first_scale(make_plan(source).video[0], colour_of(source))
    shown = "scale=in_color_matrix=bt709:in_range=tv:out_range=pc,format=gbrp"
    chain = ",".join([f"setparams=colorspace={matrix}:range=limited", *ours, shown])
    raw = f"-f rawvideo -pix_fmt yuv420p -s {WIDTH}x{HEIGHT} -i -".split()
    argv = [ffmpeg_path, "-v", "error", *raw, "-vf", chain, "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
    made = subprocess.run(argv, input=frame_of(COLOUR, matrix), check=True, capture_output=True, timeout=60)
    assert len(made.stdout) == WIDTH * HEIGHT * 3
    # By the matrix of another standard one of the three is off by seven and more.
    assert [*made.stdout[:3]] == pytest.approx(COLOUR, abs=6)


def test_a_matrix_is_called_what_ffmpeg_7_1_calls_it() -> None:
    """Its `scale` has no other names, also not those that its own streams carry."""
    known = {"bt709", "bt601", "bt470", "smpte170m", "fcc", "smpte240m", "bt2020"}
    assert set(SWSCALE_MATRICES.values()) <= known
