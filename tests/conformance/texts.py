"""Playlists as text (RFC 8216, sections 4 and 8): parsed strictly, and what is wrong with the text alone."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .findings import Finding

MEDIA_TAGS = frozenset(
    "EXTM3U EXT-X-VERSION EXT-X-TARGETDURATION EXT-X-MEDIA-SEQUENCE EXT-X-PLAYLIST-TYPE EXT-X-START EXTINF "
    "EXT-X-INDEPENDENT-SEGMENTS EXT-X-ENDLIST EXT-X-DISCONTINUITY EXT-X-MAP EXT-X-BYTERANGE "
    "EXT-X-PROGRAM-DATE-TIME EXT-X-DISCONTINUITY-SEQUENCE".split()
)
MASTER_TAGS = frozenset(
    "EXTM3U EXT-X-VERSION EXT-X-INDEPENDENT-SEGMENTS EXT-X-MEDIA EXT-X-STREAM-INF EXT-X-START "
    "EXT-X-I-FRAME-STREAM-INF EXT-X-SESSION-DATA".split()
)
ONCE = (
    "EXT-X-VERSION",
    "EXT-X-TARGETDURATION",
    "EXT-X-MEDIA-SEQUENCE",
    "EXT-X-PLAYLIST-TYPE",
    "EXT-X-ENDLIST",
)
ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"\r\n]*"|[^",\s]+)(?:,|$)')
SAFE_URI = re.compile(r"([A-Za-z0-9-]+/)?[A-Za-z0-9][A-Za-z0-9._-]*(\?[A-Za-z0-9=&._-]*)?")


@dataclass(slots=True)
class Text:
    """The lines of one playlist: tags as (name, value), and the address each EXTINF or STREAM-INF leads to."""

    name: str
    tags: list[tuple[str, str]] = field(default_factory=list)
    entries: list[tuple[str, str]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def find(self, rule: str, what: str) -> None:
        self.findings.append(Finding(rule, self.name, what))

    def value(self, tag: str) -> str | None:
        return next((value for name, value in self.tags if name == tag), None)

    def values(self, tag: str) -> list[str]:
        return [value for name, value in self.tags if name == tag]

    def number(self, tag: str) -> int | None:
        value = self.value(tag)
        return int(value) if value and value.isdigit() else None


def read_text(name: str, raw: bytes, *, is_master: bool) -> Text:
    text = Text(name)
    try:
        lines = raw.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        text.find("encoding", "is not UTF-8")
        return text
    if lines[0].rstrip("\r") != "#EXTM3U":
        text.find("first_line", f"begins with {lines[0][:20]!r}, not #EXTM3U")
    _take_lines(text, lines, MASTER_TAGS if is_master else MEDIA_TAGS)
    for tag in ONCE:
        if len(text.values(tag)) > 1:
            text.find("repeated_tag", f"{tag} stands there {len(text.values(tag))} times")
    return text


def _take_lines(text: Text, lines: list[str], known: frozenset[str]) -> None:
    waiting: str | None = None
    for line in (line.rstrip("\r") for line in lines):
        if line.startswith("#EXT"):
            tag, _, value = line[1:].partition(":")
            text.tags.append((tag, value))
            if tag not in known:
                text.find("unknown_tag", f"{tag} does not belong into this kind of playlist")
            if tag in ("EXTINF", "EXT-X-STREAM-INF"):
                if waiting is not None:
                    text.find("no_uri", f"{waiting} is not followed by an address")
                waiting = value
        elif line and not line.startswith("#"):
            _take_uri(text, waiting, line)
            waiting = None
    if waiting is not None:
        text.find("no_uri", f"{waiting} is not followed by an address")


def _take_uri(text: Text, waiting: str | None, line: str) -> None:
    if waiting is None:
        text.find("stray_uri", f"{line} belongs to no tag")
        return
    if not SAFE_URI.fullmatch(line):
        text.find("uri", f"{line} is not a plain name in this folder or one inside it")
    text.entries.append((waiting, line))


def attributes(text: Text, value: str) -> dict[str, str]:
    """An attribute list; quotes are kept, since some attributes must have them and others must not."""
    found = ATTRIBUTE.findall(value)
    if ",".join(f"{name}={content}" for name, content in found) != value:
        text.find("attributes", f"{value[:60]} is not an attribute list")
    names = [name for name, _content in found]
    if len(set(names)) != len(names):
        text.find("attributes", "an attribute stands there twice")
    return dict(found)


def durations(text: Text) -> list[float]:
    lengths = []
    for value, uri in text.entries:
        match = re.fullmatch(r"(\d+(?:\.\d+)?),.*", value)
        if match is None:
            text.find("extinf_syntax", f"{value!r} before {uri} is no duration followed by a comma")
        lengths.append(float(match.group(1)) if match else 0.0)
    return lengths
