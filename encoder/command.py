"""From plan and chunk to an ffmpeg argument list. Pure: every flag stands here with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from .filters import first_scale, next_scale
from .inputs import Origin, source_input
from .levels import avc_level, hevc_level
from .model import EncodePlan, RenditionPlan
from .names import CMAF

PAD_S = (
    2  # a source may end this much before it said; its last picture is held. More is damage, not rounding.
)
REACH_BACK_S = 1  # how far before its end a picture is looked for when a part lies behind it
AUDIO_DRIFT_PACKETS = 3  # see audio_command
FOREVER = -1  # for tpad
HEVC_NAME = ("-tag:v", "hvc1")  # Apple's players take no other
AAC_FRAME = 1024  # samples per AAC packet
BUFFER_S = 2  # seconds at a rung's rate that may be saved up and spent at once, over the joins of runs too
# A run cannot know what the one before it has left in the buffer, and takes this for granted: together they never spend
# more than the whole. On its way it saves as much again, so that joins do not add up; the lead is the shortest run.
# One number for all runs: it stands in the headers of CMAF, which must not differ.
FOUND_S = Fraction(BUFFER_S, 4)
RUN_BUFFER_S = BUFFER_S - FOUND_S
SPARED = FOUND_S / 12


@dataclass(frozen=True, slots=True)
class Work:
    """What one ffmpeg makes: for each rendition the segments [start, end), all with the same end."""

    starts: dict[str, int]
    end: int

    @property
    def first(self) -> int:
        return min(self.starts.values())


def video_command(ffmpeg: str, source: Origin, plan: EncodePlan, work: Work, out: Path) -> list[str]:
    """One decode, a cascade of scalers, one encoder per rendition; what it writes into `out` is named in `_hls`."""
    rows = [row for row in plan.encoded if row.name in work.starts]
    argv = [*_preamble(ffmpeg), *_input(source, plan, work)]
    argv += ["-filter_complex", video_filters(plan, rows, work)]
    for row in rows:
        argv += _video_output(plan, row, work, out)
    return argv


def copy_command(ffmpeg: str, source: Origin, plan: EncodePlan, row: RenditionPlan, out: Path) -> list[str]:
    """The source's own pictures, cut where all rungs are cut: the plan made sure that key frames stand there."""
    return [
        *_preamble(ffmpeg),
        *("-copyts", "-start_at_zero"),
        *source_input(source),
        *("-map", "0:V:0", "-an", *_nothing_else()),
        *("-c:v", "copy", *(HEVC_NAME if row.codec == "hevc" else ())),
        *_hls(plan, row, 0, out),
    ]


def look_command(ffmpeg: str, source: Origin) -> list[str]:
    """Every picture is decoded, for what the decoder says of it."""
    return [*_preamble(ffmpeg), "-threads", "1", *source_input(source), "-map", "0:V:0", "-f", "null", "-"]


def audio_command(ffmpeg: str, source: Origin, plan: EncodePlan, row: RenditionPlan, out: Path) -> list[str]:
    """The whole film's sound in one run: AAC cut per chunk would overlap by its priming at every seam."""
    duration = _decimal(plan.total_frames / plan.fps)
    # Exactly as long as the picture: silence is added after sound that ends early, and what is longer is cut.
    filters = f"aresample={row.sample_rate}:async=1:first_pts=0,apad,atrim=end={duration}"
    if row.shift_s:
        filters = f"asetpts=PTS-({row.shift_s:.6f})/TB,{filters}"
    # AAC starts one packet before zero and ends one packet late. A hair longer segments keep that tail out of a
    # segment of its own, so that sound has as many segments as picture.
    stretch = Fraction(AUDIO_DRIFT_PACKETS * AAC_FRAME, row.sample_rate * plan.segment_count)
    if plan.frames_in(plan.segment_count - 1) <= plan.segment_frames / 2:
        stretch = Fraction(0)  # the tail has room, and a last segment of one picture must get its sound
    return [
        *_preamble(ffmpeg),
        *("-copyts", "-start_at_zero"),
        *source_input(source),
        *("-map", f"0:a:{row.source_track}", *_nothing_else()),
        *("-af", filters, "-ac", str(row.channels)),
        *("-c:a", "aac", "-b:a", str(row.max_bitrate_bps), "-threads", "1"),
        *_hls(plan, row, 0, out, stretch),
    ]


def video_filters(plan: EncodePlan, rows: list[RenditionPlan], work: Work) -> str:
    """Frames on the constant grid, then each rung scaled from the one above it (lanczos: as sharp as from the
    source, and cheaper), then cut to the frames this run is asked for. After `fps` the clock ticks in frames, so
    the cuts are integers and no float decides them.
    """
    head = grid_filters(plan, work)
    parts = []
    label = "0:V:0"  # the first picture track that is not a cover
    for position, row in enumerate(rows):
        chain = [*head, *first_scale(row, plan.colour)] if position == 0 else next_scale(row)
        parts.append(f"[{label}]{','.join(chain)}{_fan_out(row, is_last=position == len(rows) - 1)}")
        label = f"rest{row.name}"
        start = work.starts[row.name] * plan.segment_frames
        parts.append(f"[cut{row.name}]trim=start_pts={start}[{row.name}]")
    return ";".join(parts)


def grid_filters(plan: EncodePlan, work: Work) -> list[str]:
    """What is done to the source's frames before they are scaled: deinterlaced, set on the grid, cut."""
    span = span_of(plan, work)
    head = ["yadif"] if plan.deinterlace else []
    if plan.shift_s:
        head.append(f"setpts=PTS-({plan.shift_s:.6f})/TB")
    head.append(f"fps={plan.fps}:start_time={_decimal(span.decoded / plan.fps)}")
    if span.held:
        head.append(f"tpad=stop={span.held}:stop_mode=clone")
    head.append(f"trim=start_pts={span.first}:end_pts={span.end}")
    return head


@dataclass(frozen=True, slots=True)
class Span:
    """Frame numbers: wanted are [first, end), decoding begins at `decoded`, and the last picture may be held for
    `held` frames more, or FOREVER.
    """

    first: int
    end: int
    decoded: int
    held: int


def span_of(plan: EncodePlan, work: Work) -> Span:
    first = work.first * plan.segment_frames
    end = min(work.end * plan.segment_frames, plan.total_frames)
    # A part behind the last picture shows that picture: decode from shortly before it.
    from_picture = plan.last_picture - max(1, round(REACH_BACK_S * plan.fps))
    decoded = max(0, min(first - plan.warmup_frames, from_picture))
    held = end - plan.last_picture + int(PAD_S * plan.fps) if end >= plan.last_picture else 0
    return Span(first, end, decoded, FOREVER if plan.is_vfr else held)


def _fan_out(row: RenditionPlan, *, is_last: bool) -> str:
    return f"[cut{row.name}]" if is_last else f",split=2[cut{row.name}][rest{row.name}]"


def _preamble(ffmpeg: str) -> list[str]:
    return [
        *(ffmpeg, "-nostdin", "-hide_banner", "-loglevel", "warning"),
        *("-progress", "pipe:1", "-stats_period", "0.5"),
        # Damage is counted and told to the owner; however much it is, what decodes is kept.
        *("-max_error_rate", "1"),
    ]


def _input(source: Origin, plan: EncodePlan, work: Work) -> list[str]:
    """-copyts with -start_at_zero keeps the film's own clock, so a run that starts in the middle stamps its frames
    as the whole run would. The seek lands half a frame early so that rounding cannot skip the first frame.
    """
    span = span_of(plan, work)
    argv = ["-copyts", "-start_at_zero"]
    if span.decoded > 0:
        at = (span.decoded - Fraction(1, 2)) / plan.fps + Fraction(plan.shift_s)
        argv += ["-ss", _decimal(at)]
    if plan.is_vfr:
        argv.append("-noaccurate_seek")  # the picture that is on show there may be much older
    if not span.held:
        argv += ["-t", _decimal((span.end - span.decoded + 2) / plan.fps)]
    return argv + source_input(source)


def _nothing_else() -> list[str]:
    """No subtitles, data, tags or chapters: a 100 kB title breaks the muxer, and tags may hold a place or a name."""
    return ["-sn", "-dn", "-map_metadata", "-1", "-map_chapters", "-1"]


def _video_output(plan: EncodePlan, row: RenditionPlan, work: Work, out: Path) -> list[str]:
    return [
        *("-map", f"[{row.name}]", "-an", *_nothing_else()),
        *("-fps_mode", "passthrough"),  # the grid is made by the filter; the muxer must not touch it
        *cpu_encoder(plan, row),
        # An IDR on every segment boundary, counted in frames of this run, which begins on one.
        *("-force_key_frames", f"expr:eq(mod(n,{plan.segment_frames}),0)", "-g", str(plan.segment_frames)),
        *_hls(plan, row, work.starts[row.name], out),
    ]


def cpu_encoder(plan: EncodePlan, row: RenditionPlan) -> list[str]:
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


def capped_run(most_bps: int) -> list[str]:
    """For an encoder that begins with `found` in its buffer."""
    return ["-maxrate", str(int(most_bps * (1 - SPARED))), "-bufsize", str(int(RUN_BUFFER_S * most_bps))]


def found(most_bps: int) -> list[str]:
    """A full buffer would let every run overshoot the cap at its start."""
    return ["-rc_init_occupancy", str(int(FOUND_S * most_bps))]


def _hls(
    plan: EncodePlan, row: RenditionPlan, start_number: int, out: Path, stretch_s: Fraction = Fraction(0)
) -> list[str]:
    """Segments `{name}_{index:05d}.ts`, or `.m4s` with the header `{name}_init.mp4`; ffmpeg's playlist only serves as
    its log of what is complete.
    """
    container = _cmaf(row) if plan.container == CMAF else _mpegts(start_number)
    extension = "m4s" if plan.container == CMAF else "ts"
    return [
        # Here and in the inner muxer: else runs shift by the B-frame delay.
        *("-avoid_negative_ts", "disabled"),
        *("-f", "hls", "-hls_time", _floor_us(plan.segment_frames / plan.fps + stretch_s)),
        *("-hls_list_size", "0", "-hls_playlist_type", "event"),
        *("-hls_flags", "independent_segments+temp_file"),  # a name without .tmp is whole
        *container,
        *("-start_number", str(start_number)),
        *("-hls_segment_filename", str(out / f"{row.name}_%05d.{extension}")),
        str(out / f"{row.name}.m3u8"),
    ]


def _mpegts(start_number: int) -> list[str]:
    options = "avoid_negative_ts=disabled"
    if start_number:
        # Without it a strict demuxer calls the first packet after a seam corrupt (continuity counter).
        options += ":mpegts_flags=+initial_discontinuity"
    return ["-hls_segment_options", options]


def _cmaf(row: RenditionPlan) -> list[str]:
    """The delay of reordered pictures, and of AAC's first packet, stands in an edit list: browsers, phones and ffmpeg
    all honour it. frag_discont: a run that starts in the middle stamps its fragments as the whole run would. Sound is
    always made from the start, and its clock must not begin before zero, where frag_discont would put it.
    """
    # What ffmpeg's own flag `cmaf` does depends on its version (5.1 leaves the list out, 7.1 has negative offsets in
    # its place, 9.0 neither), and segments of two hosts must meet: so its parts are named one by one.
    flags = "movflags=+default_base_moof" + ("+frag_discont" if row.is_video else "")
    return [
        *("-hls_segment_type", "fmp4", "-hls_segment_options", f"{flags}:brand=cmfc:use_editlist=1"),
        *("-hls_fmp4_init_filename", f"{row.name}_init.mp4"),
    ]


def _floor_us(seconds: Fraction) -> str:
    """Rounded down, so that a boundary is never missed by a microsecond."""
    micros = int(seconds * 1_000_000)
    return f"{micros // 1_000_000}.{micros % 1_000_000:06d}"


def _decimal(seconds: Fraction) -> str:
    return f"{float(seconds):.6f}"
