"""What this host's devices are doing: who is at work on them, which rest, what their drivers taught. For all slots."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from encoder.choice import Choice, Footage, Rest, Way, choose
from encoder.device import CPU, Device, DeviceKind, Inventory, Verdict
from encoder.model import EncodePlan, RenditionPlan

logger = logging.getLogger(__name__)


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
        self, plan: EncodePlan, rows: Sequence[RenditionPlan], footage: Footage | None, *, codec: str = "h264"
    ) -> Iterator[Choice]:
        """The best way to make `rows` now. Its sessions are held until the block ends."""
        with self._lock:
            now_s = self._clock()
            resting = frozenset(name for name, rest in self._rests.items() if not rest.is_over(now_s))
            devices = self._devices.values()
            choice = choose(devices, plan, rows, footage, codec=codec, load=self._load, resting=resting)
            sessions = len(rows) if choice.way in (Way.DEVICE, Way.DEVICE_ENCODE) else 0
            self._load[choice.device.id] = self._load.get(choice.device.id, 0) + sessions
        try:
            yield choice
        finally:
            with self._lock:
                self._load[choice.device.id] -= sessions

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
