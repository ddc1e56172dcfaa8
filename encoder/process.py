"""The only place that runs ffmpeg: limits, progress, watchdog, a polite end, and the last lines it said."""

from __future__ import annotations

import json
import logging
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from .damage import is_damage
from .errors import EncodeFailed, EncodeStalled, LimitExceeded, StorageFull

logger = logging.getLogger(__name__)

LAUNCHER = Path(__file__).with_name("launch.py")
STDERR_LINES = 60  # kept for the person who has to understand a failure
POLITE_STOP_S = 3.0
WEIGH_EVERY_S = 1.0
FULL_DISK_WORDS = ("No space left on device", "Disk quota exceeded")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one ffmpeg may use. `stall_s`: seconds without a new frame or byte before it is killed. `frames`: pictures
    of its first output; `output_bytes`: all it writes into its folder.
    """

    wall_s: float = 4 * 3600
    stall_s: float = 90
    cpu_s: int = 24 * 3600
    memory_bytes: int = 16 << 30
    file_bytes: int = 2 << 30
    output_bytes: int = 1 << 40
    frames: int = 1 << 40
    nice: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """What ffmpeg said last. `frame` counts frames of this run's first output; `speed` is times realtime."""

    frame: int = 0
    out_time_s: float = 0.0
    speed: float | None = None


class Process:
    """One running ffmpeg. Use as a context manager: leaving it ends the whole process group.

    `argv` must hold `-progress pipe:1`. `wait` returns True once it has ended well and raises when it has not.
    """

    def __init__(self, argv: list[str], limits: Limits, cwd: Path | None = None) -> None:
        self.argv = argv
        self.progress = Progress()
        self.damage = 0  # how often it complained about the source
        self.taken_bytes = 0  # of its output that the caller has moved away
        self._limits = limits
        self._cwd = cwd
        self._stderr: deque[str] = deque(maxlen=STDERR_LINES)
        self._process: subprocess.Popen[str] | None = None
        self._readers: list[threading.Thread] = []
        self._started = self._moved = self._looked = self._weighed = 0.0
        self._is_paused = self._is_excused = False
        self._asked_to_stop = False

    def __enter__(self) -> Self:
        logger.info("ffmpeg starts", extra={"action": "ffmpeg_start", "argv": shlex.join(self.argv)})
        self._started = self._moved = self._looked = time.monotonic()
        self._process = subprocess.Popen(
            launch_argv(self.argv, self._limits),
            cwd=self._cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
            env=clean_environment(),
        )
        assert self._process.stdout and self._process.stderr
        self._read(self._process.stdout, self._take_progress)
        self._read(self._process.stderr, self._take_word)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self.stop()
        for reader in self._readers:
            reader.join(timeout=POLITE_STOP_S)
        if self.damage:
            facts = {"action": "source_damaged", "count": self.damage, "stderr": self.stderr_tail[-2000:]}
            logger.warning("the source is damaged; what could be decoded was kept", extra=facts)

    @property
    def stderr_tail(self) -> str:
        return "\n".join(self._stderr)

    def wait(self, timeout_s: float) -> bool:
        """Wait a moment. True: ended with success. False: still at work. Raises EncodeFailed, EncodeStalled, ..."""
        assert self._process
        try:
            status = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._check_watchdog()
            return False
        for reader in self._readers:
            reader.join(timeout=POLITE_STOP_S)
        if status != 0 and not self._asked_to_stop:
            raise self._failure(status)
        return True

    def stop(self) -> None:
        """End the process group: asked first, then killed. Safe to call twice."""
        if self._process is None or self._process.poll() is not None:
            return
        self._asked_to_stop = True
        self._signal(signal.SIGTERM)
        self.resume()  # what stands still hears nothing
        try:
            self._process.wait(POLITE_STOP_S)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def moved(self) -> None:
        """Told by the caller when output grew, so that a slow but living encode is not taken for dead."""
        self._moved = time.monotonic()

    def pause(self) -> None:
        """It stands still until `resume`; no clock counts that."""
        if not self._is_paused:
            self._is_paused = True
            self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._signal(signal.SIGCONT)

    def excuse(self) -> None:
        """Told by the caller when it waits for something that is not its fault: until the next look no clock counts."""
        self._is_excused = True

    def _check_watchdog(self) -> None:
        now = time.monotonic()
        if self._is_paused or self._is_excused:
            self._started += now - self._looked
            self._moved = min(now, self._moved + now - self._looked)
        self._looked, self._is_excused = now, False
        if now - self._moved > self._limits.stall_s:
            self.stop()
            raise EncodeStalled(
                f"The encoder made no progress for {self._limits.stall_s:.0f} s and was stopped.",
                detail=self.stderr_tail,
            )
        if now - self._started > self._limits.wall_s:
            self.stop()
            raise LimitExceeded(
                f"The encoder ran longer than the {self._limits.wall_s:.0f} s it may take.",
                detail=self.stderr_tail,
            )
        self._check_output(now)

    def _check_output(self, now: float) -> None:
        words = ""
        if self.progress.frame > self._limits.frames:
            words = f"The encoder made more than the {self._limits.frames} pictures that are wanted."
        elif self._cwd is not None and now - self._weighed > WEIGH_EVERY_S:
            self._weighed = now
            if self.taken_bytes + bytes_in(self._cwd) > self._limits.output_bytes:
                words = f"The encoder wrote more than the {self._limits.output_bytes >> 20} MiB it may."
        if words:
            self.stop()
            raise LimitExceeded(words, detail=self.stderr_tail)

    def _failure(self, status: int) -> EncodeFailed | StorageFull | LimitExceeded:
        tail = self.stderr_tail
        if any(word in tail for word in FULL_DISK_WORDS):
            return StorageFull("The disk is full. Everything finished so far is kept.", detail=tail)
        if -status in (signal.SIGXCPU, signal.SIGXFSZ):
            return LimitExceeded("The encoder passed the limits set for it.", detail=tail)
        return EncodeFailed(_plain_cause(tail, status), detail=tail)

    def _signal(self, number: int) -> None:
        assert self._process
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return

    def _read(self, stream: IO[str], take: object) -> None:
        reader = threading.Thread(target=_drain, args=(stream, take), daemon=True)
        reader.start()
        self._readers.append(reader)

    def _take_word(self, line: str) -> None:
        self._stderr.append(line)
        self.damage += is_damage(line)

    def _take_progress(self, line: str) -> None:
        """Lines are `key=value`; a new frame or a later time means it moves."""
        key, _, value = line.partition("=")
        old = self.progress
        if key == "frame":
            self.progress = Progress(_int(value), old.out_time_s, old.speed)
        elif key in ("out_time_us", "out_time_ms"):  # both are microseconds
            self.progress = Progress(old.frame, _int(value) / 1e6, old.speed)
        elif key == "speed":
            self.progress = Progress(old.frame, old.out_time_s, _speed(value))
        if (self.progress.frame, self.progress.out_time_s) != (old.frame, old.out_time_s):
            self.moved()


def run_to_end(argv: list[str], limits: Limits, cwd: Path | None = None) -> str:
    """Run a short ffmpeg to its end; returns its last stderr lines. Raises like `Process.wait`."""
    with Process(argv, limits, cwd) as process:
        while not process.wait(0.5):
            pass
        return process.stderr_tail


def bytes_in(folder: Path) -> int:
    total = 0
    for entry in os.scandir(folder):
        try:
            total += entry.stat().st_size
        except FileNotFoundError:  # just renamed
            continue
    return total


def launch_argv(argv: list[str], limits: Limits) -> list[str]:
    """`argv` behind the launcher that sets the limits and ties its life to ours."""
    facts = {
        "parent": os.getpid(),
        "memory_bytes": limits.memory_bytes,
        "cpu_s": limits.cpu_s,
        "file_bytes": limits.file_bytes,
        "nice": limits.nice,
    }
    return [sys.executable, "-I", "-S", str(LAUNCHER), json.dumps(facts), *argv]


def clean_environment() -> dict[str, str]:
    """Nothing of ours leaks into a program that reads untrusted bytes. GPUs are numbered by their place on the bus, as
    the system numbers them (see `candidates`).
    """
    keep = ("PATH", "LD_LIBRARY_PATH", "TMPDIR", "LANG", "LIBVA_DRIVER_NAME", "LIBVA_DRIVERS_PATH")
    return {name: os.environ[name] for name in keep if name in os.environ} | {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID"
    }


def _drain(stream: IO[str], take: object) -> None:
    assert callable(take)
    for line in stream:
        take(line.rstrip())
    stream.close()


def _plain_cause(tail: str, status: int) -> str:
    if status < 0:
        return f"The encoder was ended by signal {-status}."
    if "Invalid data found when processing input" in tail:
        return "The encoder could not read this file any further."
    if "Cannot allocate memory" in tail:
        return "The encoder ran out of memory."
    return "The encoder stopped with an error."


def _int(text: str) -> int:
    try:
        return int(text)
    except ValueError:  # N/A before the first frame
        return 0


def _speed(text: str) -> float | None:
    try:
        return float(text.strip().rstrip("x"))
    except ValueError:
        return None
