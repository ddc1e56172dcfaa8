"""What the owner learns about GPUs: from the doctor, and in the record of a worker."""

from __future__ import annotations

import json

import pytest
from flask import Flask

from encoder.device import CPU, Device, DeviceKind, Encoder, Inventory, Reason, Refusal
from jobs.bootstrap import bell_for
from jobs.contract import WorkerInfo
from jobs.runner import Tools
from jobs.worker import Worker as RunningWorker
from vlog_app.config import Settings
from vlog_app.devices import WORDS, facts, sentence
from vlog_app.extensions import db
from vlog_app.local_coordinator import LocalCoordinator
from vlog_app.models import Worker
from vlog_app.preflight import check_devices
from vlog_app.services import fleet

CARD = Device(
    DeviceKind.NVIDIA,
    name="NVIDIA L4",
    driver="570.86",
    encoders=(Encoder("h264", "h264_nvenc", "cq_bref"), Encoder("hevc", "hevc_nvenc", "cq_bref")),
    decoders=("h264", "hevc10"),
    max_sessions=8,
)


@pytest.mark.parametrize(
    ("inventory", "said"),
    [
        (Inventory(), "No GPU is used; the CPU encodes."),
        (
            Inventory((CPU,), (Refusal("nvidia", "", Reason.NO_DEVICE_NODE),)),
            "No GPU is used; the CPU encodes.",
        ),
        (
            Inventory((CARD, CPU)),
            "NVIDIA L4 (nvidia:0) encodes h264, hevc, at most 8 at once and decodes h264, hevc10.",
        ),
        (
            Inventory((CPU,), (Refusal("vaapi:0", "", Reason.NO_PERMISSION),)),
            "No GPU is used; the CPU encodes. vaapi:0: this user may not open it.",
        ),
        (
            Inventory(
                (CPU,),
                (
                    Refusal("nvidia:0", "encode h264", Reason.DRIVER_REFUSED, "a long story"),
                    Refusal("nvidia:0", "decode h264", Reason.TIMEOUT),
                ),
            ),
            "No GPU is used; the CPU encodes. nvidia:0: encode h264 not (the driver refused it), "
            "decode h264 not (it did not answer in time).",
        ),
    ],
)
def test_what_was_found_is_said_in_a_sentence(inventory: Inventory, said: str) -> None:
    assert sentence(inventory) == said


def test_every_reason_has_words() -> None:
    assert set(WORDS) == set(Reason) - {Reason.NO_DEVICE_NODE}


def test_the_doctor_has_a_line_about_devices(app: Flask) -> None:
    result = app.test_cli_runner().invoke(args=["vlog", "doctor", "--json"])
    checks = {check["name"]: check for check in json.loads(result.stdout)["checks"]}
    assert checks["devices"]["ok"]


def test_a_device_that_is_asked_for_and_missing_is_a_problem(config: Settings) -> None:
    """No test machine has a render node of this number."""
    asked = {"hwaccel_type": "intel", "hwaccel_vaapi_device": "/dev/dri/renderD999"}
    check = check_devices(config.model_copy(update=asked))
    assert not check.is_ok
    assert check.detail.startswith("VLOG_HWACCEL_TYPE is intel, but no such device passed its test.")
    assert "VLOG_HWACCEL_TYPE=none" in check.remedy


def test_turned_off_is_no_problem(config: Settings) -> None:
    check = check_devices(config.model_copy(update={"hwaccel_type": "none"}))
    assert check.is_ok
    assert "turned off by VLOG_HWACCEL_TYPE" in check.detail


def test_a_worker_tells_what_it_learned_with_its_next_sign_of_life(app: Flask, config: Settings) -> None:
    bell = bell_for(config.storage_path)
    info = WorkerInfo("local:atlas", "atlas", {"cores": 2})
    worker = RunningWorker(info, LocalCoordinator(app), Tools("ffmpeg", config.work_dir), bell)
    fleet.greet(info)
    worker.learn(facts(Inventory((CARD, CPU))))
    fleet.beat(worker.info)
    row = db.session.get(Worker, "local:atlas")
    assert row is not None
    assert row.facts["cores"] == 2
    assert [device["name"] for device in row.facts["devices"]] == ["NVIDIA L4", "CPU"]
    json.dumps(row.facts)
