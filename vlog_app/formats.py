"""How numbers and times are written for people: pure functions, offered to the templates as filters."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Flask

from encoder.model import Source

NBSP = "\u00a0"
NONE = "–"
SECONDS_UP_TO = 120  # a silence is told in seconds up to here
BYTE_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")
CODECS = {
    "h264": "H.264",
    "mpeg2video": "MPEG-2",
    "mpeg1video": "MPEG-1",
    "mpeg4": "MPEG-4",
    "prores": "ProRes",
    "theora": "Theora",
    "opus": "Opus",
    "vorbis": "Vorbis",
    "alac": "Apple Lossless",
    "ac3": "AC-3",
    "eac3": "E-AC-3",
}
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}


def duration(seconds: float | None) -> str:
    """9:58, 1:04:37."""
    if seconds is None:
        return NONE
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def spoken_duration(seconds: float) -> str:
    """For ears and the datetime attribute's neighbours: 9 min 58 s."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (rest, "s")]
    return " ".join(f"{value}{NBSP}{unit}" for value, unit in parts if value) or f"0{NBSP}s"


def byte_size(size: int | None) -> str:
    """Decimal: 212 MB, 6.2 GB, 0 bytes."""
    if size is None:
        return NONE
    value, unit = float(size), 0
    while value >= 999.5 and unit < len(BYTE_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    digits = 1 if unit and value < 9.95 else 0
    return f"{value:.{digits}f}{NBSP}{BYTE_UNITS[unit]}"


def bit_rate(bits_per_second: int | None) -> str:
    """2.5 Mb/s, 160 kb/s."""
    if bits_per_second is None:
        return NONE
    if bits_per_second < 1_000_000:
        return f"{bits_per_second / 1000:.0f}{NBSP}kb/s"
    return f"{bits_per_second / 1_000_000:.1f}".removesuffix(".0") + f"{NBSP}Mb/s"


def time_left(seconds: float | None) -> str:
    """18 s, about 2 min, 1 h 05 min."""
    if seconds is None:
        return NONE
    if seconds < 60:
        return f"{max(1, round(seconds))}{NBSP}s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"about {minutes}{NBSP}min"
    return f"{minutes // 60}{NBSP}h{NBSP}{minutes % 60:02}{NBSP}min"


def ago(then: datetime | None, now: datetime | None = None) -> str:
    """12 min ago, yesterday, 4 days ago; after a week the date, with the year when it is another."""
    if then is None:
        return NONE
    now = now or datetime.now(UTC)
    age_s = (now - then).total_seconds()
    if age_s < 60:
        return "just now"
    if age_s < 3600:
        return f"{int(age_s // 60)}{NBSP}min ago"
    days = (now.astimezone().date() - then.astimezone().date()).days
    if days == 0 or age_s < 6 * 3600:
        return f"{int(age_s // 3600)}{NBSP}h ago"
    if days == 1:
        return "yesterday"
    if days <= 7:
        return f"{days}{NBSP}days ago"
    return short_date(then, now)


def since(then: datetime, now: datetime) -> str:
    """2 s ago, 12 min ago: for what should be heard of often."""
    age_s = (now - then).total_seconds()
    return f"{max(0, int(age_s))}{NBSP}s ago" if age_s < SECONDS_UP_TO else ago(then, now)


def lasting(then: datetime, now: datetime) -> str:
    """41 s, 3 min, 2 h, 4 days."""
    age_s = max(0, int((now - then).total_seconds()))
    for least_s, size_s, unit in ((172_800, 86_400, "days"), (3600, 3600, "h"), (SECONDS_UP_TO, 60, "min")):
        if age_s >= least_s:
            return f"{age_s // size_s}{NBSP}{unit}"
    return f"{age_s}{NBSP}s"


def short_date(then: datetime, now: datetime | None = None) -> str:
    """8 Nov, 8 Nov 2025."""
    here, today = then.astimezone(), (now or datetime.now(UTC)).astimezone()
    text = f"{here.day}{NBSP}{here:%b}"
    return text if here.year == today.year else f"{text}{NBSP}{here.year}"


def long_date(then: datetime) -> str:
    """20 November 2026."""
    here = then.astimezone()
    return f"{here.day}{NBSP}{here:%B}{NBSP}{here.year}"


def clock(then: datetime) -> str:
    """The server's clock; the page rewrites it in the reader's locale and zone."""
    return f"{then.astimezone():%H:%M:%S}"


def stamp(then: datetime) -> str:
    """What `<time datetime>` holds."""
    return then.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def count(number: int | None) -> str:
    return NONE if number is None else f"{number:,}"


def speed(times: float | None) -> str:
    return NONE if times is None else f"{times:.1f}×"


def frame_rate(fps: float) -> str:
    """25, 29.97, 59.94."""
    return f"{fps:.2f}".rstrip("0").rstrip(".")


def rung(name: str) -> str:
    """What people call it: 4K, 720p; of sound 128 kb/s."""
    if name.endswith("k") and name[:-1].isdecimal():
        return f"{name[:-1]}{NBSP}kb/s"
    return {"2160p": "4K"}.get(name, name)


def codec(name: str) -> str:
    return CODECS.get(name, name.upper())


def recording(source: Source) -> str:
    """No picture, sound: MP3, stereo, 44.1 kHz, with a cover."""
    first = source.audio[0]
    count = len(source.audio)
    kind = "PCM" if first.codec.startswith("pcm_") else codec(first.codec)
    layout = LAYOUTS.get(first.channels, f"{first.channels} channels")
    rate = f"{first.sample_rate / 1000:.1f}".removesuffix(".0")
    tracks = f"{count} tracks, " if count > 1 else ""
    cover = ", with a cover" if source.has_cover else ""
    return f"No picture, sound: {tracks}{kind}, {layout}, {rate}{NBSP}kHz{cover}"


FILTERS = {
    "duration": duration,
    "spoken_duration": spoken_duration,
    "bytes": byte_size,
    "bit_rate": bit_rate,
    "eta": time_left,
    "ago": ago,
    "since": since,
    "lasting": lasting,
    "short_date": short_date,
    "long_date": long_date,
    "clock": clock,
    "stamp": stamp,
    "count": count,
    "speed": speed,
    "rung": rung,
    "codec": codec,
    "recording": recording,
    "frame_rate": frame_rate,
}


def init_app(app: Flask) -> None:
    from . import fragments

    app.jinja_env.filters.update(FILTERS)
    fragments.init_app(app)
