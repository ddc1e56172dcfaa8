"""The DASH manifest of a video, rendered from its rows."""

from __future__ import annotations

from encoder.dash import Representation, manifest
from encoder.languages import language_tag
from encoder.names import init_name

from .playlists import AAC_CODEC, Availability, Row


def manifest_text(made: Availability, *, suffix: bool = True) -> str:
    """`made` is whole and in CMAF. Within a period DASH allows a rendition one header only: one whose segments come
    from encoders that differ is left to HLS.
    """
    fitting = [row for row in made.rows if len(set(row.inits.values())) == 1]
    query = f"?g={made.encode.generation}" if suffix else ""
    return manifest([_described(made, row) for row in fitting], duration_s=made.plan.duration_s, query=query)


def _described(made: Availability, row: Row) -> Representation:
    planned = made.plan.rendition(row.rendition.name)
    init = init_name(planned.name, row.inits[0])
    durations_s = [row.durations[index] for index in range(made.plan.segment_count)]
    if planned.is_video:
        return Representation(
            planned.name,
            row.rendition.codecs or "",
            row.peak_bps,
            durations_s,
            init,
            width=planned.width,
            height=planned.height,
            fps=made.plan.fps,
        )
    return Representation(
        planned.name,
        AAC_CODEC,
        row.peak_bps,
        durations_s,
        init,
        sample_rate=planned.sample_rate,
        channels=planned.channels,
        language=language_tag(planned.language),
    )
