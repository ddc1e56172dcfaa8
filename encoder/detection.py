"""Finds the devices of this host by making each of them encode and decode. Takes seconds: runs beside the start."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from . import trial
from .candidates import Candidate, Preferred, find_candidates
from .device import CPU, Device, DeviceKind, Encoder, Inventory, Reason, Refusal, Verdict, classify_failure
from .device_cache import CACHE_FILE, PASSING, Cache, Finding
from .errors import EncodeStalled, LimitExceeded, MediaError
from .hardware import ENCODERS, HWACCEL, MODES
from .process import Limits, run_to_end

logger = logging.getLogger(__name__)

TRIAL_S = 10.0
AT_ONCE = 2  # tests beside each other; more would take sessions from one another
# A driver reserves far more addresses than memory: the usual cap would end it before it begins.
ADDRESS_BYTES = 1 << 46
MOST_SESSIONS = 12  # nobody makes more rungs at once


@dataclass(frozen=True, slots=True)
class Program:
    """The ffmpeg to test with. `build` is its version line, part of the cache's key."""

    path: str
    build: str
    encoders: frozenset[str]


def find_devices(
    program: Program,
    cache_dir: Path,
    preferred: Preferred = "auto",
    *,
    vaapi_node: str = "",
    max_sessions: int = 0,
    root: Path = Path("/"),
    trial_s: float = TRIAL_S,
) -> Inventory:
    """Every device that passes a test, and a reason for every one that does not. Never raises.

    1. what the system shows (no program is started where it shows nothing)
    2. what is remembered of the same device, driver and ffmpeg
    3. real tests of the rest, two at a time, each ended after ten seconds
    `max_sessions`: what the owner says about limits; 0 finds out.
    """
    candidates, refusals = find_candidates(preferred, vaapi_node=vaapi_node, root=root)
    cache = Cache(cache_dir / CACHE_FILE, program.build)
    findings = []
    for candidate in candidates:
        finding = cache.get(candidate)
        if finding is None:
            finding = _examine_safely(program, candidate, max_sessions, trial_s)
            cache.put(candidate, finding)
        findings.append(finding)
    cache.save()
    devices = [_limited(each.device, max_sessions) for each in findings if each.device]
    refusals += tuple(refusal for each in findings for refusal in each.refusals)
    _log(devices, refusals)
    return Inventory((*devices, CPU), refusals)


def _examine_safely(program: Program, candidate: Candidate, max_sessions: int, trial_s: float) -> Finding:
    """A surprise in here costs the device, never the worker."""
    try:
        return examine(program, candidate, max_sessions, trial_s)
    except Exception as error:
        logger.exception("device test failed", extra={"action": "device_test", "device": candidate.id})
        return Finding(None, (Refusal(candidate.id, "", Reason.TEST_FAILED, repr(error)),))


def examine(program: Program, candidate: Candidate, max_sessions: int, trial_s: float) -> Finding:
    """All tests of one candidate."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vlog-devices-")))
        pool = stack.enter_context(ThreadPoolExecutor(AT_ONCE))
        bench = _Bench(program, _bare(candidate), folder, trial_s)
        encoders = list(pool.map(bench.try_encoder, ENCODERS[candidate.kind]))
        decoders = list(pool.map(bench.try_decoder, trial.SAMPLES if candidate.kind in HWACCEL else ()))
        device = replace(
            bench.device,
            encoders=tuple(each for each in encoders if isinstance(each, Encoder)),
            decoders=tuple(each for each in decoders if isinstance(each, str)),
        )
        if device.kind is DeviceKind.NVIDIA and device.encoders and not max_sessions:
            device = replace(device, max_sessions=bench.count_sessions(device.encoders[0]))
    refusals = tuple(each for each in (*encoders, *decoders) if isinstance(each, Refusal))
    return Finding(device if device.encoders or device.decoders else None, refusals)


@dataclass(frozen=True, slots=True)
class _Bench:
    """One candidate under test. Each test has a folder of its own."""

    program: Program
    device: Device
    folder: Path
    trial_s: float

    def try_encoder(self, codec: str) -> Encoder | Refusal:
        name = ENCODERS[self.device.kind][codec]
        what = f"encode {codec}"
        if name not in self.program.encoders:
            return self._refusal(what, Reason.ENCODER_NOT_BUILT, name)
        refusal = self._refusal(what, Reason.DRIVER_REFUSED)
        for mode in MODES[self.device.kind]:
            encoder = Encoder(codec, name, mode)
            tried = self._guarded(what, partial(self._encode, encoder))
            if tried is None:
                return encoder
            refusal = tried
            if refusal.reason in PASSING or classify_failure(refusal.detail) is Verdict.UNAVAILABLE:
                break  # asking in another way would not help
        return refusal

    def try_decoder(self, decoder: str) -> str | Refusal:
        what = f"decode {decoder}"
        if trial.sample_encoder(decoder) not in self.program.encoders:
            return self._refusal(what, Reason.ENCODER_NOT_BUILT, trial.sample_encoder(decoder))
        return self._guarded(what, partial(self._decode, decoder)) or decoder

    def count_sessions(self, encoder: Encoder) -> int | None:
        """How many encoders the driver opens at once; None when it opens as many as could be of use."""
        if self._opens(encoder, MOST_SESSIONS):
            return None
        fits, fails = 1, MOST_SESSIONS
        while fails - fits > 1:
            middle = (fits + fails) // 2
            if self._opens(encoder, middle):
                fits = middle
            else:
                fails = middle
        return fits

    def _encode(self, encoder: Encoder) -> str:
        """Empty when the device's stream is right, else what is wrong with it."""
        folder = self._folder(f"{encoder.codec}-{encoder.mode}")
        stream = folder / "stream.mkv"
        self._run(trial.encode_trial(self.program.path, self.device, encoder, stream), folder)
        try:
            self._run(trial.check_command(self.program.path, encoder.codec, stream), folder)
        except (EncodeStalled, LimitExceeded):
            raise
        except MediaError:
            return "its stream cannot be decoded"
        return trial.wrong_with(trial.read_check(encoder.codec, stream))

    def _decode(self, decoder: str) -> str:
        folder = self._folder(f"decode-{decoder}")
        sample = folder / "sample.mkv"
        path = self.program.path
        self._run(trial.sample_command(path, decoder, sample), folder)
        self._run(trial.decode_trial(path, None, decoder, sample, folder / "cpu.txt"), folder)
        self._run(trial.decode_trial(path, self.device, decoder, sample, folder / "device.txt"), folder)
        expected, got = trial.sums(folder / "cpu.txt"), trial.sums(folder / "device.txt")
        return "" if got == expected else "the pictures differ from those the CPU decodes"

    def _opens(self, encoder: Encoder, sessions: int) -> bool:
        argv = trial.sessions_trial(self.program.path, self.device, encoder, sessions)
        try:
            self._run(argv, self._folder(f"sessions-{sessions}"))
        except MediaError:
            return False
        return True

    def _guarded(self, what: str, test: Callable[[], str]) -> Refusal | None:
        try:
            wrong = test()
        except (EncodeStalled, LimitExceeded) as error:
            return self._refusal(what, Reason.TIMEOUT, error.detail)
        except MediaError as error:
            is_busy = classify_failure(error.detail) is Verdict.BUSY
            return self._refusal(
                what, Reason.SESSION_LIMIT if is_busy else Reason.DRIVER_REFUSED, error.detail
            )
        return self._refusal(what, Reason.WRONG_OUTPUT, wrong) if wrong else None

    def _run(self, argv: list[str], folder: Path) -> None:
        limits = Limits(
            wall_s=self.trial_s,
            stall_s=self.trial_s,
            cpu_s=60,
            memory_bytes=ADDRESS_BYTES,
            file_bytes=64 << 20,
        )
        run_to_end(argv, limits, folder)

    def _folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder

    def _refusal(self, what: str, reason: Reason, detail: str = "") -> Refusal:
        return Refusal(self.device.id, what, reason, detail[-1000:])


def _bare(candidate: Candidate) -> Device:
    return Device(candidate.kind, candidate.index, candidate.node, candidate.name, candidate.driver)


def _limited(device: Device, max_sessions: int) -> Device:
    return replace(device, max_sessions=max_sessions) if max_sessions else device


def _log(devices: Iterable[Device], refusals: Iterable[Refusal]) -> None:
    for device in devices:
        found = {"action": "device_found", "device": device.id, "decoders": list(device.decoders)}
        logger.info("device found", extra=found | {"encoders": [each.name for each in device.encoders]})
    for each in refusals:
        facts = {"action": "device_refused", "device": each.candidate, "what": each.what}
        logger.info("device refused", extra=facts | {"reason": each.reason.value, "detail": each.detail})
