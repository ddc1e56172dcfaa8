"""A published folder in a real browser: hls.js and nothing of ours around it, every picture counted to the end."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

VENDOR = Path(__file__).parents[2] / "vlog_app" / "static" / "vendor"
FASTEST = 4.0  # times realtime; a browser on a busy machine still shows, or counts as dropped, every picture
PAGE = """<!doctype html><title>Film</title><link rel="icon" href="data:,"><video muted></video><script src="/hls.js"></script>
<script>
  const video = document.querySelector("video"), seen = {errors: [], ended: false, started: false};
  const fail = (what) => seen.errors.push(what);
  addEventListener("error", (event) => fail(String(event.message)));
  video.addEventListener("error", () => fail(video.error.message));
  video.addEventListener("ended", () => { seen.ended = true; });
  const hls = new Hls({startPosition: 0, maxBufferLength: 600, capLevelToPlayerSize: false});
  const noise = ["bufferSeekOverHole", "bufferStalledError", "bufferNudgeOnStall", "bufferAppendNoProgress"];  // a slow machine, or TS's first 66 ms
  hls.on(Hls.Events.ERROR, (_, data) => {
    if (data.fatal || !noise.includes(data.details)) fail(`${data.details} ${data.reason || (data.error || {}).message || ""}`);
  });
  hls.on(Hls.Events.MANIFEST_PARSED, () => { hls.loadLevel = LEVEL; });
  const start = () => { if (!seen.started) { seen.started = true; video.playbackRate = RATE; video.play(); } };
  hls.on(Hls.Events.BUFFER_EOS, start);
  hls.on(Hls.Events.FRAG_BUFFERED, () => {  // loaded to its end; what MPEG-TS lacks at its start is passed by playing
    const n = video.buffered.length;
    if (n && video.buffered.end(n - 1) > video.duration - 0.15) start();
  });
  hls.loadSource("/film/MASTER"); hls.attachMedia(video);
  window.look = () => ({...seen, frames: video.getVideoPlaybackQuality().totalVideoFrames, time: video.currentTime,
    size: [video.videoWidth, video.videoHeight], sound: video.webkitAudioDecodedByteCount,
    buffered: Array.from({length: video.buffered.length}, (_, n) => [video.buffered.start(n), video.buffered.end(n)])});
</script>"""  # noqa: E501


@dataclass(frozen=True, slots=True)
class Seen:
    """`frames`: pictures that left the decoder. `buffered`: (start, end) in seconds of what was loaded."""

    frames: int
    size: tuple[int, int]
    sound: int
    errors: list[str]
    buffered: list[list[float]]


def watch(
    browser: Any, folder: Path, *, level: int = 0, within_s: float = 90, master: str = "master.m3u8"
) -> Seen:
    """Play a film from its first picture to its last on one rung; 0 is the lowest. Raises when it does not end."""
    page_text = PAGE.replace("LEVEL", str(level)).replace("RATE", str(FASTEST)).replace("MASTER", master)
    with serving(folder, page_text) as url:
        context = browser.new_context()
        try:
            page = context.new_page()
            page.goto(url)
            page.wait_for_function("look().ended || look().errors.length", timeout=within_s * 1000)
            found = page.evaluate("look()")
        finally:
            context.close()
    return Seen(found["frames"], tuple(found["size"]), found["sound"], found["errors"], found["buffered"])


class Handler(SimpleHTTPRequestHandler):
    """/ is the page, /film/ the folder."""

    def __init__(self, *args: Any, page: str, film: Path, **kwargs: Any) -> None:
        self.page, self.film = page, film
        super().__init__(*args, **kwargs)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/":
            self._answer(self.page.encode(), "text/html; charset=utf-8")
        elif path == "/hls.js":
            self._answer(next(VENDOR.glob("hls-*.min.js")).read_bytes(), "text/javascript")
        else:
            file = self.film / path.removeprefix("/film/")
            self._answer(
                file.read_bytes(), "application/octet-stream"
            ) if file.is_file() else self.send_error(404)

    def _answer(self, body: bytes, content_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving(folder: Path, page: str) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, page=page, film=folder))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
