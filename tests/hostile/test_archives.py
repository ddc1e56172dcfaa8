"""Archives that nobody should write, sent by somebody with a good key: refused, with nothing left anywhere."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.conftest import AppFactory
from tests.contract.conftest import planned_video
from tests.contract.worker_api import WORKER_SECRET
from vlog_app.models import Video
from vlog_app.services import tarballs

GOOD = "720p_0000.ts"
Member = tuple[tarfile.TarInfo, bytes]


@pytest.fixture
def server(app_factory: AppFactory) -> Flask:
    small = {
        "max_hls_archive_files": 20,
        "max_hls_single_file_size": 4 << 20,
        "max_hls_archive_size": 6 << 20,
    }
    return app_factory("worker_api", worker_admin_secret=WORKER_SECRET, **small)


@pytest.fixture
def film(server: Flask) -> Video:
    with server.app_context():
        return planned_video()[0]


@pytest.fixture
def send(server: Flask, film: Video) -> Callable[..., Any]:
    """Uploads something under a good lease."""
    client = server.test_client()
    owner = {"X-Admin-Secret": WORKER_SECRET}
    key = client.post("/api/worker/register", json={"worker_name": "old"}, headers=owner).json["api_key"]
    headers = {"X-Worker-API-Key": key}
    job = client.post("/api/worker/claim", headers=headers).json
    assert job["video_id"] == film.id

    def upload(archive: bytes, what: str = "/quality/720p") -> Any:
        form = {"file": (io.BytesIO(archive), "quality.tar.gz", "application/gzip")}
        return client.post(f"/api/worker/upload/{film.id}{what}", headers=headers, data=form)

    return upload


def named(name: str, data: bytes = b"x", **facts: Any) -> Member:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for fact, value in facts.items():
        setattr(member, fact, value)
    return member, data


def link(name: str, target: str, kind: bytes) -> Member:
    return named(name, b"", type=kind, linkname=target)


def packed(*members: Member, form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=form) as archive:
        for member, data in members:
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(GOOD, b"x")
    return out.getvalue()


def damaged(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :] if at >= 0 else damaged(data, len(data) + at)


def long_header(kind: bytes) -> bytes:
    """A header that says the name of the next file is 64 MiB long."""
    member = tarfile.TarInfo("x")
    member.type, member.size = kind, 64 << 20
    return gzip.compress(member.tobuf() + b"a" * (64 << 20))


def lying(size: int) -> bytes:
    member = tarfile.TarInfo(GOOD)
    member.size = size
    return gzip.compress(member.tobuf(tarfile.GNU_FORMAT) + b"x" * 1024)


FINE = packed(named(GOOD))
NAMES = (
    "../720p_0000.ts", "a/../../720p_0000.ts", "/720p_0000.ts", "..\\720p_0000.ts", "720p_0000.ts\n", "x" * 5000,
    "720p_0000.html", "720p.py", ".htaccess", "sub/720p_0000.ts", "720P_0000.ts", "720p_0000.ts/", "1080p_0000.ts",
    "720p_٠٠٠٠.ts", "720p_00000.ts", "720p_1.ts", "720p\u0000.ts", "C:720p_0000.ts", "./720p_0000.ts", "master.m3u8",
)  # fmt: skip
BAD: dict[str, bytes] = {
    **{f"name {name[:20]!r}": packed(named(name)) for name in NAMES},
    "twice": packed(named(GOOD), named(GOOD)),
    "symlink to a file": packed(link(GOOD, "/etc/passwd", tarfile.SYMTYPE)),
    "symlink, then through it": packed(link("720p", "/tmp", tarfile.SYMTYPE), named("720p/init.mp4")),
    "hard link": packed(named(GOOD), link("720p_0001.ts", GOOD, tarfile.LNKTYPE)),
    "hard link outside": packed(link(GOOD, "../../vlog.db", tarfile.LNKTYPE)),
    "fifo": packed(named(GOOD, b"", type=tarfile.FIFOTYPE)),
    "character device": packed(named(GOOD, b"", type=tarfile.CHRTYPE, devmajor=1, devminor=5)),
    "block device": packed(named(GOOD, b"", type=tarfile.BLKTYPE)),
    "sparse": packed(named(GOOD, b"", type=tarfile.GNUTYPE_SPARSE), form=tarfile.GNU_FORMAT),
    "unknown kind": packed(named(GOOD, b"", type=b"Z")),
    "another folder": packed(named("etc", b"", type=tarfile.DIRTYPE)),
    "not a film": packed(named(GOOD, b"text " * 1000)),
    "empty segment": packed(named(GOOD, b"")),
    "hole": packed(named("720p_0001.ts")),
    "two kinds": packed(named(GOOD), named("720p/seg_0000.m4s"), named("720p/init.mp4")),
    "no header": packed(named("720p/seg_0000.m4s")),
    "only a playlist": packed(named("720p.m3u8", b"#EXTM3U\n#EXT-X-ENDLIST\n")),
    "nothing in it": packed(),
    "cut": FINE[:-12],
    "cut in its data": FINE[: len(FINE) // 2],
    "wrong checksum": damaged(FINE, -6),
    "wrong length": damaged(FINE, -2),
    "second gzip member": FINE + FINE,
    "something behind": FINE + b"hello",
    "zip": zipped(),
    "empty": b"",
    "text": b"quality.tar.gz",
    "gzip of text": gzip.compress(b"hello" * 1000),
    "plain tar": gzip.decompress(FINE),
    "size below zero": lying(-5),
}  # fmt: skip
TOO_MUCH: dict[str, bytes] = {
    "many files": packed(*(named(f"720p_{n:04d}.ts") for n in range(30))),
    "a large file": packed(named(GOOD, bytes(range(256)) * (5 << 12))),
    "large together": packed(*(named(f"720p_{n:04d}.ts", bytes(range(256)) * (3 << 12)) for n in range(3))),
    "zeros without end": packed(named(GOOD, b"\0" * (96 << 20))),
    "a file of 8 TiB": lying(8 << 40),
    "a long name": long_header(tarfile.GNUTYPE_LONGNAME),
    "long words about a file": long_header(tarfile.XHDTYPE),
}


def listing(storage: Path) -> list[str]:
    return sorted(
        str(path.relative_to(storage)) for path in storage.rglob("*") if not path.name.startswith("vlog.db")
    )


@pytest.mark.parametrize("what", BAD)
def test_a_bad_archive_is_400_and_nothing_is_left(send: Callable[..., Any], storage: Path, what: str) -> None:
    send(FINE)  # makes the folder that archives are read in
    before = listing(storage)
    answer = send(BAD[what])
    assert answer.status_code == 400, answer.text
    assert answer.json["code"] in ("bad_archive", "bad_rendition")
    assert "Nothing was kept" in answer.json["detail"]
    assert str(storage) not in answer.text and "Traceback" not in answer.text
    assert listing(storage) == before


@pytest.mark.parametrize("what", TOO_MUCH)
def test_too_much_is_413_while_it_is_read(
    send: Callable[..., Any], storage: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = 0

    def count(reader: Any, file: Any, size: int) -> str:
        nonlocal written
        start = file.tell()
        try:
            return copy(reader, file, size)
        finally:
            written += file.tell() - start

    copy = tarballs._copy
    monkeypatch.setattr(tarballs, "_copy", count)
    answer = send(TOO_MUCH[what])
    assert (answer.status_code, answer.json["code"]) == (413, "too_large"), answer.text
    assert written <= 6 << 20
    assert list((storage / ".work" / ".received").iterdir()) == []


@pytest.mark.parametrize("what", ["/quality/9999p", "/quality/..", "/quality/720p-av1"])
def test_a_quality_that_there_is_not_is_refused(send: Callable[..., Any], what: str) -> None:
    assert send(FINE, what).status_code in (404, 422)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("http://elsewhere.example/720p_0000.ts", "does not name"),
        ("../other-video/720p_0000.ts", "does not name"),
        ("720p_0000.ts\n720p_0001.ts", "does not name"),
        ("", "does not name"),
        ('#EXT-X-KEY:METHOD=AES-128,URI="http://x"\n720p_0000.ts', "encrypted"),
    ],
)
def test_a_playlist_that_says_something_else_is_refused(
    send: Callable[..., Any], storage: Path, text: str, says: str
) -> None:
    playlist = f"#EXTM3U\n#EXTINF:6,\n{text}\n#EXT-X-ENDLIST\n".encode()
    answer = send(packed(named("720p.m3u8", playlist), named(GOOD)))
    assert (answer.status_code, answer.json["code"]) == (400, "bad_playlist")
    assert says in answer.json["detail"]
    assert not (storage / "videos").exists() or listing(storage / "videos") == []


@pytest.mark.parametrize("playlist", [b"#EXTM3U\n720p_0000.ts\n", b"720p_0000.ts", b"\xff\xfe", b"\0" * 99])
def test_a_playlist_without_an_end_is_refused(send: Callable[..., Any], playlist: bytes) -> None:
    answer = send(packed(named("720p.m3u8", playlist), named(GOOD)))
    assert (answer.status_code, answer.json["code"]) == (400, "bad_playlist")


def test_setuid_and_owners_of_an_archive_mean_nothing(tmp_path: Path) -> None:
    data = packed(named(GOOD, b"x", mode=0o6777, uid=12345, gid=12345, uname="root"))
    caps = tarballs.Caps(5, 100, 100)
    found = tarballs.unpack([data], tmp_path, lambda name: name == GOOD, caps)
    facts = found[GOOD].path.stat()
    assert stat.S_IMODE(facts.st_mode) & 0o7133 == 0
    assert facts.st_uid != 12345


def test_a_poster_that_is_no_picture_is_refused(send: Callable[..., Any], storage: Path) -> None:
    answer = send(packed(named("thumbnail.jpg", b"<svg onload=x>")), "/finalize")
    assert (answer.status_code, answer.json["code"]) == (400, "bad_archive")
    assert send(packed(named("720p_0000.ts")), "/finalize").status_code == 400
    assert send(packed(named("master.m3u8", b"#EXTM3U")), "/finalize").status_code == 200
    assert not list(storage.rglob("*.m3u8"))
