"""The bodies that workers send, checked: unknown keys, wrong types and sizes are refused before anything is done."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeVar

from flask import request
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from encoder.model import Segment
from jobs.contract import Failure, JobProgress, Report, Slot

from ...bodies import read_body
from ...errors import Problem

BODY_BYTES = 10_000
FACTS_BYTES = 64_000  # eight GPUs, each with its encoders and what was refused
ERROR_BYTES = 64_000
MAX_ERRORS = 20  # in one answer
MAX_KEYS = 20
MAX_NAME = 100
MAX_JOBS = 1000  # that a worker has something of
DETAIL_CHARS = 4000
Model = TypeVar("Model", bound=BaseModel)


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=False)


def _without_controls(text: str) -> str:
    """Colours and cursor moves of a terminal have no place in a log or on a page."""
    return "".join(char for char in text if char.isprintable() or char == "\n")


def _few_keys(value: dict[str, Any]) -> dict[str, Any]:
    if len(value) > MAX_KEYS:
        raise ValueError(f"at most {MAX_KEYS} keys")
    return value


Words = Annotated[str, Field(max_length=200)]
Text = Annotated[str, AfterValidator(_without_controls)]
JobId = Annotated[int, Field(ge=1, lt=2**31)]
Few = Annotated[dict[str, Any], AfterValidator(_few_keys)]


class Capabilities(Strict):
    """What a worker can do."""

    hwaccel_enabled: bool | None = None
    hwaccel_type: Words | None = None
    gpu_name: Words | None = None
    supported_codecs: list[Words] | None = Field(None, max_length=50)
    encoders: dict[Words, list[Words]] | None = Field(None, max_length=50)
    max_concurrent_encode_sessions: int | None = Field(None, ge=1, le=100)
    ffmpeg_version: Words | None = None
    driver_version: Words | None = None
    cuda_version: Words | None = None
    vaapi_device: Words | None = None
    code_version: Words | None = None


class Metadata(Strict):
    """Where a worker runs."""

    pod_name: Words | None = None
    pod_namespace: Words | None = None
    pod_uid: Words | None = None
    node_name: Words | None = None
    container_name: Words | None = None
    container_image: Words | None = None
    cloud_provider: Words | None = None
    region: Words | None = None
    availability_zone: Words | None = None
    labels: dict[Words, Words] | None = Field(None, max_length=50)
    deployment_type: Words | None = None


class Registration(Strict):
    worker_name: str | None = Field(None, max_length=MAX_NAME)
    worker_type: Literal["local", "remote"] = "remote"
    capabilities: Capabilities | None = None
    metadata: Metadata | None = None
    key_days: int | None = Field(None, ge=1, le=3650)


class HeartbeatMetadata(BaseModel):
    """Free-form but for `capabilities`, which are the ones of a registration."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    capabilities: Capabilities | None = None

    @model_validator(mode="before")
    @classmethod
    def _is_small(cls, value: Any) -> Any:
        if isinstance(value, dict):
            _few_keys(value)
            if len(json.dumps(value)) > BODY_BYTES:
                raise ValueError(f"at most {BODY_BYTES} bytes")
        return value


class Heartbeat(Strict):
    """`facts` is what our own workers say of their host."""

    status: Literal["active", "busy", "idle"]
    metadata: HeartbeatMetadata | None = None
    code_version: str | None = Field(None, max_length=MAX_NAME)
    facts: Few | None = None


class Greeting(Strict):
    """A worker starts: leases its former self held are lost, but for the jobs `keeps`. These it asks for by their
    numbers.
    """

    facts: Few = Field(default_factory=dict)
    code_version: str = Field(max_length=MAX_NAME)
    keeps: list[JobId] = Field(default_factory=list, max_length=MAX_JOBS)


class SlotBody(Strict):
    name: Words
    kinds: list[Words] = Field(min_length=1, max_length=20)
    min_rank: int = Field(0, ge=0, le=1_000_000)
    max_rank: int = Field(1_000, ge=0, le=1_000_000)
    nice: int = Field(0, ge=-20, le=19)

    def slot(self) -> Slot:
        return Slot(self.name, tuple(self.kinds), self.min_rank, self.max_rank, self.nice)


class ClaimBody(Strict):
    """`token` is what the lease will be called: a worker that did not hear the answer asks again with the same one.
    `job_id`: only that job is wanted.
    """

    slot: SlotBody
    job_id: JobId | None = None
    token: str = Field(pattern=r"^[0-9a-f]{32}$")
    code_version: str = Field(max_length=MAX_NAME)


class ProgressBody(Strict):
    segment: int = Field(ge=0, le=10_000_000)
    fraction: float = Field(ge=0, le=1)
    speed: float | None = Field(None, ge=0, le=1e6)
    device: str | None = Field(None, pattern=r"^[a-z0-9:]{1,32}$")

    def progress(self) -> JobProgress:
        return JobProgress(self.segment, self.fraction, self.speed, self.device)


class RenewBody(Strict):
    progress: ProgressBody | None = None


class ReportBody(Strict):
    speed: float | None = Field(None, ge=0, le=1e6)
    damage: int = Field(0, ge=0, le=2**31 - 1)

    def report(self) -> Report:
        return Report(self.speed, self.damage)


class FailureBody(Strict):
    code: str = Field(pattern=r"^[a-z0-9_]{1,64}$")
    message: Text = Field(max_length=2000)
    detail: Text = ""
    is_final: bool = False
    is_blameless: bool = False

    def failure(self) -> Failure:
        return Failure(self.code, self.message, self.detail[-DETAIL_CHARS:], self.is_final, self.is_blameless)


class Switch(Strict):
    """On or off, for what the owner decides of a worker."""

    on: bool = True


class EmptyBody(Strict):
    pass


def read_json(model: type[Model], most_bytes: int = BODY_BYTES) -> Model:
    """The body as `model`; an empty one is `{}`. Raises Problem: 400 for too many bytes, 422 for what is wrong."""
    data = read_whole(most_bytes)
    try:
        return model.model_validate_json(data or b"{}")
    except ValidationError as error:
        raise invalid(error, "body") from None


def read_whole(most_bytes: int) -> bytes:
    data = bytearray()
    while len(data) <= most_bytes and (piece := read_body(most_bytes + 1 - len(data))):
        data += piece
    if len(data) > most_bytes or (request.content_length or 0) > most_bytes:
        raise Problem(
            400, "body_too_large", f"This body may have at most {most_bytes} bytes. Nothing was changed."
        )
    return bytes(data)


_SEGMENT: TypeAdapter[Segment] = TypeAdapter(Annotated[Segment, Field()])


def read_segment(text: str) -> Segment:
    """The facts of a segment as its worker measured them. Raises Problem."""
    try:
        return _SEGMENT.validate_json(text)
    except ValidationError as error:
        raise invalid(error, "header") from None


def invalid(error: ValidationError, where: str) -> Problem:
    """One entry for each thing that is wrong, as existing clients read it."""
    listed = error.errors(include_url=False, include_context=False, include_input=False)[:MAX_ERRORS]
    return Problem(
        422, "invalid", [{"loc": [where, *e["loc"]], "msg": e["msg"], "type": e["type"]} for e in listed]
    )
