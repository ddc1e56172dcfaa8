"""Which devices the system shows, before anything is tried on them. Reads small files, runs nothing."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .device import DeviceKind, Reason, Refusal

Preferred = Literal["auto", "nvidia", "intel", "none"]

INTEL, NVIDIA = "0x8086", "0x10de"  # PCI vendors
WSL_NODE = Path("dev/dxg")  # Windows' own GPU node: CUDA finds the card behind it
VA_DRIVERS = ("usr/lib/x86_64-linux-gnu/dri", "usr/lib64/dri", "usr/lib/dri")


@dataclass(frozen=True, slots=True)
class Candidate:
    """`driver` changes with whatever could change the answer of a test: it is part of the cache's key."""

    kind: DeviceKind
    index: int
    node: str
    name: str
    driver: str

    @property
    def id(self) -> str:
        return f"{self.kind.value}:{self.index}"


def find_candidates(
    preferred: Preferred, *, vaapi_node: str = "", root: Path = Path("/")
) -> tuple[tuple[Candidate, ...], tuple[Refusal, ...]]:
    """The candidates, and why whole kinds are not among them. `vaapi_node`: only this render node."""
    if preferred == "none":
        return (), (Refusal("gpu", "", Reason.TURNED_OFF),)
    found: list[Candidate] = []
    if preferred in ("auto", "nvidia"):
        found += _nvidia(root)
    if preferred in ("auto", "intel"):
        found += _render_nodes(root, vaapi_node)
    refusals = [
        Refusal(each.id, "", Reason.NO_PERMISSION, f"this user may not open {each.node}")
        for each in found
        if not _may_open(root, each.node)
    ]
    kinds = {each.kind for each in found}
    for kind, is_wanted in (
        (DeviceKind.NVIDIA, preferred != "intel"),
        (DeviceKind.VAAPI, preferred != "nvidia"),
    ):
        if is_wanted and kind not in kinds:
            refusals.append(Refusal(kind.value, "", Reason.NO_DEVICE_NODE))
    return tuple(each for each in found if _may_open(root, each.node)), tuple(refusals)


def _nvidia(root: Path) -> list[Candidate]:
    """Cards whose node is visible here, numbered as CUDA does when told to order them by their place on the bus."""
    driver = _read(root / "sys/module/nvidia/version") or _read(root / "proc/driver/nvidia/version")
    cards = [(folder.name, _card(folder)) for folder in sorted((root / "proc/driver/nvidia/gpus").glob("*"))]
    visible = [
        (name, minor) for _bus, (name, minor) in cards if (root / f"dev/nvidia{minor}").exists()
    ] or _bare_nodes(root)
    return [
        Candidate(DeviceKind.NVIDIA, index, f"/dev/nvidia{minor}", name, driver)
        for index, (name, minor) in enumerate(visible)
    ] or _wsl(root)


def _card(folder: Path) -> tuple[str, str]:
    """Model and minor number from the driver's own page."""
    text = _read(folder / "information")
    model = re.search(r"^Model:\s*(.+)$", text, re.MULTILINE)
    minor = re.search(r"^Device Minor:\s*(\d+)$", text, re.MULTILINE)
    return model[1].strip() if model else "NVIDIA GPU", minor[1] if minor else ""


def _bare_nodes(root: Path) -> list[tuple[str, str]]:
    """A container may show the node and hide the page."""
    names = (re.fullmatch(r"nvidia(\d+)", path.name) for path in (root / "dev").glob("nvidia*"))
    return [("NVIDIA GPU", minor) for minor in sorted((match[1] for match in names if match), key=int)]


def _wsl(root: Path) -> list[Candidate]:
    if not (root / WSL_NODE).exists() or not list((root / "usr/lib/wsl/lib").glob("libcuda.so*")):
        return []
    return [Candidate(DeviceKind.NVIDIA, 0, f"/{WSL_NODE}", "NVIDIA GPU", _release(root))]


def _render_nodes(root: Path, only: str) -> list[Candidate]:
    nodes = sorted((root / "dev/dri").glob("renderD*"))
    found: list[Candidate] = []
    for index, node in enumerate(nodes):
        path = f"/dev/dri/{node.name}"
        vendor = _read(root / f"sys/class/drm/{node.name}/device/vendor")
        if vendor == NVIDIA or (only and path != only):
            continue  # NVIDIA's cards have a render node too, but no VAAPI worth having
        chip = (
            f"{vendor or 'unknown'}:{_read(root / f'sys/class/drm/{node.name}/device/device') or 'unknown'}"
        )
        name = f"{'Intel' if vendor == INTEL else 'VAAPI'} GPU {chip}"
        driver = f"{_release(root)} {_va_stamp(root)}"
        found.append(Candidate(DeviceKind.VAAPI, index, path, name, driver))
        if vendor == INTEL:
            found.append(Candidate(DeviceKind.QSV, index, path, name, driver))
    return found


def _va_stamp(root: Path) -> str:
    """Changes when a VAAPI driver is installed, updated or removed."""
    files = (file for folder in VA_DRIVERS for file in (root / folder).glob("*_drv_video.so"))
    facts = sorted(f"{file.name}:{file.stat().st_size}:{file.stat().st_mtime_ns}" for file in files)
    return ",".join(facts) or "no-driver"


def _release(root: Path) -> str:
    return _read(root / "proc/sys/kernel/osrelease")


def _may_open(root: Path, node: str) -> bool:
    return os.access(root / node.lstrip("/"), os.R_OK | os.W_OK)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
