"""The GPUs of this host as VLog is set to use them, and what to say about them."""

from __future__ import annotations

import socket
from collections import defaultdict
from pathlib import Path

from encoder.detection import Program, find_devices
from encoder.device import Device, Inventory, Reason, Refusal

from .config import Settings
from .ffmpeg import Ffmpeg

WORDS = {
    Reason.TURNED_OFF: "turned off by VLOG_HWACCEL_TYPE",
    Reason.NO_PERMISSION: "this user may not open it",
    Reason.ENCODER_NOT_BUILT: "this ffmpeg does not know it",
    Reason.DRIVER_REFUSED: "the driver refused it",
    Reason.WRONG_OUTPUT: "its pictures were wrong",
    Reason.TIMEOUT: "it did not answer in time",
    Reason.SESSION_LIMIT: "all its encoders were in use",
    Reason.TEST_FAILED: "its test could not be carried out",
}


def find(config: Settings, ffmpeg: Ffmpeg, folder: Path | None = None) -> Inventory:
    """May take some seconds when a device is tested for the first time; what is found is remembered in `folder`."""
    host = socket.gethostname()  # hosts may share the storage, never the devices
    return find_devices(
        Program(ffmpeg.path, ffmpeg.version, ffmpeg.encoders),
        (folder or config.work_dir) / ".devices" / host,
        config.hwaccel_type,
        vaapi_node=config.hwaccel_vaapi_device,
        max_sessions=config.hwaccel_max_sessions,
    )


def facts(inventory: Inventory) -> dict[str, object]:
    """For the record of a worker."""
    return {
        "devices": [device.to_json() for device in inventory.devices],
        "refused": [
            {"device": each.candidate, "what": each.what, "reason": each.reason.value}
            for each in inventory.refusals
        ],
    }


def sentence(inventory: Inventory) -> str:
    """What was found, and why the rest is not used."""
    gpus = inventory.devices[:-1]
    parts = [_about(device) for device in gpus] or ["No GPU is used; the CPU encodes."]
    for candidate, refusals in _by_candidate(inventory.refusals).items():
        reasons = ", ".join(_because(each) for each in refusals)
        parts.append(f"{candidate}: {reasons}.")
    return " ".join(parts)


def _about(device: Device) -> str:
    encodes = ", ".join(each.codec for each in device.encoders) or "nothing"
    decodes = ", ".join(device.decoders) or "nothing"
    limit = f", at most {device.max_sessions} at once" if device.max_sessions else ""
    return f"{device.name} ({device.id}) encodes {encodes}{limit} and decodes {decodes}."


def _by_candidate(refusals: tuple[Refusal, ...]) -> dict[str, list[Refusal]]:
    """Kinds of devices that are not there at all are not worth a word."""
    grouped: dict[str, list[Refusal]] = defaultdict(list)
    for each in refusals:
        if each.reason is not Reason.NO_DEVICE_NODE:
            grouped[each.candidate].append(each)
    return grouped


def _because(refusal: Refusal) -> str:
    words = WORDS[refusal.reason]
    return f"{refusal.what} not ({words})" if refusal.what else words
