"""Workers of every kind and in every state, for the workers page."""

from __future__ import annotations

from datetime import timedelta

from encoder.device import CPU, Device, DeviceKind, Encoder, Reason
from jobs.contract import WorkerInfo
from jobs.layout import ENCODE
from jobs.states import AttemptOutcome, JobState
from tests.factories import make_source, make_video, make_working, utc_now
from vlog_app.extensions import db, transaction
from vlog_app.models import Attempt, Job, Video, Worker
from vlog_app.services import fleet, workers

MODES = (("h264", "h264_nvenc"), ("hevc", "hevc_nvenc"), ("av1", "av1_nvenc"))


def card(index: int, name: str = "NVIDIA GeForce RTX 4090") -> Device:
    encoders = tuple(Encoder(codec, name, "vbr_cq") for codec, name in MODES)
    return Device(
        DeviceKind.NVIDIA,
        index,
        name=name,
        driver="570.86.10",
        encoders=encoders,
        decoders=("h264", "hevc"),
        max_sessions=8,
    )


ARC = Device(
    DeviceKind.VAAPI,
    node="/dev/dri/renderD128",
    name="Intel Arc B580",
    driver="iHD 25.2.3",
    encoders=(Encoder("h264", "h264_vaapi", "qvbr"), Encoder("hevc", "hevc_vaapi", "qvbr")),
)
REFUSED = [{"device": "nvidia:0", "what": "encode av1", "reason": Reason.ENCODER_NOT_BUILT.value}]


def facts(host: str, *devices: Device, slots: int = 1) -> dict[str, object]:
    listed = [device.to_json() for device in (*devices, CPU)]
    about = {"host": host, "ffmpeg": "7.1.1", "cores": 8, "machine": "x86_64", "encode_slots": slots}
    return about | {"devices": listed, "refused": REFUSED if devices else []}


def long_film(title: str) -> Video:
    return make_video(title, source=make_source(seconds=708, width=3840, height=2160))


def start(name: str, heard_s: float = 3.0, **more: object) -> str:
    """A remote worker with a key that was heard `heard_s` seconds ago; returns its id. `more`: columns of its row."""
    worker_id = fleet.register(name, "remote", {}, {}).worker_id
    heard = utc_now() - timedelta(seconds=heard_s)
    told = {"started_at": utc_now() - timedelta(hours=3), "heartbeat_at": heard, "code_version": "vlog/1.4"}
    change(worker_id, **told | {"facts": facts(name)} | more)
    return worker_id


def change(worker_id: str, **values: object) -> None:
    with transaction() as session:
        row = session.get_one(Worker, worker_id)
        for name, value in values.items():
            setattr(row, name, value)


def employ(
    worker_id: str, video: Video, name: str, segment: int, device: str = "cpu", *, done: int = 0
) -> None:
    """The worker is at `segment` of rung `name`, and has handed in `done` segments."""
    make_working(video, name, segment, worker=worker_id)
    with transaction() as session:
        attempt = session.query(Attempt).order_by(Attempt.id.desc()).first()
        assert attempt is not None
        attempt.device, attempt.segments_done = device, done
        attempt.worker_name = session.get_one(Worker, worker_id).name


def past_attempts(worker_id: str, video: Video, device: str, speeds: list[float]) -> None:
    """Attempts of two minutes each, the last one ended just now."""
    with transaction() as session:
        queued = Job.video_id == video.id, Job.state == JobState.QUEUED, Job.kind == ENCODE
        job = session.query(Job).filter(*queued).first()
        assert job is not None
        for n, speed in enumerate(speeds, start=1 - len(speeds)):
            end = utc_now() + timedelta(minutes=2 * n)
            attempt = Attempt(job_id=job.id, worker_id=worker_id, worker_name="x", device=device, speed=speed)
            attempt.started_at, attempt.ended_at = end - timedelta(minutes=2), end
            attempt.outcome, attempt.segments_done = AttemptOutcome.FINISHED, 8
            session.add(attempt)


def fail_once(worker_id: str, video: Video, message: str) -> None:
    with transaction() as session:
        job = session.query(Job).filter(Job.video_id == video.id).first()
        assert job is not None
        at = utc_now() - timedelta(minutes=12)
        attempt = Attempt(job_id=job.id, worker_id=worker_id, worker_name="x", started_at=at, ended_at=at)
        attempt.outcome, attempt.error_message, attempt.error_code = (
            AttemptOutcome.FAILED,
            message,
            "encode_failed",
        )
        session.add(attempt)


def make_crew() -> dict[str, str]:
    """Name -> id. Each of them is in another state."""
    glacier, robots, owls = (
        long_film(title)
        for title in ("First light over the Kessel glacier", "Robot arm club", "Listening for owls")
    )
    now = utc_now()
    crew = {
        "atlas": start("atlas", 2, facts=facts("atlas", card(0), card(1), slots=3)),
        "borealis": start("borealis", 50, facts=facts("borealis", ARC, slots=2)),
        "cellar": start("cellar", 96, facts=facts("cellar", card(0, "NVIDIA GeForce RTX 3090"), slots=2)),
        "dormer": start("dormer", 4, paused_at=now, pause_reason=workers.BY_OWNER),
        "eaves": start("eaves", 4, paused_at=now, probe_at=now + timedelta(minutes=7)),
        "forge": start("forge", 6, drain_requested_at=now),
        "garage": start("garage", 9, is_disabled=True),
        "hall": start("hall", 9000),
        "icehouse": start("icehouse", 900, stopped_at=now - timedelta(minutes=14)),
        "jetty": fleet.register("jetty", "remote", {}, {}).worker_id,
        "kiln": start(
            "kiln",
            5,
            facts={},
            capabilities={"gpu_name": "Quadro P4000", "supported_codecs": ["h264", "hevc"]},
        ),
        "loft": start("loft", 800),
    }
    reason = "It failed on 3 videos in a row, the last time with: The encoder stopped. Everything before it is kept."
    change(crew["eaves"], pause_reason=reason)
    fleet.revoke(crew["loft"])
    fleet.greet(WorkerInfo("local:nas", "nas", facts("nas")))
    employ(crew["atlas"], glacier, "2160p", 30, "nvidia:0", done=12)
    employ(crew["atlas"], robots, "2160p", 50, "nvidia:1", done=7)
    employ(crew["cellar"], glacier, "1080p", 70, "nvidia:0", done=9)
    employ("local:nas", owls, "360p", 1)
    past_attempts(crew["atlas"], owls, "nvidia:0", [3.1, 2.9, 3.3, 3.0, 2.2, 3.4, 3.1, 3.2, 3.0, 2.8] * 2)
    past_attempts(crew["borealis"], owls, "vaapi:0", [4.1, 4.3, 4.0, 4.4, 3.9])
    past_attempts(crew["hall"], owls, "cpu", [1.1])
    fail_once(crew["eaves"], owls, "The encoder stopped. Everything before it is kept.")
    db.session.rollback()
    return crew | {"nas": "local:nas"}
