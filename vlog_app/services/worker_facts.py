"""Reading what a worker says of its devices. Pure; facts come from other hosts, so nothing in them is relied on."""

from __future__ import annotations

from collections.abc import Mapping

from encoder.device import CPU, Device, DeviceKind

MOST_CHARS = 100
#: One of them stands in the facts of every worker that has a GPU.
GPU_WORDS = tuple(kind.value for kind in DeviceKind if kind is not DeviceKind.CPU)


def devices_of(facts: Mapping[str, object]) -> tuple[Device, ...]:
    """The devices of a worker, the CPU last; what cannot be read is left out."""
    told = facts.get("devices")
    found = [_device(each) for each in told] if isinstance(told, list) else []
    gpus = [device for device in found if device is not None and device.kind is not DeviceKind.CPU]
    return (*gpus, CPU)


def encoding_kind(facts: Mapping[str, object]) -> DeviceKind:
    """The kind of device that does this worker's encoding: its first GPU that keeps a rung's rate, else the CPU."""
    kinds = (device.kind for device in devices_of(facts) if any(each.is_capped for each in device.encoders))
    return next(kinds, DeviceKind.CPU)


def encodes_on_gpu(facts: Mapping[str, object]) -> bool:
    return encoding_kind(facts) is not DeviceKind.CPU


def slots_of(facts: Mapping[str, object]) -> int:
    """How many encodes a worker runs at once, those apart that a viewer waits for."""
    told = facts.get("encode_slots")
    return told if isinstance(told, int) and told > 0 else 1


def said(facts: Mapping[str, object], name: str) -> str:
    """One line of text that a worker says of itself; empty when it says none."""
    told = facts.get(name)
    return " ".join(told[:MOST_CHARS].split()) if isinstance(told, str) else ""


def _device(told: object) -> Device | None:
    try:
        return Device.from_json(told) if isinstance(told, dict) else None
    except (KeyError, TypeError, ValueError):
        return None
