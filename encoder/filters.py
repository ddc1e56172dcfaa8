"""Colour: from whatever a source uses to what every screen expects, as filter strings.

Everything goes out as BT.709, limited range, 8 bit, and says so: without tags players guess by the size of the
picture, and one film would change its colours from rung to rung.
"""

from __future__ import annotations

from .model import Colour, RenditionPlan, Source

# Brightness that HDR gives to white paper (ITU-R BT.2408). It is mapped to where SDR has it; what is brighter is
# rolled off (mobius: colours below stay as they are, highlights keep their shape).
REFERENCE_WHITE_NITS = 203

HDR_TRANSFERS = ("smpte2084", "arib-std-b67")  # PQ and HLG
WIDE_PRIMARIES = ("bt2020", "smpte428", "smpte431", "smpte432")
#: As streams say it -> as the filter `scale` of every ffmpeg knows it: 7.1 refuses the streams' own words.
SWSCALE_MATRICES = {
    "bt709": "bt709",
    "bt470bg": "bt470",
    "smpte170m": "smpte170m",
    "fcc": "fcc",
    "smpte240m": "smpte240m",
    "bt2020nc": "bt2020",
}
HD_LINES, HD_COLUMNS = 720, 1280  # an untagged picture this large is BT.709, a smaller one BT.601

TAGS = "setparams=range=limited:color_primaries=bt709:color_trc=bt709:colorspace=bt709"


def colour_of(source: Source) -> Colour:
    """What the encode has to know of a source's colours; guesses what the source does not say, as players do."""
    is_hd = source.coded_height >= HD_LINES or source.coded_width >= HD_COLUMNS
    is_hdr = source.color_transfer in HDR_TRANSFERS
    matrix = source.color_space or ("bt2020nc" if is_hdr else "bt709" if is_hd else "smpte170m")
    primaries = source.color_primaries or ("bt2020" if is_hdr else "bt709")
    return Colour(
        hdr=source.color_transfer if is_hdr else None,
        primaries=primaries if primaries in WIDE_PRIMARIES else "bt709",
        matrix=matrix,
        full_range=source.full_range,
    )


def first_scale(row: RenditionPlan, colour: Colour) -> list[str]:
    """The source's pictures as pictures of the highest rung: size, colours, tags."""
    if colour.hdr:
        return [*_tone_mapped(row, colour), "format=yuv420p", "setsar=1", TAGS]
    if colour.primaries != "bt709" or _is_foreign(colour):
        return [_zscale(row, colour, "p=bt709:t=bt709:m=bt709:r=tv"), "format=yuv420p", "setsar=1", TAGS]
    return [_swscale(row, colour), "setsar=1", "format=yuv420p", TAGS]


def next_scale(row: RenditionPlan) -> list[str]:
    """From one rung to the next lower one. zscale does the same as scale for a fifth less (measured)."""
    return [f"zscale=w={row.width}:h={row.height}:f=lanczos", "setsar=1", "format=yuv420p"]


def _is_foreign(colour: Colour) -> bool:
    return colour.matrix not in SWSCALE_MATRICES and colour.matrix != "gbr"


def _swscale(row: RenditionPlan, colour: Colour) -> str:
    """Cheap, and does nothing but scale when the source is what we want already."""
    options = f"scale={row.width}:{row.height}:flags=lanczos:out_color_matrix=bt709:out_range=tv"
    if colour.matrix == "gbr":
        return options
    extent = "pc" if colour.full_range else "tv"
    return f"{options}:in_color_matrix={SWSCALE_MATRICES[colour.matrix]}:in_range={extent}"


def _tone_mapped(row: RenditionPlan, colour: Colour) -> list[str]:
    """Scaled first, so that the costly part works on the rung's pixels and not on the source's."""
    return [
        _zscale(row, colour, f"t=linear:npl={REFERENCE_WHITE_NITS}"),
        "format=gbrpf32le",
        "zscale=p=bt709",
        "tonemap=mobius:desat=0",
        "zscale=t=bt709:m=bt709:r=tv",
    ]


def _zscale(row: RenditionPlan, colour: Colour, out: str) -> str:
    """Input colours are named, since zscale refuses to guess and containers forget."""
    extent, transfer = "pc" if colour.full_range else "tv", colour.hdr or "bt709"
    given = f"pin={colour.primaries}:tin={transfer}:min={colour.matrix}:rin={extent}"
    return f"zscale=w={row.width}:h={row.height}:f=lanczos:{given}:{out}"
