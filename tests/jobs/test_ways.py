"""A chunk on a device that fails: the next way goes on where it stopped, and the film comes out whole."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from encoder.choice import PLAIN, Footage
from encoder.device import CPU, Device, DeviceKind, Encoder, Inventory
from encoder.plan import make_plan
from encoder.process import Limits, run_to_end
from jobs.contract import Slot, WorkerInfo
from jobs.devices import AUTO, AtOnce, Devices
from jobs.layout import ENCODE, Rank
from jobs.runner import Tools, run_claim
from jobs.states import JobState
from jobs.testing import MemoryCoordinator
from tests.factories import make_source
from tests.media.published import TINY

pytestmark = pytest.mark.media
CARD = Device(
    DeviceKind.NVIDIA,
    name="NVIDIA L4",
    encoders=(Encoder("h264", "h264_nvenc", "cq_bref"),),
    decoders=("h264",),
)
FILM = Footage("h264", long_side=320)


@pytest.fixture(scope="module")
def film(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    argv = [ffmpeg_path, "-nostdin", "-loglevel", "error", "-progress", "pipe:1", "-y", "-f", "lavfi"]
    argv += ["-i", "testsrc2=s=320x180:r=25:d=6", "-c:v", "libx264", "-preset", "ultrafast", str(path)]
    run_to_end(argv, Limits(wall_s=60))
    return path


class Host:
    def __init__(self, folder: Path, film: Path, ffmpeg: str, *, on_device: str) -> None:
        source = replace(make_source(seconds=6, width=320, height=180, has_audio=False))
        self.plan = replace(make_plan(source, segment_s=1), colour=PLAIN)
        (folder / "media").mkdir()
        self.coordinator = MemoryCoordinator(self.plan, film, folder / "media")
        script = folder / "ffmpeg"
        script.write_text(
            f'#!/bin/sh\necho "$*" >> {folder}/calls\n'
            f'case "$*" in *-init_hw_device*) {on_device};; *) exec {ffmpeg} "$@";; esac\n'
        )
        script.chmod(0o755)
        self.calls = folder / "calls"
        self.devices = Devices(Inventory((CARD, CPU)))
        self.tools = Tools(ffmpeg=str(script), work_root=folder / "work", devices=self.devices, stall_s=2)

    def run(self) -> None:
        claim = self.coordinator.claim(WorkerInfo("w", "w"), Slot("any", (ENCODE,)))
        assert claim is not None
        run_claim(replace(claim, footage=FILM), self.coordinator, self.tools, threading.Event())


@pytest.mark.parametrize(
    ("on_device", "device_runs"),
    [
        ("echo 'OpenEncodeSessionEx failed: out of memory (10)' >&2; exit 1", 1),
        ("echo 'Cannot load libcuda.so.1' >&2; exit 1", 1),
        ("echo 'No decoder surfaces left' >&2; exit 1", 2),
        ("kill -9 $$", 2),
        ("exec sleep 600", 2),
        ("exit 0", 2),
    ],
)
def test_a_failing_device_costs_nothing_but_time(
    tmp_path: Path, film: Path, ffmpeg_path: str, on_device: str, device_runs: int
) -> None:
    host = Host(tmp_path, film, ffmpeg_path, on_device=on_device)
    host.run()
    assert host.coordinator.jobs[0].state is JobState.DONE
    calls = host.calls.read_text().splitlines()
    assert sum("-init_hw_device" in call for call in calls) == device_runs
    assert "-init_hw_device" not in calls[-1]
    assert host.coordinator.jobs[0].attempts_used == 0 or host.coordinator.jobs[0].failure is None


def test_what_the_device_finished_is_kept(tmp_path: Path, film: Path, ffmpeg_path: str) -> None:
    """It makes a first segment (x264 plays it) and dies; the CPU is asked for the second only."""
    first = (
        'for last in "$@"; do :; done; cd "${last%/*}"; '
        f"{ffmpeg_path} -nostdin -loglevel error -copyts -start_at_zero -i {film} -frames:v 25 -c:v libx264 "
        "-threads 1 -avoid_negative_ts disabled -f hls -hls_time 1 -hls_playlist_type event "
        "-hls_segment_options avoid_negative_ts=disabled -hls_segment_filename 360p_%05d.ts 360p.m3u8; "
        "sleep 1; echo 'CUDA_ERROR_LAUNCH_FAILED' >&2; exit 1"
    )
    host = Host(tmp_path, film, ffmpeg_path, on_device=first)
    host.run()
    assert host.coordinator.jobs[0].state is JobState.DONE
    assert "-start_number 1 " in host.calls.read_text().splitlines()[-1]


@pytest.mark.parametrize(("at_once", "made"), [(AUTO, [["120p", "60p"]]), (AtOnce(1), [["120p"], ["60p"]])])
def test_rungs_are_made_in_groups_the_highest_first(
    tmp_path: Path, film: Path, ffmpeg_path: str, at_once: AtOnce, made: list[list[str]]
) -> None:
    host = Host(tmp_path, film, ffmpeg_path, on_device="exit 1")
    plan = make_plan(make_source(seconds=6, width=320, height=180, has_audio=False), segment_s=1, ladder=TINY)
    coordinator = MemoryCoordinator(plan, film, tmp_path / "media", chunk_s=0)
    tools = replace(host.tools, devices=Devices(), at_once=at_once)
    bulk = Slot("bulk", (ENCODE,), min_rank=Rank.BULK)
    claim = coordinator.claim(WorkerInfo("w", "w"), bulk)
    assert claim is not None
    run_claim(claim, coordinator, tools, threading.Event())
    calls = host.calls.read_text().splitlines()
    assert [[name for name in ("120p", "60p") if f"{name}.m3u8" in call] for call in calls] == made
    assert {name for name, _index in coordinator.segments} == {"120p", "60p"}
