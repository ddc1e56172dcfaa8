"""A worker of an existing installation, as its owner runs it today: the order of its calls, its archives."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

LADDER = {"360p": (360, "600k", "96k"), "480p": (480, "1000k", "96k"), "720p": (720, "2500k", "128k")}


class ClaimLost(Exception):
    """409: somebody else has the job; such a worker drops it without a word."""


@dataclass
class ExistingWorker:
    """Calls with a key and nothing else; every answer to a good call is a JSON object."""

    url: str
    key: str
    ffmpeg: str
    folder: Path
    format: str = "hls_ts"
    shelf: Path | None = None  # where others have encoded the same film
    said: list[str] = field(default_factory=list)

    def call(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        answer = self.ask(method, path, **more)
        if answer.status_code == 409:
            raise ClaimLost(path)
        answer.raise_for_status()
        body = answer.json()
        assert isinstance(body, dict)
        return body

    def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        self.said.append(path)
        headers = {"X-Worker-API-Key": self.key, **more.pop("headers", {})}
        return httpx2.request(method, f"{self.url}/api{path}", headers=headers, timeout=60, **more)

    # --- one job, in the order such a worker goes

    def work_once(self) -> dict[str, Any] | None:
        """Claims and does one job to its end; what `verify-complete` says of it. None: there was nothing."""
        self.call("POST", "/worker/heartbeat", json={"status": "idle"})
        job = self.call("POST", "/worker/claim")
        if job["job_id"] is None:
            assert job["message"]
            return None
        source = self.download(job)
        made = self.transcode(job, source)
        self.finalize(job, source)
        return self.finish(job, made)

    def download(self, job: dict[str, Any]) -> Path:
        self.progress(job, "download", 0)
        path = self.folder / str(job["source_filename"])
        headers = {"X-Worker-API-Key": self.key}
        with httpx2.stream(
            "GET", f"{self.url}/api/worker/source/{job['video_id']}", headers=headers
        ) as answer:
            answer.raise_for_status()
            path.write_bytes(b"".join(answer.iter_bytes()))
        size = {"source_width": job["source_width"], "source_height": job["source_height"]}
        self.progress(job, "probe", 5, duration=job["video_duration"], **size)
        self.progress(job, "thumbnail", 8)
        return path

    def transcode(self, job: dict[str, Any], source: Path) -> list[dict[str, Any]]:
        """One ffmpeg a rung, as large as the source at most; each is uploaded when it is done."""
        rungs = [name for name, (height, *_) in LADDER.items() if height <= job["source_height"]]
        made = []
        for number, name in enumerate(rungs):
            if name in job["existing_qualities"]:
                continue
            states = [{"name": name, "status": "in_progress", "progress": 50, "segments_total": None}]
            self.progress(job, "transcode", 10 + 60 * number // len(rungs), quality_progress=states)
            self.upload_quality(job, name, self.encode(source, name))
            states = [{"name": name, "status": "uploaded", "progress": 100}]
            self.progress(job, "transcode", 10 + 60 * (number + 1) // len(rungs), quality_progress=states)
            made.append({"name": name, "width": 0, "height": LADDER[name][0], "bitrate": 600})
        return made

    def encode(self, source: Path, name: str) -> dict[str, Path]:
        """Sound and picture in one, segments wherever this encoder puts its key frames. By names in the archive."""
        out = (self.shelf or self.folder) / f"{self.format}-{name}"
        if not out.exists():
            begun = self.folder / f"made-{name}"
            self._run_encoder(source, name, begun)
            begun.rename(out)
        return {str(path.relative_to(out)): path for path in sorted(out.rglob("*")) if path.is_file()}

    def _run_encoder(self, source: Path, name: str, out: Path) -> None:
        height, picture, sound = LADDER[name]
        (out / name).mkdir(parents=True, exist_ok=True)
        if self.format == "cmaf":
            list_, segments = out / name / "stream.m3u8", out / name / "seg_%04d.m4s"
            kind = ("-hls_segment_type", "fmp4", "-hls_fmp4_init_filename", "init.mp4")
        else:
            list_, segments, kind = out / f"{name}.m3u8", out / f"{name}_%04d.ts", ()
        argv = [
            *(self.ffmpeg, "-nostdin", "-v", "error", "-y", "-i", str(source), "-vf", f"scale=-2:{height}"),
            *("-c:v", "libx264", "-preset", "ultrafast", "-b:v", picture, "-bf", "2", "-g", "70"),
            *(
                "-c:a",
                "aac",
                "-b:a",
                sound,
                "-f",
                "hls",
                "-hls_time",
                "3",
                "-hls_playlist_type",
                "vod",
                *kind,
            ),
            *("-hls_segment_filename", str(segments), str(list_)),
        ]
        subprocess.run(argv, check=True, timeout=120)

    def upload_quality(self, job: dict[str, Any], name: str, files: Mapping[str, Path]) -> dict[str, Any]:
        path = f"/worker/upload/{job['video_id']}/quality/{name}"
        return self.call("POST", path, files={"file": ("quality.tar.gz", tarball(files), "application/gzip")})

    def finalize(self, job: dict[str, Any], source: Path) -> None:
        self.progress(job, "master_playlist", 80)
        master, poster = self.folder / "master.m3u8", self.folder / "thumbnail.jpg"
        master.write_text("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://elsewhere.example/720p.m3u8\n")
        argv = [self.ffmpeg, "-nostdin", "-v", "error", "-y", "-ss", "1", "-i", str(source), "-frames:v", "1"]
        subprocess.run([*argv, str(poster)], check=True, timeout=60)
        self.progress(job, "upload", 90)
        files = {"master.m3u8": master, "thumbnail.jpg": poster}
        sent = {"file": ("finalize.tar.gz", tarball(files), "application/gzip")}
        self.call("POST", f"/worker/upload/{job['video_id']}/finalize", files=sent)

    def finish(self, job: dict[str, Any], made: list[dict[str, Any]]) -> dict[str, Any]:
        body = {
            "qualities": made,
            "streaming_format": self.format,
            "completion_token": f"done-{job['job_id']}",
        }
        path = f"/worker/{job['job_id']}"
        first = self.call("POST", f"{path}/complete", json=body)
        assert (
            self.call("POST", f"{path}/complete", json=body) == first
        )  # its answer was lost: it says it again
        return self.call("GET", f"{path}/verify-complete")

    def progress(self, job: dict[str, Any], step: str, percent: float, **more: Any) -> dict[str, Any]:
        body = {"current_step": step, "progress_percent": percent, **more}
        return self.call("POST", f"/worker/{job['job_id']}/progress", json=body)

    def put_part(self, job: dict[str, Any], name: str, filename: str, data: bytes) -> httpx2.Response:
        headers = {"X-Content-SHA256": f"sha256:{hashlib.sha256(data).hexdigest()}"}
        path = f"/worker/upload/{job['video_id']}/segment/{name}/{filename}"
        return self.ask("POST", path, content=data, headers=headers)


def tarball(files: Mapping[str, Path | bytes]) -> bytes:
    """As Python's tarfile writes it, times with fractions and all."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            data = content if isinstance(content, bytes) else content.read_bytes()
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(data), 1_700_000_000.25  # type: ignore[assignment]
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()
