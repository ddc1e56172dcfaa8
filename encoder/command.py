"""From plan and chunk to an ffmpeg argument list. Pure: every flag stands here with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from .filters import first_scale, next_scale
from .inputs import Origin, source_input
from .model import EncodePlan, RenditionPlan
from .names import CMAF
from .software import HEVC_NAME, cpu_arguments

PAD_S = 2  # a source may end this much before it said: its last picture is held. More is damage, not rounding
REACH_BACK_S = 1  # how far before its end a picture is looked for when a part lies behind it
AUDIO_DRIFT_PACKETS = 3  # see audio_command
FOREVER = -1  # for tpad
CLOCK_HZ = 90_000  # of MPEG-TS
AAC_FRAME = 1024  # samples per AAC packet


@dataclass(frozen=True, slots=True)
class Work:
    """What one ffmpeg makes: for each rendition the segments [start, end), all with the same end."""

    starts: dict[str, int]
    end: int

    @property
    def first(self) -> int:
        return min(self.starts.values())


def video_command(ffmpeg: str, source: Origin, plan: EncodePlan, work: Work, out: Path) -> list[str]:
    """One decode, a cascade of scalers, one encoder per rendition; `hls_output` names what it writes."""
    rows = [row for row in plan.encoded if row.name in work.starts]
    argv = [*preamble(ffmpeg), *input_arguments(source, plan, work)]
    argv += ["-filter_complex", video_filters(plan, rows, work)]
    for row in rows:
        argv += video_output(plan, row, work, out)
    return argv


def copy_command(ffmpeg: str, source: Origin, plan: EncodePlan, row: RenditionPlan, out: Path) -> list[str]:
    """The source's own pictures, cut where all rungs are cut: the plan made sure that key frames stand there."""
    return [
        *preamble(ffmpeg),
        *("-copyts", "-start_at_zero"),
        *source_input(source),
        *("-map", "0:V:0", "-an", *nothing_else()),
        *("-c:v", "copy", *(HEVC_NAME if row.codec == "hevc" else ())),
        *hls_output(plan, row, 0, out),
    ]


def look_command(ffmpeg: str, source: Origin) -> list[str]:
    """Every picture is decoded, for what the decoder says of it."""
    return [*preamble(ffmpeg), "-threads", "1", *source_input(source), "-map", "0:V:0", "-f", "null", "-"]


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
        *preamble(ffmpeg),
        *("-copyts", "-start_at_zero"),
        *source_input(source),
        *("-map", f"0:a:{row.source_track}", *nothing_else()),
        *("-af", filters, "-ac", str(row.channels)),
        *("-c:a", "aac", "-b:a", str(row.max_bitrate_bps), "-threads", "1"),
        *hls_output(plan, row, 0, out, stretch),
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
        parts.append(f"[{label}]{','.join(chain)}{fan_out(row, is_last=position == len(rows) - 1)}")
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


def fan_out(row: RenditionPlan, *, is_last: bool) -> str:
    return f"[cut{row.name}]" if is_last else f",split=2[cut{row.name}][rest{row.name}]"


def preamble(ffmpeg: str) -> list[str]:
    return [
        *(ffmpeg, "-nostdin", "-hide_banner", "-loglevel", "warning"),
        *("-progress", "pipe:1", "-stats_period", "0.5"),
        # Damage is counted and told to the owner; however much it is, what decodes is kept.
        *("-max_error_rate", "1"),
    ]


def input_arguments(source: Origin, plan: EncodePlan, work: Work) -> list[str]:
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


def nothing_else() -> list[str]:
    """No subtitles, data, tags or chapters: a 100 kB title breaks the muxer, and tags may hold a place or a name."""
    return ["-sn", "-dn", "-map_metadata", "-1", "-map_chapters", "-1"]


def video_output(plan: EncodePlan, row: RenditionPlan, work: Work, out: Path) -> list[str]:
    return [
        *("-map", f"[{row.name}]", "-an", *nothing_else()),
        *("-fps_mode", "passthrough"),  # the grid is made by the filter; the muxer must not touch it
        *cpu_arguments(plan, row),
        # An IDR on every segment boundary, counted in frames of this run, which begins on one.
        *("-force_key_frames", f"expr:eq(mod(n,{plan.segment_frames}),0)", "-g", str(plan.segment_frames)),
        *hls_output(plan, row, work.starts[row.name], out),
    ]


def hls_output(
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
        *("-f", "hls", "-hls_time", _floor_us(_cut_every(plan, row) + stretch_s)),
        *("-hls_list_size", "0", "-hls_playlist_type", "event"),
        *("-hls_flags", "independent_segments+temp_file"),  # a name without .tmp is whole
        *container,
        *("-start_number", str(start_number)),
        *("-hls_segment_filename", str(out / f"{row.name}_%05d.{extension}")),
        str(out / f"{row.name}.m3u8"),
    ]


def _cut_every(plan: EncodePlan, row: RenditionPlan) -> Fraction:
    """Seconds. In MPEG-TS pictures stand on whole ticks: where a segment is no whole number of them, the picture behind
    it may come a part of a tick early, and a cut by the exact time would miss it. No other picture is that near.
    """
    exact = plan.segment_frames / plan.fps
    return exact if plan.container == CMAF or not row.is_video else Fraction(int(exact * CLOCK_HZ), CLOCK_HZ)


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
