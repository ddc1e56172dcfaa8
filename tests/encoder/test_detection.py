"""Detection against machines that a small shell script plays, and against the machine at hand."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from encoder import trial
from encoder.candidates import find_candidates
from encoder.detection import MOST_SESSIONS, Program, find_devices
from encoder.device import CPU, Device, DeviceKind, Encoder, Inventory, Reason
from encoder.device_cache import CACHE_FILE
from encoder.process import Limits, run_to_end

pytestmark = pytest.mark.media

SESSIONS_GONE = "echo 'OpenEncodeSessionEx failed: out of memory (10): (no details)' >&2; exit 1"
NO_NVENC = "echo 'OpenEncodeSessionEx failed: unsupported device (2): (no details)' >&2; exit 1"
NO_BREF = "echo 'B frames as references are not supported' >&2; exit 1"
NO_QVBR = "echo 'Driver does not support QVBR RC mode (supported modes: CQP, VBR).' >&2; exit 1"
NO_DRIVER = "echo 'Cannot load libcuda.so.1' >&2; exit 1"
HANGS = "exec sleep 600"
INFORMATION = "Model: \t\t {model}\nIRQ:   \t\t 24\nDevice Minor: \t {minor}\n"


@pytest.fixture(scope="module")
def good_stream(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an encoder without fault makes of the test picture."""
    path = tmp_path_factory.mktemp("good") / "h264.mkv"
    make_stream(ffmpeg_path, path)
    return path


def make_stream(
    ffmpeg: str,
    path: Path,
    *encoder: str,
    picture: str = f"testsrc2=s={trial.SIZE}:r=30:d=1",
    chain: str = "scale=640:360,format=yuv420p",
    keys: str = "expr:eq(mod(n,15),0)",
) -> None:
    run_to_end(
        [
            *(ffmpeg, *trial.QUIET, "-f", "lavfi", "-i", picture, "-vf", chain, "-fps_mode", "passthrough"),
            *(encoder or ("-c:v", "libx264", "-preset", "ultrafast")),
            *("-force_key_frames", keys, "-g", "600", "-f", "matroska", str(path)),
        ],
        Limits(wall_s=60),
    )


@dataclass
class Machine:
    """A host as it shows itself: a tree of system files, and an ffmpeg that acts by rules, the first match first."""

    folder: Path
    real: str
    good: Path
    encoders: set[str] = field(default_factory=lambda: {"libx264", "h264_nvenc", "h264_vaapi", "h264_qsv"})
    rules: list[tuple[str, str]] = field(default_factory=list)
    build: str = "ffmpeg version 9.0-played"

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def add(self, path: str, text: str = "") -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def add_card(self, model: str = "NVIDIA L4", minor: int = 0, driver: str = "570.86") -> None:
        self.add(f"dev/nvidia{minor}")
        self.add("dev/nvidiactl")
        self.add("sys/module/nvidia/version", f"{driver}\n")
        bus = f"proc/driver/nvidia/gpus/0000:0{minor + 1}:00.0/information"
        self.add(bus, INFORMATION.format(model=model, minor=minor))

    def add_render_node(self, vendor: str = "0x8086", number: int = 128) -> None:
        self.add(f"dev/dri/renderD{number}")
        self.add(f"sys/class/drm/renderD{number}/device/vendor", f"{vendor}\n")
        self.add(f"sys/class/drm/renderD{number}/device/device", "0x56a0\n")
        self.add("proc/sys/kernel/osrelease", "6.1.0\n")

    def on(self, pattern: str, action: str) -> None:
        self.rules.append((pattern, action))

    def program(self) -> Program:
        path = self.folder / "ffmpeg"
        cases = "\n".join(f"{pattern}) {action};;" for pattern, action in self.rules)
        path.write_text(
            "#!/bin/sh\n"
            f"REAL={self.real} GOOD={self.good}\n"
            f'echo "$*" >> {self.folder}/calls\n'
            'for last in "$@"; do :; done\n'
            "sessions() { n=${*#*split=}; n=${n%%[[]*}; }\n"
            'decode() { while [ "$1" != -i ]; do shift; done\n'
            '  exec $REAL -nostdin -loglevel error -y -i "$2" -vf format=yuv420p -f framemd5 "$last"; }\n'
            f'case "$*" in\n{cases}\n'
            # Where no rule says otherwise every device does all it is asked for.
            "*split=*[[]v0[]]*) exit 0;;\n"
            '*"-c:v "*_nvenc*|*"-c:v "*_vaapi*|*"-c:v "*_qsv*) cp $GOOD "$last";;\n'
            '*-hwaccel*) decode "$@";;\n'
            '*) exec $REAL "$@";;\nesac\n'
        )
        path.chmod(0o755)
        return Program(str(path), self.build, frozenset(self.encoders))

    def find(self, preferred: str = "auto", **facts: object) -> Inventory:
        facts = {"trial_s": 10.0, **facts}
        return find_devices(self.program(), self.folder / "cache", preferred, root=self.root, **facts)  # type: ignore[arg-type]


@pytest.fixture
def machine(tmp_path: Path, ffmpeg_path: str, good_stream: Path) -> Machine:
    (tmp_path / "root").mkdir()
    return Machine(tmp_path, ffmpeg_path, good_stream)


def reasons(found: Inventory) -> dict[tuple[str, str], Reason]:
    return {(each.candidate, each.what): each.reason for each in found.refusals}


# --- the machine at hand


def test_a_machine_without_gpu_has_its_cpu_within_a_second(ffmpeg_path: str, tmp_path: Path) -> None:
    if list(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dri").exists():
        root = tmp_path / "bare"  # this one has a GPU; show it a bare one
        root.mkdir()
    else:
        root = Path("/")
    begun = time.monotonic()
    found = find_devices(Program(ffmpeg_path, "real", frozenset({"libx264"})), tmp_path, root=root)
    assert time.monotonic() - begun < 1
    assert found.devices == (CPU,)
    assert reasons(found) == {
        ("nvidia", ""): Reason.NO_DEVICE_NODE,
        ("vaapi", ""): Reason.NO_DEVICE_NODE,
    }


def test_the_real_ffmpeg_refuses_a_card_without_driver(machine: Machine, ffmpeg_path: str) -> None:
    machine.add_card()
    program = Program(ffmpeg_path, "real", frozenset({"h264_nvenc", "libx264"}))
    found = find_devices(program, machine.folder, root=machine.root)
    assert found.devices == (CPU,)
    assert reasons(found)["nvidia:0", "encode h264"] is Reason.DRIVER_REFUSED
    assert reasons(found)["nvidia:0", "decode h264"] is Reason.DRIVER_REFUSED


def test_turned_off_means_that_nothing_is_tried(machine: Machine) -> None:
    machine.add_card()
    found = machine.find("none")
    assert (found.devices, reasons(found)) == ((CPU,), {("gpu", ""): Reason.TURNED_OFF})
    assert not machine.calls


# --- NVIDIA


def test_a_card_that_passes_is_found_with_all_its_facts(machine: Machine) -> None:
    machine.add_card()
    found = machine.find("nvidia")
    assert found.devices == (
        Device(
            DeviceKind.NVIDIA,
            0,
            "/dev/nvidia0",
            "NVIDIA L4",
            "570.86",
            encoders=(Encoder("h264", "h264_nvenc", "cq_bref"),),
            decoders=("h264",),
            max_sessions=None,
        ),
        CPU,
    )
    assert reasons(found)["nvidia:0", "encode av1"] is Reason.ENCODER_NOT_BUILT
    assert reasons(found)["nvidia:0", "decode hevc10"] is Reason.ENCODER_NOT_BUILT


def test_a_card_without_nvenc_is_kept_for_decoding(machine: Machine) -> None:
    machine.add_card("NVIDIA H100")
    machine.on('*"-c:v h264_nvenc"*', NO_NVENC)
    found = machine.find("nvidia")
    card = found.devices[0]
    assert (card.encoders, card.decoders) == ((), ("h264",))
    assert reasons(found)["nvidia:0", "encode h264"] is Reason.DRIVER_REFUSED
    assert sum("h264_nvenc" in call for call in machine.calls) == 1  # another mode would not help


def test_an_older_card_is_asked_again_without_b_frames_as_references(machine: Machine) -> None:
    machine.add_card("Quadro P400")
    machine.on("*b_ref_mode*", NO_BREF)
    assert machine.find("nvidia").devices[0].encoders == (Encoder("h264", "h264_nvenc", "cq_b"),)


@pytest.mark.parametrize("limit", [1, 3, 8])
def test_the_number_of_sessions_is_found_by_opening_them(machine: Machine, limit: int) -> None:
    machine.add_card("NVIDIA GeForce")
    machine.on("*split=*[[]v0[]]*", f'sessions "$*"; [ "$n" -le {limit} ] || {{ {SESSIONS_GONE}; }}')
    assert machine.find("nvidia").devices[0].max_sessions == limit


def test_what_the_owner_says_about_sessions_is_believed(machine: Machine) -> None:
    machine.add_card()
    assert machine.find("nvidia", max_sessions=5).devices[0].max_sessions == 5
    assert not any(f"split={MOST_SESSIONS}" in call for call in machine.calls)


def test_a_card_in_use_by_others_is_busy_and_asked_again_at_the_next_start(machine: Machine) -> None:
    machine.add_card()
    machine.on('*"-c:v h264_nvenc"*', SESSIONS_GONE)
    found = machine.find("nvidia")
    assert reasons(found)["nvidia:0", "encode h264"] is Reason.SESSION_LIMIT
    machine.rules.clear()
    assert machine.find("nvidia").devices[0].encoder("h264") is not None


def test_a_card_whose_driver_is_missing_is_no_device(machine: Machine) -> None:
    machine.add_card()
    machine.on("*cuda=gpu*", NO_DRIVER)
    found = machine.find("nvidia")
    assert found.devices == (CPU,)
    assert set(reasons(found).values()) == {Reason.DRIVER_REFUSED, Reason.ENCODER_NOT_BUILT}


def test_a_card_that_hangs_is_given_up_and_not_remembered(machine: Machine) -> None:
    machine.add_card()
    machine.on("*cuda=gpu*", HANGS)
    begun = time.monotonic()
    found = machine.find("nvidia", trial_s=0.3)
    assert time.monotonic() - begun < 6
    assert reasons(found)["nvidia:0", "encode h264"] is Reason.TIMEOUT
    assert found.devices == (CPU,)
    before = len(machine.calls)
    machine.find("nvidia", trial_s=0.3)
    assert len(machine.calls) > before


def test_a_decoder_that_gives_other_pictures_is_refused(machine: Machine) -> None:
    machine.add_card()
    picture = "-f lavfi -i testsrc=s=640x360:r=30:d=1 -vf format=yuv420p"
    machine.on("*-hwaccel*", f'exec $REAL -nostdin -loglevel error -y {picture} -f framemd5 "$last"')
    found = machine.find("nvidia")
    assert reasons(found)["nvidia:0", "decode h264"] is Reason.WRONG_OUTPUT
    assert found.devices[0].decoders == ()


def test_several_cards_are_tested_each_for_itself(machine: Machine) -> None:
    machine.add_card("NVIDIA A100", minor=0)
    machine.add_card("NVIDIA L4", minor=1)
    machine.on('*cuda=gpu:0*"-c:v h264_nvenc"*', NO_NVENC)
    first, second, _cpu = machine.find().devices
    assert [(each.index, each.name, len(each.encoders)) for each in (first, second)] == [
        (0, "NVIDIA A100", 0),
        (1, "NVIDIA L4", 1),
    ]


def test_in_a_container_cards_are_numbered_by_what_is_visible(machine: Machine) -> None:
    machine.add_card("NVIDIA A100", minor=0)
    machine.add_card("NVIDIA L4", minor=1)
    (machine.root / "dev/nvidia0").unlink()
    (card,), _refusals = find_candidates("nvidia", root=machine.root)
    assert (card.index, card.node, card.name) == (0, "/dev/nvidia1", "NVIDIA L4")


def test_a_card_without_the_drivers_page_is_still_a_card(machine: Machine) -> None:
    machine.add("dev/nvidia10")
    machine.add("dev/nvidia9")
    machine.add("dev/nvidia-uvm")
    cards, _refusals = find_candidates("nvidia", root=machine.root)
    assert [each.node for each in cards] == ["/dev/nvidia9", "/dev/nvidia10"]


def test_a_card_behind_windows_is_found(machine: Machine) -> None:
    machine.add("dev/dxg")
    assert find_candidates("nvidia", root=machine.root)[0] == ()
    machine.add("usr/lib/wsl/lib/libcuda.so.1")
    (card,), _refusals = find_candidates("nvidia", root=machine.root)
    assert (card.index, card.node) == (0, "/dev/dxg")


# --- VAAPI and QSV


def test_an_intel_chip_is_tried_through_both_its_doors(machine: Machine) -> None:
    machine.add_render_node()
    vaapi, qsv, _cpu = machine.find("intel").devices
    assert (vaapi.id, vaapi.encoders, vaapi.decoders) == (
        "vaapi:0",
        (Encoder("h264", "h264_vaapi", "qvbr"),),
        ("h264",),
    )
    assert (qsv.id, qsv.encoders, qsv.decoders) == ("qsv:0", (Encoder("h264", "h264_qsv", "qvbr"),), ())


def test_an_amd_chip_has_one_door(machine: Machine) -> None:
    machine.add_render_node(vendor="0x1002")
    assert [each.id for each in machine.find().devices] == ["vaapi:0", "cpu"]


@pytest.mark.parametrize(
    ("refused", "mode"),
    [
        (("*QVBR*-low_power*",), "qvbr"),
        (("*QVBR*-bf\\ 2*",), "qvbr_lp"),
        (("*QVBR*",), "vbr"),
        (("*QVBR*", "*VBR*-bf\\ 2*"), "vbr_lp"),
        (("*VBR*",), "cqp"),
        (("*VBR*", "*CQP*-bf\\ 2*"), "cqp_lp"),
    ],
)
def test_the_best_way_the_driver_knows_is_taken(
    machine: Machine, refused: tuple[str, ...], mode: str
) -> None:
    machine.add_render_node(vendor="0x1002")
    for pattern in refused:
        machine.on(pattern, NO_QVBR)
    machine.encoders.discard("libx264")  # no decoding here
    assert machine.find().devices[0].encoders[0].mode == mode


def test_a_chip_that_knows_no_way_is_refused_with_its_words(machine: Machine) -> None:
    machine.add_render_node(vendor="0x1002")
    machine.on("*h264_vaapi*", NO_QVBR)
    machine.encoders.discard("libx264")
    found = machine.find()
    assert found.devices == (CPU,)
    refusal = next(each for each in found.refusals if each.what == "encode h264")
    assert refusal.reason is Reason.DRIVER_REFUSED
    assert "does not support QVBR" in refusal.detail


def test_only_the_named_render_node_is_tried(machine: Machine) -> None:
    machine.add_render_node(number=128)
    machine.add_render_node(number=129, vendor="0x1002")
    found = machine.find("intel", vaapi_node="/dev/dri/renderD129")
    assert [each.node for each in found.devices] == ["/dev/dri/renderD129", ""]


def test_the_render_node_of_an_nvidia_card_is_left_alone(machine: Machine) -> None:
    machine.add_render_node(vendor="0x10de")
    assert find_candidates("auto", root=machine.root)[0] == ()


def test_a_node_this_user_may_not_open_is_said_so(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.add_render_node()
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    candidates, refusals = find_candidates("intel", root=machine.root)
    assert candidates == ()
    assert {each.reason for each in refusals} == {Reason.NO_PERMISSION}
    assert "/dev/dri/renderD128" in refusals[0].detail


# --- what is remembered


def test_the_second_start_tests_nothing(machine: Machine) -> None:
    machine.add_card()
    first = machine.find("nvidia")
    before = len(machine.calls)
    assert machine.find("nvidia") == first
    assert len(machine.calls) == before


@pytest.mark.parametrize("change", ["driver", "build", "model"])
def test_a_new_driver_ffmpeg_or_card_is_tested_anew(machine: Machine, change: str) -> None:
    machine.add_card()
    machine.find("nvidia")
    before = len(machine.calls)
    if change == "build":
        machine.build = "ffmpeg version 9.1"
    machine.add_card(
        "NVIDIA L40S" if change == "model" else "NVIDIA L4",
        driver="580.1" if change == "driver" else "570.86",
    )
    machine.find("nvidia")
    assert len(machine.calls) > before
    kept = json.loads((machine.folder / "cache" / CACHE_FILE).read_text())["findings"]
    assert len(kept) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"version": 0, "findings": {}}',
        '{"version": 1, "findings": 5}',
        b"\xff\xfe\x00",
    ],
)
def test_a_damaged_memory_is_as_good_as_none(machine: Machine, text: str | bytes) -> None:
    machine.add_card()
    good = machine.find("nvidia")
    path = machine.folder / "cache" / CACHE_FILE
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert machine.find("nvidia") == good
    assert json.loads(path.read_text())["findings"]


@pytest.mark.parametrize("damage", [5, {"device": 5, "refusals": []}, {"device": None}, {"refusals": [{}]}])
def test_a_damaged_entry_is_tested_anew(machine: Machine, damage: object) -> None:
    machine.add_card()
    good = machine.find("nvidia")
    path = machine.folder / "cache" / CACHE_FILE
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | {"findings": dict.fromkeys(data["findings"], damage)}))
    assert machine.find("nvidia") == good


def test_a_memory_that_cannot_be_written_costs_nothing_but_time(machine: Machine) -> None:
    machine.add_card()
    (machine.folder / "cache").write_text("a file where the folder should be")
    assert len(machine.find("nvidia").devices) == 2


def test_no_scratch_is_left_behind(machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    machine.add_card()
    machine.find("nvidia")
    assert list(scratch.iterdir()) == []


# --- how a stream is judged


def judged(ffmpeg: str, stream: Path, codec: str) -> str:
    run_to_end(trial.check_command(ffmpeg, codec, stream), Limits(wall_s=60), stream.parent)
    return trial.wrong_with(trial.read_check(codec, stream))


Make = Callable[..., Path]


@pytest.fixture
def make(ffmpeg_path: str, tmp_path: Path) -> Make:
    def stream(*encoder: str, **options: str) -> Path:
        path = tmp_path / "stream.mkv"
        make_stream(ffmpeg_path, path, *encoder, **options)
        return path

    return stream


@pytest.mark.parametrize(
    ("codec", "encoder"),
    [
        ("h264", ("-c:v", "libx264", "-preset", "veryfast")),
        (
            "hevc",
            (
                "-c:v",
                "libx265",
                "-preset",
                "ultrafast",
                "-forced-idr",
                "1",
                "-x265-params",
                "log-level=0:open-gop=0",
            ),
        ),
        ("av1", ("-c:v", "libsvtav1", "-preset", "12", "-svtav1-params", "lp=1")),
    ],
)
def test_a_right_stream_passes(make: Make, ffmpeg_path: str, codec: str, encoder: tuple[str, ...]) -> None:
    if codec == "av1":
        encoder = (*encoder, "-g", "15")  # it takes no forced key frames in this mode
    assert judged(ffmpeg_path, make(*encoder), codec) == ""


def test_a_stream_without_the_forced_key_frame_fails(make: Make, ffmpeg_path: str) -> None:
    assert "missing" in judged(ffmpeg_path, make(keys="0"), "h264")


@pytest.mark.parametrize(
    ("codec", "encoder", "wrong"),
    [
        ("h264", ("libx264", "-x264-params", "open-gop=1:bframes=3"), "the forced key frame is missing"),
        (
            "hevc",
            ("libx265", "-forced-idr", "1", "-x265-params", "open-gop=1:log-level=0"),
            "the forced key frame is no IDR",
        ),
    ],
)
def test_a_forced_frame_that_is_no_idr_fails(
    make: Make, ffmpeg_path: str, codec: str, encoder: tuple[str, ...], wrong: str
) -> None:
    """What a hardware encoder makes without its forced-IDR option: pictures may look behind the boundary."""
    assert judged(ffmpeg_path, make("-c:v", *encoder, "-preset", "ultrafast"), codec) == wrong


def test_a_stream_with_a_picture_too_few_fails(make: Make, ffmpeg_path: str) -> None:
    stream = make(chain="trim=end_frame=29,scale=640:360,format=yuv420p")
    assert "29 pictures" in judged(ffmpeg_path, stream, "h264")


def test_a_stream_with_a_picture_out_of_place_fails(make: Make, ffmpeg_path: str) -> None:
    stream = make(chain="setpts=N+gte(N\\,20),scale=640:360,format=yuv420p")
    assert "each in its place" in judged(ffmpeg_path, stream, "h264")


def test_a_stream_of_other_pictures_fails(make: Make, ffmpeg_path: str) -> None:
    stream = make(picture=f"color=green:s={trial.SIZE}:r=30:d=1")
    assert "not those that went in" in judged(ffmpeg_path, stream, "h264")


def test_a_softer_scaler_is_no_fault(make: Make, ffmpeg_path: str) -> None:
    stream = make(chain="scale=640:360:flags=neighbor,format=yuv420p")
    assert judged(ffmpeg_path, stream, "h264") == ""


def test_a_stream_above_its_cap_fails(make: Make, ffmpeg_path: str) -> None:
    stream = make("-c:v", "libx264", "-preset", "ultrafast", "-qp", "0")
    size = stream.stat().st_size
    checked = trial.Checked(tuple(range(30)), (0, 15), 2, 40.0, size)
    assert trial.wrong_with(replace(checked, size_bytes=trial.MOST_BYTES)) == ""
    assert "more than the cap" in trial.wrong_with(replace(checked, size_bytes=trial.MOST_BYTES + 1))
