"""A stand-in for the public surface: one film whose segments appear when the test says so."""

from __future__ import annotations

import json
import mimetypes
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jinja2

APP = Path(__file__).parents[2] / "vlog_app"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "connect-src 'self'; font-src 'self'; worker-src 'self' blob:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
SEGMENT_S = 4
SEGMENTS = 6
RUNGS = {"144p": (256, 144), "180p": (320, 180)}
NAMES = (*RUNGS, "audio")
SEGMENT = re.compile(r"/videos/film/(\w+)_(\d{4})\.ts")
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Film</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="/static/css/vlog.css"><link rel="stylesheet" href="/static/css/player.css"></head>
<body><main><h1>Film</h1>{% include "public/_player.html" %}</main></body></html>"""


def make_segments(ffmpeg: str, folder: Path) -> None:
    """24 s of test picture at 30 fps on two rungs, cut on the same frames, and its sound apart."""
    length = f"duration={SEGMENT_S * SEGMENTS}"
    cut = ["-f", "segment", "-segment_time", str(SEGMENT_S), "-segment_format", "mpegts"]
    keys = ["-g", str(SEGMENT_S * 30), "-sc_threshold", "0"]
    argv = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", f"testsrc2=size=320x180:rate=30:{length}"]
    argv += ["-f", "lavfi", "-i", f"sine=sample_rate=48000:{length}"]
    for name, (width, height) in RUNGS.items():
        argv += ["-map", "0:v", "-vf", f"scale={width}:{height}", "-c:v", "libx264", "-preset", "ultrafast"]
        argv += ["-pix_fmt", "yuv420p", *keys, *cut, str(folder / f"{name}_%04d.ts")]
    argv += ["-map", "1:a", "-c:a", "aac", *cut, str(folder / "audio_%04d.ts")]
    subprocess.run(argv, check=True, timeout=120)


class Film:
    """What exists, what was asked for, and whether the line is cut."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: dict[str, set[int]] = {name: set() for name in NAMES}
        self.demands: list[int] = []
        self.too_early: list[str] = []
        self.is_cut = False

    def make(self, *indexes: int, names: tuple[str, ...] = NAMES) -> None:
        for name in names:
            self.made[name].update(indexes)

    def progress(self) -> dict[str, Any]:
        is_whole = all(len(made) == SEGMENTS for made in self.made.values())
        rows = [self._rendition(name) for name in NAMES]
        return {
            "status": "ready" if is_whole else "viewable",
            "duration_s": float(SEGMENT_S * SEGMENTS),
            "segment_s": float(SEGMENT_S),
            "segments": SEGMENTS,
            "generation": 1,
            "percent": 50,
            "eta_s": None,
            "storyboard": None,
            "renditions": rows,
        }

    def _rendition(self, name: str) -> dict[str, Any]:
        made = sorted(self.made[name])
        kind = "video" if name in RUNGS else "audio"
        ready = [[index, index + 1] for index in made]
        return {"name": name, "kind": kind, "ready": ready, "done": len(made), "planned": SEGMENTS}

    def page(self) -> str:
        loader = jinja2.FileSystemLoader(APP / "templates")
        environment = jinja2.Environment(loader=loader, autoescape=True)
        environment.globals["url_for"] = lambda _endpoint, filename: f"/static/{filename}"
        player = {
            "slug": "film",
            "title": "A film",
            "master_url": "/videos/film/master.m3u8?timeline=full",
            "progress_url": "/api/videos/film/progress",
            "duration_s": SEGMENT_S * SEGMENTS,
            "status": "viewable",
            "captions": [],
        }
        return environment.from_string(PAGE).render(player=player)


def master() -> str:
    lines = ["#EXTM3U", '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="Original",DEFAULT=YES,URI="audio.m3u8"']
    for place, (name, (width, height)) in enumerate(RUNGS.items()):
        rate = 200_000 * (place + 1)
        lines.append(
            f"#EXT-X-STREAM-INF:BANDWIDTH={rate},RESOLUTION={width}x{height},"
            f'CODECS="avc1.42c00d,mp4a.40.2",FRAME-RATE=30,AUDIO="a"\n{name}.m3u8'
        )
    return "\n".join(lines)


def media(name: str) -> str:
    head = f"#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-TARGETDURATION:{SEGMENT_S}\n"
    entries = [f"#EXTINF:{SEGMENT_S},\n{name}_{index:04d}.ts?g=1\n" for index in range(SEGMENTS)]
    return head + "".join(entries) + "#EXT-X-ENDLIST\n"


class Handler(BaseHTTPRequestHandler):
    film: Film
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: the film keeps what matters."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/watch":
            self._answer(self.film.page(), "text/html; charset=utf-8")
        elif path.startswith("/static/"):
            self._answer((APP / path[1:]).read_bytes(), mimetypes.guess_type(path)[0] or "text/plain")
        elif self.film.is_cut:
            self._hang_up()
        elif path.endswith("/progress"):
            self._answer(json.dumps(self.film.progress()), "application/json")
        elif path.endswith(".m3u8"):
            name = Path(path).stem
            self._answer(master() if name == "master" else media(name), "application/vnd.apple.mpegurl")
        elif match := SEGMENT.fullmatch(path):
            self._segment(match[1], int(match[2]))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.film.demands.append(body["segment"])
        self._answer('{"ready": false, "eta_s": 2}', "application/json", 202)

    def _segment(self, name: str, index: int) -> None:
        if index in self.film.made[name]:
            self._answer((self.film.folder / f"{name}_{index:04d}.ts").read_bytes(), "video/mp2t")
            return
        self.film.too_early.append(f"{name}_{index}")
        self._answer('{"code": "not_encoded_yet"}', "application/json", 503)

    def _hang_up(self) -> None:
        self.close_connection = True

    def _answer(self, body: str | bytes, content_type: str, status: int = 200) -> None:
        raw = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(raw)))
        self.send_header("Content-Security-Policy", CSP)
        self.end_headers()
        self.wfile.write(raw)


class FilmServer(ThreadingHTTPServer):
    """Serves one film on a free port until the `with` block ends."""

    daemon_threads = True

    def __init__(self, film: Film) -> None:
        super().__init__(("127.0.0.1", 0), type("FilmHandler", (Handler,), {"film": film}))
        self.url = f"http://127.0.0.1:{self.server_port}/watch"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that seeks hangs up in the middle of an answer."""

    def __exit__(self, *args: Any) -> None:
        self.shutdown()
        super().__exit__(*args)
