"""What this host's devices are doing: who is at work on them, which rest, what their drivers taught. For all slots."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from encoder.choice import Choice, Footage, Rest, Way, choose
from encoder.device import CPU, Device, DeviceKind, Inventory, Verdict
from encoder.model import EncodePlan, RenditionPlan

logger = logging.getLogger(__name__)

ENCODES_ON_DEVICE = (Way.DEVICE, Way.DEVICE_ENCODE)
MOST_ON_DEVICE = 3  # more encoders at once share one chip, and are no quicker than one after the other


@dataclass(frozen=True, slots=True)
class AtOnce:
    """How many rungs one ffmpeg makes. `count` None leaves it to the device: a GPU as many as it has sessions, but one
    for others; a CPU all, since one decode for all is what saves it most.
    """

    count: int | None = None

    def on_cpu(self, rungs: int) -> int:
        return self.count or rungs

    def on_device(self, session_limits: Sequence[int | None]) -> int:
        if self.count:
            return self.count
        most = min((limit for limit in session_limits if limit), default=MOST_ON_DEVICE + 1)
        return max(1, min(MOST_ON_DEVICE, most - 1))


AUTO = AtOnce()


class Devices:
    """Starts with the CPU alone and learns of the others when their tests are done. Used by several threads."""

    def __init__(
        self, inventory: Inventory | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self._devices: dict[str, Device] = {}
        self._load: dict[str, int] = {}  # device id -> encoders open on it
        self._rests: dict[str, Rest] = {}
        self.know(inventory or Inventory())

    def know(self, inventory: Inventory) -> None:
        with self._lock:
            self._devices = {device.id: device for device in inventory.devices}

    @property
    def all(self) -> tuple[Device, ...]:
        with self._lock:
            return tuple(self._devices.values())

    @contextmanager
    def borrow(
        self,
        plan: EncodePlan,
        rows: Sequence[RenditionPlan],
        footage: Footage | None,
        at_once: AtOnce = AUTO,
    ) -> Iterator[tuple[Choice, Sequence[RenditionPlan]]]:
        """The best way to make the first of `rows` now, and how many of them together: all have one codec. The
        sessions are held until the block ends.
        """
        with self._lock:
            now_s = self._clock()
            resting = frozenset(name for name, rest in self._rests.items() if not rest.is_over(now_s))
            choice, group = self._choose(plan, rows, footage, at_once, resting)
            sessions = len(group) if choice.way in ENCODES_ON_DEVICE else 0
            self._load[choice.device.id] = self._load.get(choice.device.id, 0) + sessions
        try:
            yield choice, group
        finally:
            with self._lock:
                self._load[choice.device.id] -= sessions

    def _choose(
        self,
        plan: EncodePlan,
        rows: Sequence[RenditionPlan],
        footage: Footage | None,
        at_once: AtOnce,
        resting: frozenset[str],
    ) -> tuple[Choice, Sequence[RenditionPlan]]:
        codec, devices = rows[0].codec, tuple(self._devices.values())
        limits = [device.max_sessions for device in devices if device.kind is not DeviceKind.CPU]
        few = rows[: at_once.on_device(limits)] if limits else rows
        choice = choose(devices, plan, few, footage, codec=codec, load=self._load, resting=resting)
        return choice, few if choice.way in ENCODES_ON_DEVICE else rows[: at_once.on_cpu(len(rows))]

    def worked(self, choice: Choice) -> None:
        with self._lock:
            self._rests.pop(choice.device.id, None)

    def failed(self, choice: Choice, verdict: Verdict) -> None:
        """Remember it. To be told while the device is still borrowed, and only when another way has worked: a film
        that nobody can encode says nothing about a device.
        """
        device = choice.device
        if device.kind is DeviceKind.CPU:
            return
        with self._lock:
            self._rests[device.id] = self._rests.get(device.id, Rest()).failed(verdict, self._clock())
            if verdict is Verdict.BUSY:
                self._learn_limit(device.id)
        facts = {"action": "device_failed", "device": device.id, "way": choice.way.value}
        logger.warning("device failed", extra=facts | {"verdict": verdict.value})

    def _learn_limit(self, name: str) -> None:
        """The driver refused what we hold now: one less is the most it gives. Others' use may make it too low for a
        while, never too high for long; the tests of the next start count anew.
        """
        device, held = self._devices.get(name, CPU), self._load.get(name, 0)
        if device.kind is DeviceKind.NVIDIA and held > 1:
            most = min(held - 1, device.max_sessions or held)
            self._devices[name] = replace(device, max_sessions=most)
