"""A tus 1.0 client: sends one file so that it can be taken up again where it stopped."""

import base64
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

import httpx2

READ_BYTES = 1 << 20
TRIES = 5  # broken connections in a row without a byte arriving between them
FIRST_PAUSE_S = 1.0
VERSION = {"Tus-Resumable": "1.0.0"}
MEMORY = Path(".cache/vlog/uploads")  # under the home folder: one file per upload that is under way

Advance = Callable[[int], None]


class UploadFailed(Exception):
    """The file was not taken; the text is a sentence."""

    def __init__(self, message: str, *, code: str = "upload_failed") -> None:
        super().__init__(message)
        self.code = code


class NothingAnswers(UploadFailed):
    def __init__(self, url: str) -> None:
        super().__init__(
            f"Nothing answers at {url}; start VLog, or set VLOG_ADMIN_API_URL.", code="nothing_answers"
        )


class ConnectionBroken(UploadFailed):
    def __init__(self) -> None:
        super().__init__(
            "The connection broke again and again; what arrived is kept: run the command again to go on.",
            code="connection_lost",
        )


@dataclass(frozen=True, slots=True)
class Uploaded:
    video_id: int
    slug: str


class TusClient:
    """Talks to one admin site. `deadline_s` is how long one file may take altogether."""

    def __init__(self, url: str, secret: str, *, answer_s: float, deadline_s: float, home: Path) -> None:
        headers = VERSION | ({"X-Admin-Secret": secret} if secret else {})
        self._url = url.rstrip("/")
        self._deadline_s = deadline_s
        self._memory = home / MEMORY
        # Reading may take long: the last answer comes when the whole file was looked at.
        timeout = httpx2.Timeout(answer_s, read=deadline_s)
        self._http = httpx2.Client(headers=headers, timeout=timeout, follow_redirects=False)

    def close(self) -> None:
        self._http.close()

    def upload(self, path: Path, title: str, advance: Advance) -> Uploaded:
        """Sends `path`, from where an earlier try stopped. `advance` hears the bytes that are there so far."""
        note = self._memory / _fingerprint(self._url, path)
        location, offset = self._resume(note) or (self._create(path, title, note), 0)
        advance(offset)
        try:
            answer = self._send(path, location, offset, advance)
        except ConnectionBroken:
            raise
        except UploadFailed:
            note.unlink(missing_ok=True)  # refused for good: the next try is a new upload
            raise
        note.unlink(missing_ok=True)
        return _uploaded(answer)

    def _resume(self, note: Path) -> tuple[str, int] | None:
        """Where an earlier try of this file is kept, and how much of it; None when there is none any more."""
        if not note.exists():
            return None
        location = note.read_text(encoding="utf-8").strip()
        answer = self._request("HEAD", location)
        if answer.is_success:
            return location, int(answer.headers["Upload-Offset"])
        note.unlink(missing_ok=True)
        return None

    def _create(self, path: Path, title: str, note: Path) -> str:
        metadata = {"filename": path.name, "title": title}
        pairs = (
            f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in metadata.items() if value
        )
        headers = {"Upload-Length": str(path.stat().st_size), "Upload-Metadata": ",".join(pairs)}
        answer = self._request("POST", f"{self._url}/uploads", headers=headers)
        _require_success(answer)
        location = urljoin(f"{self._url}/uploads", answer.headers["Location"])
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(location, encoding="utf-8")
        return location

    def _send(self, path: Path, location: str, offset: int, advance: Advance) -> httpx2.Response:
        """One PATCH carries the rest; after a broken connection another carries what is then still missing."""
        ends_at, tries = time.monotonic() + self._deadline_s, 0
        while True:
            try:
                answer = self._patch(path, location, offset, advance)
            except httpx2.TransportError:
                answer = None
            if answer is not None and answer.status_code not in (409, 423, 502, 503, 504):
                _require_success(answer)
                return answer
            tries += 1
            if tries > TRIES or time.monotonic() > ends_at:
                raise ConnectionBroken
            time.sleep(FIRST_PAUSE_S * 2 ** (tries - 1))
            arrived = self._offset(location)
            tries, offset = (0 if arrived > offset else tries), arrived
            advance(offset)

    def _patch(self, path: Path, location: str, offset: int, advance: Advance) -> httpx2.Response:
        headers = {
            "Content-Type": "application/offset+octet-stream",
            "Upload-Offset": str(offset),
            "Content-Length": str(path.stat().st_size - offset),
        }
        return self._http.patch(location, content=_bytes_from(path, offset, advance), headers=headers)

    def _offset(self, location: str) -> int:
        try:
            answer = self._http.head(location)
        except httpx2.TransportError:
            return 0
        _require_success(answer)
        return int(answer.headers["Upload-Offset"])

    def get_json(self, path: str) -> dict[str, object]:
        answer = self._request("GET", f"{self._url}{path}")
        _require_success(answer)
        body: dict[str, object] = answer.json()
        return body

    def _request(self, method: str, url: str, headers: dict[str, str] | None = None) -> httpx2.Response:
        try:
            return self._http.request(method, url, headers=headers)
        except httpx2.TransportError:
            raise NothingAnswers(self._url) from None


def _bytes_from(path: Path, offset: int, advance: Advance) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(offset)
        while block := file.read(READ_BYTES):
            yield block
            offset += len(block)
            advance(offset)


def _require_success(answer: httpx2.Response) -> None:
    if answer.is_success:
        return
    if answer.status_code == httpx2.codes.UNAUTHORIZED:
        raise UploadFailed(
            "The admin secret is not the right one; set VLOG_ADMIN_API_SECRET.", code="wrong_secret"
        )
    try:
        body = answer.json()
        raise UploadFailed(str(body["detail"]), code=str(body.get("code", answer.status_code)))
    except (ValueError, KeyError, TypeError):
        raise UploadFailed(f"The site refused it with status {answer.status_code}.") from None


def _uploaded(answer: httpx2.Response) -> Uploaded:
    try:
        return Uploaded(int(answer.headers["X-Video-Id"]), answer.headers["X-Video-Slug"])
    except (KeyError, ValueError):
        raise UploadFailed("The site took the file and did not say which video it became.") from None


def _fingerprint(url: str, path: Path) -> str:
    """The same file to the same site: a changed file is another upload."""
    facts = path.stat()
    words = f"{url}\n{path.resolve()}\n{facts.st_size}\n{facts.st_mtime_ns}"
    return hashlib.sha256(words.encode()).hexdigest()
