"""Small real films, made once per session; everything hostile is cut from them."""

from __future__ import annotations

import subprocess
from pathlib import Path

PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=320x180:r=30000/1001:d=4")
SOUND = ("-f", "lavfi", "-i", "sine=d=4")
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "30", "-threads", "1")


class Clips:
    """Films by name; each is made when it is first asked for."""

    def __init__(self, ffmpeg: str, folder: Path) -> None:
        self._ffmpeg = ffmpeg
        self._folder = folder

    def make(self, name: str, *arguments: str) -> Path:
        path = self._folder / name
        if not path.exists():
            argv = [self._ffmpeg, "-nostdin", "-v", "error", *arguments, str(path)]
            subprocess.run(argv, check=True, timeout=120)
        return path

    @property
    def mp4(self) -> Path:
        """H.264 and AAC, 4 s, 119.88 frames; the header is behind the media."""
        return self.make(
            "film.mp4", *PICTURE, *SOUND, *H264, "-c:a", "aac", "-metadata:s:a:0", "language=eng"
        )

    @property
    def faststart(self) -> Path:
        """The same film with the header in front."""
        return self.make("fast.mp4", "-i", str(self.mp4), "-c", "copy", "-movflags", "+faststart")

    def remux(self, name: str, *arguments: str) -> Path:
        return self.make(name, "-i", str(self.mp4), "-c", "copy", *arguments)


FORM_TYPE = "multipart/form-data; boundary=part"


def form_body(content: bytes, **fields: str) -> bytes:
    """A form as a browser sends it; the test client's own would leave temporary files open."""
    head = b'--part\r\nContent-Disposition: form-data; name="%s"'
    parts = [head % name.encode() + b"\r\n\r\n" + value.encode() + b"\r\n" for name, value in fields.items()]
    file = head % b"file" + b'; filename="film.mp4"\r\nContent-Type: video/mp4\r\n\r\n' + content + b"\r\n"
    return b"".join(parts) + file + b"--part--\r\n"
