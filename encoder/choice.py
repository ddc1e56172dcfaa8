"""Which device makes a chunk, what is tried when it cannot, and how long a failing one is left alone. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from .device import CPU, CPU_ENCODERS, Device, DeviceKind, Encoder, Verdict
from .model import Colour, EncodePlan, RenditionPlan, Source

PLAIN = Colour()  # BT.709, limited range: nothing to change

FAILURES_BEFORE_REST = 3  # in a row
FIRST_REST_S = 60.0
LONGEST_REST_S = 3600.0

SMALLEST_SIDE = (
    160  # NVENC wants 145x49 for H.264, 129x33 for HEVC; VAAPI drivers 128: below this the CPU is quick
)
LARGEST_SIDE = {"h264": 4096, "hevc": 8192, "av1": 8192, "vp9": 8192}  # NVENC, NVDEC, iHD
SHOWN_BITS = {8: "", 10: "10"}
CHROMA_420 = ("yuv420p", "yuvj420p", "nv12", "yuv420p10le", "p010le")

KIND_ORDER = (DeviceKind.NVIDIA, DeviceKind.VAAPI, DeviceKind.QSV)


class Way(StrEnum):
    """Who decodes and who encodes."""

    DEVICE = "device"  # all of it on the device, no picture crosses the bus
    DEVICE_ENCODE = "device_encode"  # decoded by the CPU, uploaded once
    DEVICE_DECODE = "device_decode"  # decoded and scaled on the device, encoded by the CPU
    CPU = "cpu"


WAY_ORDER = tuple(Way)

# What is tried next when a way fails, see `after_failure`.
FALLBACK: dict[Way, tuple[Way, ...]] = {
    Way.DEVICE: (Way.DEVICE_ENCODE, Way.CPU),
    Way.DEVICE_ENCODE: (Way.CPU,),
    Way.DEVICE_DECODE: (Way.CPU,),
    Way.CPU: (),
}


@dataclass(frozen=True, slots=True)
class Footage:
    """What decides whether a device can decode a film."""

    codec: str
    bit_depth: int = 8
    is_420: bool = True
    is_rotated: bool = False
    long_side: int = 0

    @classmethod
    def of(cls, source: Source) -> Footage:
        return cls(
            codec=source.video_codec,
            bit_depth=source.bit_depth,
            is_420=source.pix_fmt in CHROMA_420,
            is_rotated=source.rotation % 360 != 0,
            long_side=max(source.coded_width, source.coded_height),
        )

    @property
    def decoder(self) -> str:
        """The name of the test that covers it, "" for none."""
        bits = SHOWN_BITS.get(self.bit_depth)
        return self.codec + bits if bits is not None and self.is_420 else ""


@dataclass(frozen=True, slots=True)
class Choice:
    """`device` is the one that is not the CPU, if any takes part. `reason` is for the attempt's record."""

    way: Way
    device: Device
    encoder: Encoder
    reason: str


def choose(
    devices: Iterable[Device],
    plan: EncodePlan,
    rows: Sequence[RenditionPlan],
    footage: Footage | None,
    *,
    codec: str = "h264",
    load: Mapping[str, int] | None = None,
    resting: frozenset[str] = frozenset(),
) -> Choice:
    """The best way to make `rows` of one chunk now. `load`: device id -> encoders open on it; `footage`: None when
    nothing is known of the film, then the CPU decodes it.

    A device with its whole chain comes before one that only encodes, that before one that only decodes; among
    equals the better kind, then the one with less to do. Without any the CPU, with the reason of the best candidate.
    """
    loads = load or {}
    offers = [
        _on_cpu(codec, "device_rests")
        if device.id in resting
        else _offer(device, plan, rows, footage, codec, loads.get(device.id, 0))
        for device in devices
        if device.kind is not DeviceKind.CPU
    ]
    usable = [offer for offer in offers if offer.way is not Way.CPU]
    if usable:
        return min(usable, key=lambda offer: _preference(offer, loads))
    return offers[0] if offers else _on_cpu(codec, "no_device")


def after_failure(choice: Choice, verdict: Verdict) -> Choice | None:
    """What to try next for the same chunk; None when nothing is left. A device that is busy or broken is left at
    once; one that could not do this is first asked to encode only.
    """
    steps = FALLBACK[choice.way]
    if verdict in (Verdict.BUSY, Verdict.UNAVAILABLE):
        steps = steps[-1:]
    if not steps:
        return None
    if steps[0] is Way.CPU:
        return _on_cpu(choice.encoder.codec, f"after_{choice.way.value}:{verdict.value}")
    return Choice(steps[0], choice.device, choice.encoder, f"after_{choice.way.value}:{verdict.value}")


def _offer(
    device: Device,
    plan: EncodePlan,
    rows: Sequence[RenditionPlan],
    footage: Footage | None,
    codec: str,
    load: int,
) -> Choice:
    encoder, no_encode = _encode_on(device, rows, codec, load)
    no_decode = _why_not_decoded(device, plan, footage)
    if encoder and not no_decode:
        return Choice(Way.DEVICE, device, encoder, "whole_chain")
    if encoder:
        return Choice(Way.DEVICE_ENCODE, device, encoder, f"decoded_by_cpu:{no_decode}")
    if not no_decode and device.kind is DeviceKind.NVIDIA:
        return Choice(Way.DEVICE_DECODE, device, cpu_encoder(codec), f"encoded_by_cpu:{no_encode}")
    return _on_cpu(codec, no_encode)


def _encode_on(
    device: Device, rows: Sequence[RenditionPlan], codec: str, load: int
) -> tuple[Encoder | None, str]:
    encoder = device.encoder(codec)
    if encoder is None:
        return None, "codec_not_on_device"
    if not encoder.is_capped:
        return None, "no_rate_cap"
    if not all(_fits(row, codec) for row in rows):
        return None, "size_not_on_device"
    if device.max_sessions is not None and load + len(rows) > device.max_sessions:
        return None, "device_busy"
    return encoder, ""


def _fits(row: RenditionPlan, codec: str) -> bool:
    return (
        min(row.width, row.height) >= SMALLEST_SIDE
        and max(row.width, row.height) <= LARGEST_SIDE[codec]
        and row.width % 2 == row.height % 2 == 0
    )


def _why_not_decoded(device: Device, plan: EncodePlan, footage: Footage | None) -> str:
    """Empty when the device can decode this film and do everything that comes before scaling."""
    if footage is None:
        return "facts_unknown"
    if footage.is_rotated:
        return (
            "rotated"  # ffmpeg turns only pictures in memory; a device's would come out lying on their side
        )
    if footage.decoder not in device.decoders:
        return "codec"
    if footage.long_side > LARGEST_SIDE.get(footage.codec, 0):
        return "size"
    if plan.colour != PLAIN:
        return "colours"  # tone mapping and other matrices are the CPU's work
    if plan.deinterlace and device.kind is not DeviceKind.NVIDIA:
        return "interlaced"  # yadif_cuda is the CPU's filter; other devices' ones place frames differently
    return ""


def _preference(offer: Choice, load: Mapping[str, int]) -> tuple[int | bool, ...]:
    """Lower is better. VAAPI and QSV are two doors to one chip: QSV comes first only where VAAPI cannot aim at a
    quality below the cap and would always spend all of it.
    """
    device = offer.device
    return (
        offer.way is Way.DEVICE_DECODE,
        not offer.encoder.aims_at_quality,
        WAY_ORDER.index(offer.way),
        load.get(device.id, 0),
        KIND_ORDER.index(device.kind),
        device.index,
    )


def _on_cpu(codec: str, reason: str) -> Choice:
    return Choice(Way.CPU, CPU, cpu_encoder(codec), reason)


def cpu_encoder(codec: str) -> Encoder:
    return next(each for each in CPU_ENCODERS if each.codec == codec)


@dataclass(frozen=True, slots=True)
class Rest:
    """How often a device failed in a row, and until when it is left alone (seconds of a monotonic clock)."""

    failures: int = 0
    until_s: float = 0.0

    def worked(self) -> Rest:
        return Rest()

    def failed(self, verdict: Verdict, now_s: float) -> Rest:
        """From the third failure in a row on it rests, each time twice as long. A busy device has not failed."""
        if not verdict.counts_against_device:
            return self
        failures = self.failures + 1
        if failures < FAILURES_BEFORE_REST:
            return Rest(failures)
        # After its first rest one more failure is enough: nothing has changed.
        rest_s = min(LONGEST_REST_S, FIRST_REST_S * 2 ** (failures - FAILURES_BEFORE_REST))
        return Rest(failures, now_s + rest_s)

    def is_over(self, now_s: float) -> bool:
        return now_s >= self.until_s
