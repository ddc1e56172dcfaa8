"""What one worker can do, for its page: every device with its encoders, and what was found and is not used."""

from __future__ import annotations

from dataclasses import dataclass

from encoder.device import Reason

from ...devices import WORDS
from ...formats import codec
from ...models import Worker
from ...services.worker_facts import devices_of, said, slots_of
from .board_parts import TITLES

MOST_REFUSED = 40


@dataclass(frozen=True, slots=True)
class Hardware:
    """`devices`: title, driver, encoders, decoders. `refused`: what, why not. `facts`: name and value."""

    devices: tuple[tuple[str, str, str, str], ...]
    refused: tuple[tuple[str, str], ...]
    facts: tuple[tuple[str, str], ...]


def read_hardware(worker: Worker) -> Hardware:
    devices = tuple(
        (
            f"{device.name or TITLES[device.kind]} ({device.id})",
            device.driver,
            ", ".join(f"{codec(each.codec)} by {each.name}" for each in device.encoders),
            ", ".join(codec(each) for each in device.decoders),
        )
        for device in devices_of(worker.facts)
    )
    return Hardware(devices, _refused(worker), tuple(_facts(worker)))


def _refused(worker: Worker) -> tuple[tuple[str, str], ...]:
    told = worker.facts.get("refused")
    found = [each for each in told if isinstance(each, dict)] if isinstance(told, list) else []
    shown = [each for each in found if said(each, "reason") != Reason.NO_DEVICE_NODE]
    return tuple(
        (f"{said(each, 'device')} {said(each, 'what')}".strip(), _why(each)) for each in shown[:MOST_REFUSED]
    )


def _why(refusal: dict[str, object]) -> str:
    reason = said(refusal, "reason")
    return next((words for known, words in WORDS.items() if known == reason), reason)


def _facts(worker: Worker) -> list[tuple[str, str]]:
    facts, told = worker.facts, worker.capabilities
    cores = facts.get("cores")
    found = {
        "Id": worker.id,
        "Host": said(facts, "host") or said(worker.about, "node_name"),
        "Machine": said(facts, "machine"),
        "Cores": str(cores) if isinstance(cores, int) else "",
        "ffmpeg": said(facts, "ffmpeg") or said(told, "ffmpeg_version"),
        "Version": worker.code_version or "",
        "GPU": said(told, "gpu_name"),
        "Driver": said(told, "driver_version"),
        "Pod": said(worker.about, "pod_name"),
        "Container": said(worker.about, "container_image"),
        "Encodes at once": str(slots_of(facts)),
    }
    return [(name, value) for name, value in found.items() if value]
