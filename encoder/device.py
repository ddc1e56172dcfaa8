"""What a host can encode and decode with, as values: devices, why others were refused, what a failure means."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self


class DeviceKind(StrEnum):
    CPU = "cpu"
    NVIDIA = "nvidia"
    VAAPI = "vaapi"  # Intel and AMD by the video acceleration API
    QSV = "qsv"  # Intel's own interface to the same chips


class Reason(StrEnum):
    """Why something found on this host is not used."""

    TURNED_OFF = "turned_off"  # by setting
    NO_DEVICE_NODE = "no_device_node"
    NO_PERMISSION = "no_permission"  # the device is there, this user may not open it
    ENCODER_NOT_BUILT = "encoder_not_built"  # this ffmpeg does not know it
    DRIVER_REFUSED = "driver_refused"
    WRONG_OUTPUT = "wrong_output"  # it ran, and what came out is not what went in
    TIMEOUT = "timeout"
    SESSION_LIMIT = "session_limit"  # all its sessions were taken during the test
    TEST_FAILED = "test_failed"  # the test itself went wrong, the device may be well


@dataclass(frozen=True, slots=True)
class Encoder:
    """One codec on one device. `mode` names the way of `hardware.MODES` that passed its test."""

    codec: str
    name: str
    mode: str

    @property
    def is_capped(self) -> bool:
        """Whether it keeps a rung's rate. Without that a hard scene may be larger than a viewer's line."""
        return not self.mode.startswith("cqp")

    @property
    def aims_at_quality(self) -> bool:
        """Whether easy films stay below the rate; the others always spend it."""
        return not self.mode.startswith("vbr")


@dataclass(frozen=True, slots=True)
class Device:
    """One device that passed at least one test. `decoders`: codecs, "hevc10" is HEVC with ten bits."""

    kind: DeviceKind
    index: int = 0
    node: str = ""
    name: str = ""
    driver: str = ""
    encoders: tuple[Encoder, ...] = ()
    decoders: tuple[str, ...] = ()
    max_sessions: int | None = None  # encoders open at once; None: no limit was met

    @property
    def id(self) -> str:
        """Stable on one host: what load, rest and attempts are counted by."""
        return self.kind.value if self.kind is DeviceKind.CPU else f"{self.kind.value}:{self.index}"

    def encoder(self, codec: str) -> Encoder | None:
        return next((each for each in self.encoders if each.codec == codec), None)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        values = {
            "kind": DeviceKind(data["kind"]),
            "encoders": tuple(Encoder(**each) for each in data["encoders"]),
            "decoders": tuple(data["decoders"]),
        }
        return cls(**data | values)


CPU_ENCODERS = (
    Encoder("h264", "libx264", "crf"),
    Encoder("hevc", "libx265", "crf"),
    Encoder("av1", "libsvtav1", "crf"),
)
CPU = Device(DeviceKind.CPU, name="CPU", encoders=CPU_ENCODERS)


@dataclass(frozen=True, slots=True)
class Refusal:
    """`what` was tried on `candidate` ("encode h264", "decode av1", or empty for all of it) and why it is not used."""

    candidate: str
    what: str
    reason: Reason
    detail: str = ""

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        return cls(**data | {"reason": Reason(data["reason"])})


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything found on a host. The CPU is always last among the devices."""

    devices: tuple[Device, ...] = (CPU,)
    refusals: tuple[Refusal, ...] = ()


class Verdict(StrEnum):
    """What a failed run on a device says about that device."""

    BUSY = "busy"  # nothing is wrong: its sessions or its memory are taken at the moment
    UNAVAILABLE = "unavailable"  # the device or its driver does not work at all
    UNSUPPORTED = "unsupported"  # it works, but not with this film or these parameters
    UNKNOWN = "unknown"  # not in the device's words: the film, the disk, or something new

    @property
    def counts_against_device(self) -> bool:
        return self in (Verdict.UNAVAILABLE, Verdict.UNKNOWN)


# Looked for in this order, without case: ffmpeg goes on to say "No capable devices found" after a session limit too.
FAILURE_WORDS: tuple[tuple[Verdict, tuple[str, ...]], ...] = (
    (
        Verdict.BUSY,
        (
            "openencodesessionex failed: out of memory (10)",  # NVENC: every session of this driver is in use
            "openencodesessionex failed: incompatible client key (21)",  # the same, in older drivers' words
            "no free encoding session available",
            "cuda_error_out_of_memory",  # another program holds the memory
            "hw busy now",  # VA_STATUS_ERROR_HW_BUSY
            "resource allocation failed",  # VA_STATUS_ERROR_ALLOCATION_FAILED
            "device busy",  # QSV
        ),
    ),
    (
        Verdict.UNAVAILABLE,
        (
            "openencodesessionex failed: unsupported device (2)",  # a GPU without NVENC
            "openencodesessionex failed: no encode device (1)",
            "cannot load libcuda",
            "cannot load libnvidia-encode",
            "cannot load libnvcuvid",
            "could not dynamically load cuda",
            "driver does not support the required nvenc api version",
            "minimum required nvidia driver",
            "cuda_error_no_device",
            "cuda_error_invalid_device",
            "cuda_error_system_driver_mismatch",
            "cuda_error_unknown",
            "cuda_error_illegal_address",  # the context is lost; a new process may get another
            "cuda_error_launch_failed",
            "cuinit(0) failed",
            "no va display found",
            "failed to initialise vaapi connection",
            "error initializing an internal mfx session",
            "error creating a mfx session",
            "device creation failed",
            "no capable devices found",
        ),
    ),
    (
        Verdict.UNSUPPORTED,
        (
            "impossible to convert between the formats",  # it fell back to decoding in software
            "hardware is lacking required capabilities",
            "no decoder surfaces left",
            "codec not supported",
            "not supported by the device",
            "are not supported",  # B frames as references, 10 bits, ...
            "provided device doesn't support required nvenc features",
            "invalidparam",
            "invalid param (8)",
            "no support for codec",
            "no usable encoding entrypoint",
            "no usable encoding profile",
            "driver does not support",
            "selected ratecontrol mode is unsupported",
            "is unsupported",
            "the requested vaprofile is not supported",
            "the requested vaentrypoint is not supported",
            "resolution not supported",
            "failed setup for format",  # the decoder refused this film
            "hwaccel initialisation returned error",
        ),
    ),
)


def classify_failure(stderr: str) -> Verdict:
    """What the last lines of a failed ffmpeg say about the device it ran on."""
    said = stderr.lower()
    for verdict, words in FAILURE_WORDS:
        if any(word in said for word in words):
            return verdict
    return Verdict.UNKNOWN
