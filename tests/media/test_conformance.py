"""The checker itself: content with a good film, and each single fault in it is found under its own name."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conformance import check
from tests.conformance.sync import apart, beeps, flashes
from tests.films import join
from tests.hostile.clips import H264, Clips
from tests.media.published import Published, publish

pytestmark = pytest.mark.media
PACKET = 188

# Once a second, for a tenth of it, the whole picture is white and a tone sounds.
FLASH = "color=black:s=214x120:r=25:d=4,drawbox=c=white:t=fill:enable='lt(mod(t\\,1)\\,0.1)'"
BEEP = "aevalsrc='sin(2*PI*1000*t)*lt(mod(t\\,1)\\,0.1)':s=48000:d=4"


@pytest.fixture(scope="module")
def film(clips: Clips, ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Published:
    source = clips.make(
        "flash.mp4", "-f", "lavfi", "-i", FLASH, "-f", "lavfi", "-i", BEEP, *H264, "-c:a", "aac"
    )
    published = publish(ffmpeg_path, source, tmp_path_factory.mktemp("good"))
    assert not published.failed
    return published


@pytest.fixture
def copy(film: Published, tmp_path: Path) -> Path:
    return shutil.copytree(film.folder, tmp_path / "copy")


def rules(folder: Path) -> set[str]:
    return {finding.rule for finding in check(folder)}


def test_a_good_film_has_no_findings(film: Published) -> None:
    assert [str(finding) for finding in check(film.folder)] == []


def swap(name: str, old: str, new: str, *, count: int = 1) -> Callable[[Path], None]:
    """Replace text in a playlist; the pattern must be there."""

    def damage(folder: Path) -> None:
        text = (folder / name).read_text()
        changed = re.sub(old, new, text, count=count)
        assert changed != text
        (folder / name).write_text(changed)

    return damage


def bytes_of(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        before = (folder / name).read_bytes()
        after = change(before)
        assert after != before
        (folder / name).write_bytes(after)

    return damage


def replaced_by(name: str, other: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes((folder / other).read_bytes())

    return damage


def without_first_packet_of_stream(data: bytes) -> bytes:
    """The second packet of the picture's stream is lost on the way."""
    ours = [at for at in range(0, len(data), PACKET) if data[at + 2] == 0 and data[at + 1] & 0x1F == 1]
    return data[: ours[1]] + data[ours[1] + PACKET :]


def later_by(ticks: int) -> Callable[[bytes], bytes]:
    """Every timestamp of the stream is moved."""

    def move(data: bytes) -> bytes:
        out = bytearray(data)
        for at in range(0, len(data), PACKET):
            payload = at + 4 + (1 + data[at + 4] if data[at + 3] & 0x20 else 0)
            if data[at + 1] & 0x40 and out[payload : payload + 3] == b"\0\0\1":
                for field in range(bool(data[payload + 7] & 0x80) + bool(data[payload + 7] & 0x40)):
                    _move_stamp(out, payload + 9 + 5 * field, ticks)
        return bytes(out)

    return move


def _move_stamp(out: bytearray, at: int, ticks: int) -> None:
    p = out[at : at + 5]
    old = (p[0] >> 1 & 7) << 30 | p[1] << 22 | p[2] >> 1 << 15 | p[3] << 7 | p[4] >> 1
    new = old + ticks
    out[at : at + 5] = bytes(
        [
            p[0] & 0xF0 | new >> 29 & 0xE | 1,
            new >> 22 & 0xFF,
            new >> 14 & 0xFE | 1,
            new >> 7 & 0xFF,
            new << 1 & 0xFE | 1,
        ]
    )


def no_idr(data: bytes) -> bytes:
    """The key picture calls itself an ordinary one."""
    return re.sub(b"(\\x00\\x00\\x01)[\x65\x25\x45]", b"\\1\x41", data, count=1)


def stereo(data: bytes) -> bytes:
    """The first sound packet says two channels."""
    at = data.index(b"\xff\xf1")
    return data[: at + 3] + bytes([data[at + 3] & 0x3F | 0x80]) + data[at + 4 :]


BREAKAGES: list[tuple[str, str, Callable[[Path], None]]] = [
    ("no head", "first_line", swap("60p.m3u8", "#EXTM3U", "#EXTM3V")),
    ("a tag nobody knows", "unknown_tag", swap("60p.m3u8", "#EXT-X-ENDLIST", "#EXT-X-FOO\n#EXT-X-ENDLIST")),
    ("a tag twice", "repeated_tag", swap("60p.m3u8", "(#EXT-X-VERSION:6)", r"\1\n\1")),
    ("an old version", "version", swap("60p.m3u8", "VERSION:6", "VERSION:1")),
    ("no end", "playlist_type", swap("60p.m3u8", "#EXT-X-ENDLIST\n", "")),
    ("still growing", "types_differ", swap("60p.m3u8", "VOD", "EVENT")),
    ("a target too short", "target_duration", swap("audio.m3u8", "#EXTINF:1.0", "#EXTINF:1.6")),
    ("targets that differ", "targets_differ", swap("60p.m3u8", "TARGETDURATION:1", "TARGETDURATION:2")),
    ("a wrong length", "extinf", swap("120p.m3u8", r"#EXTINF:1\.000000", "#EXTINF:1.002000")),
    ("a length that is no number", "extinf_syntax", swap("120p.m3u8", r"1\.000000,", "one,")),
    ("a line without an address", "no_uri", swap("120p.m3u8", "120p_0001.ts\n", "")),
    ("an address elsewhere", "uri", swap("120p.m3u8", "120p_0001.ts", "../120p_0001.ts")),
    ("a segment that is gone", "missing_segment", lambda folder: (folder / "60p_0002.ts").unlink()),
    ("a rung that is gone", "missing_playlist", lambda folder: (folder / "60p.m3u8").unlink()),
    ("a rung without its last segment", "alignment", swap("60p.m3u8", "#EXTINF:[0-9.]+,\n60p_0003.ts\n", "")),
    ("a segment twice", "picture_times", replaced_by("120p_0002.ts", "120p_0001.ts")),
    ("another rung's segment", "parameter_sets", replaced_by("120p_0001.ts", "60p_0001.ts")),
    ("a lost packet", "segment", bytes_of("120p_0000.ts", without_first_packet_of_stream)),
    ("half a packet", "segment", bytes_of("120p_0003.ts", lambda data: data[:-100])),
    ("a segment that starts late", "alignment", bytes_of("60p_0002.ts", later_by(3600))),
    ("a segment that steps back", "decode_times", bytes_of("60p_0002.ts", later_by(-90_000))),
    ("no key picture", "key_frame", bytes_of("120p_0002.ts", no_idr)),
    ("a lost seam", "continuity", bytes_of("60p_0000.ts", lambda data: data[:-PACKET])),
    ("sound that jumps", "sound_times", bytes_of("audio_0002.ts", later_by(900))),
    ("sound that begins late", "sound_start", bytes_of("audio_0000.ts", later_by(9000))),
    ("sound in two formats", "sound_format", bytes_of("audio_0001.ts", stereo)),
    ("sound that ends early", "sound_length", swap("audio.m3u8", "#EXTINF:[0-9.]+,\naudio_0003.ts\n", "")),
    ("a picture bigger than said", "resolution", swap("master.m3u8", "RESOLUTION=214x120", "RESOLUTION=212x120")),
    ("another level", "codecs", swap("master.m3u8", "avc1.......,", "avc1.640028,")),
    ("no sound in CODECS", "codecs", swap("master.m3u8", ",mp4a.40.2", "")),
    ("a rate too low", "bandwidth", swap("master.m3u8", r":BANDWIDTH=\d", ":BANDWIDTH=")),
    ("a rate too high", "bandwidth_high", swap("master.m3u8", r":BANDWIDTH=", ":BANDWIDTH=9")),
    ("an average that is off", "average_bandwidth", swap("master.m3u8", "AVERAGE-BANDWIDTH=.", "AVERAGE-BANDWIDTH=9")),
    ("another frame rate", "frame_rate", swap("master.m3u8", "25.000", "24.000")),
    ("a range it does not have", "video_range", swap("master.m3u8", "VIDEO-RANGE=SDR", "VIDEO-RANGE=PQ")),
    ("no range", "video_range", swap("master.m3u8", ",VIDEO-RANGE=SDR", "")),
    ("no frame rate", "attribute_missing", swap("master.m3u8", ",FRAME-RATE=[0-9.]+", "")),
    ("a group that is not there", "audio_group", swap("master.m3u8", 'AUDIO="sound"', 'AUDIO="noise"')),
    ("the wrong number of channels", "channels", swap("master.m3u8", 'CHANNELS="1"', 'CHANNELS="6"')),
    ("no default track", "audio_default", swap("master.m3u8", "DEFAULT=YES", "DEFAULT=NO")),
    ("a broken attribute list", "attributes", swap("master.m3u8", "BANDWIDTH=", "BANDWIDTH ")),
    ("the same rung twice", "repeated_variant", swap("master.m3u8", "\n60p.m3u8", "\n120p.m3u8")),
    ("no master", "missing_master", lambda folder: (folder / "master.m3u8").unlink()),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "damage"), [b[1:] for b in BREAKAGES], ids=[b[0] for b in BREAKAGES])
def test_each_fault_is_found(copy: Path, rule: str, damage: Callable[[Path], None]) -> None:
    damage(copy)
    assert rule in rules(copy)


def test_flash_and_beep_come_together_from_beginning_to_end(film: Published, tmp_path: Path) -> None:
    picture = flashes(join(film.segments("120p"), tmp_path / "picture.ts"))
    sound = beeps(join(film.segments("audio"), tmp_path / "sound.ts"))
    assert len(picture) == len(sound) == 4
    assert max(map(abs, apart(picture, sound))) < 0.020


def test_sound_that_is_late_is_heard(film: Published, tmp_path: Path) -> None:
    moved = tmp_path / "late.ts"
    whole = join(film.segments("audio"), tmp_path / "sound.ts").read_bytes()
    moved.write_bytes(later_by(90 * 40)(whole))
    picture = flashes(join(film.segments("120p"), tmp_path / "picture.ts"))
    late = apart(picture, beeps(moved))
    assert min(late) > 0.020
