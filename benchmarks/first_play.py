"""Seconds from the last uploaded byte to the first segment a viewer can play, on a running site of its own.

    python -m benchmarks.first_play [--seconds 600] [--height 1080] [--source FILE]

The clock starts when the last byte has been handed to the kernel and stops when master playlist, a media playlist,
and a first segment of picture and of sound have all been answered with 200.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import httpx2

from benchmarks.sources import camera_like
from tests.provision.site import Site, running_site
from vlog_app.ffmpeg import find_ffmpeg

PATIENCE_S = 120.0
BLOCK = 1 << 20


class Clock:
    """Reads the file for the client and notes when its last byte was taken."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.last_byte_at = 0.0

    def __iter__(self) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            while block := file.read(BLOCK):
                yield block
        self.last_byte_at = time.monotonic()


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        source = options.source or camera_like(find_ffmpeg().path, root, options.seconds, options.height)
        size = source.stat().st_size
        with running_site(root / "storage") as site:
            figures = measure(site, source)
    for name, value in figures.items():
        print(f"{name:>22}: {value:8.2f} s")
    print(json.dumps({"source_bytes": size, **figures}))


def measure(site: Site, source: Path) -> dict[str, float]:
    clock = Clock(source)
    with httpx2.Client(timeout=PATIENCE_S) as client:
        slug = _upload(client, site, source, clock)
        answered = time.monotonic() - clock.last_byte_at
        base = f"{site.public_url}/videos/{slug}"
        master = _until_answered(client, f"{base}/master.m3u8")
        names = [line for line in master.splitlines() if line and not line.startswith("#")]
        names += [
            line.split('URI="')[1].split('"')[0] for line in master.splitlines() if "TYPE=AUDIO" in line
        ]
        for name in names:
            segment = _first_uri(_until_answered(client, f"{base}/{name}"))
            _until_answered(client, f"{base}/{segment}")
        return {"upload answered": answered, "first segment played": time.monotonic() - clock.last_byte_at}


def _upload(client: httpx2.Client, site: Site, source: Path, clock: Clock) -> str:
    size = source.stat().st_size
    headers = {"X-Admin-Secret": site.secret, "Tus-Resumable": "1.0.0"}
    about = {"Upload-Length": str(size), "Upload-Metadata": f"filename {b64encode(b'film.mp4').decode()}"}
    created = client.post(f"{site.admin_url}/uploads", headers=headers | about)
    created.raise_for_status()
    body = {
        "Upload-Offset": "0",
        "Content-Type": "application/offset+octet-stream",
        "Content-Length": str(size),
    }
    where = httpx2.URL(site.admin_url).join(created.headers["Location"])
    done = client.patch(where, headers=headers | body, content=iter(clock))
    done.raise_for_status()
    return str(done.headers["X-Video-Slug"])


def _until_answered(client: httpx2.Client, url: str) -> str:
    until = time.monotonic() + PATIENCE_S
    while (answer := client.get(url)).status_code != 200:
        assert time.monotonic() < until, f"{url}: {answer.status_code}"
        time.sleep(0.02)
    return answer.text if url.split("?")[0].endswith("m3u8") else ""


def _first_uri(playlist: str) -> str:
    return next(line for line in playlist.splitlines() if line and not line.startswith("#"))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--source", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
