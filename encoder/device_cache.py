"""What device tests found, remembered by device, driver and ffmpeg, so that a start does not repeat them."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from .candidates import Candidate
from .device import Device, Reason, Refusal

logger = logging.getLogger(__name__)

CACHE_FILE = "devices.json"
CACHE_VERSION = 1
# Reasons that may be gone the next time; what rests on them is not remembered.
PASSING = (Reason.TIMEOUT, Reason.SESSION_LIMIT, Reason.TEST_FAILED)


@dataclass(frozen=True, slots=True)
class Finding:
    """What the tests of one candidate came to. No device: it can nothing that is of use."""

    device: Device | None
    refusals: tuple[Refusal, ...]

    @property
    def is_lasting(self) -> bool:
        return not any(refusal.reason in PASSING for refusal in self.refusals)


class Cache:
    """What tests found, by device, driver and ffmpeg. A file that cannot be read or written is as good as none."""

    def __init__(self, path: Path, build: str) -> None:
        self._path, self._build = path, build
        self._entries = _load(path)
        self._used: dict[str, object] = {}

    def get(self, candidate: Candidate) -> Finding | None:
        entry = self._entries.get(self._key(candidate))
        try:
            finding = _finding(entry)
        except (TypeError, KeyError, ValueError, AttributeError):
            return None
        self._used[self._key(candidate)] = entry
        return finding

    def put(self, candidate: Candidate, finding: Finding) -> None:
        if finding.is_lasting:
            self._used[self._key(candidate)] = asdict(finding)

    def save(self) -> None:
        """Only what this host still has, whole or not at all."""
        if self._used == self._entries:
            return
        text = json.dumps({"version": CACHE_VERSION, "findings": self._used}, indent=1)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self._path.parent, delete=False) as file:
                file.write(text)
            os.replace(file.name, self._path)
        except OSError:
            logger.warning("device tests cannot be remembered", extra={"action": "device_cache"})

    def _key(self, candidate: Candidate) -> str:
        facts = (candidate.id, candidate.node, candidate.name, candidate.driver, self._build)
        return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def _load(path: Path) -> dict[str, object]:
    try:
        data = json.loads(path.read_text())
        if data["version"] != CACHE_VERSION:
            return {}
        return dict(data["findings"])
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _finding(entry: object) -> Finding:
    if not isinstance(entry, dict):
        raise TypeError("no entry")
    device = Device.from_json(entry["device"]) if entry["device"] else None
    return Finding(device, tuple(Refusal.from_json(each) for each in entry["refusals"]))
