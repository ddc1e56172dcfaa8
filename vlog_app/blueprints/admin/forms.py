"""A video sent as a multipart form: by the page without JavaScript, and by scripts."""

from __future__ import annotations

from flask import request

from ...bodies import read_body
from ...config import settings
from ...errors import Problem
from ...multipart import FileForm
from ...services import uploads
from ...services.uploads import NewUpload, Received
from .receiving import receiving


def take_form(idempotency_key: str | None = None) -> Received:
    """Stream the form's file to disk and make it a video; raises Problem with what is wrong, nothing kept."""
    with receiving():
        form = _open_form()
        if not form.open_file("file"):
            raise Problem(
                400, "file_missing", "No file came with this form. Choose a video, then send it again."
            )
        announced = NewUpload(
            length_bytes=_most_bytes(),
            filename=form.filename,
            idempotency_key=idempotency_key,
            is_exact=False,
        )
        upload_id = uploads.receive_whole(announced, form.pieces())
        try:
            form.rest()
            _check_fields(form.fields)
        except BaseException:
            uploads.discard(upload_id)
            raise
        title, description = form.fields.get("title", ""), form.fields.get("description", "")
        uploads.describe_whole(upload_id, title=title, description=description)
        return uploads.finish_upload(upload_id)


def _open_form() -> FileForm:
    boundary = request.mimetype_params.get("boundary")
    if request.mimetype != "multipart/form-data" or not boundary:
        raise Problem(400, "bad_request", "Send the video as multipart/form-data with a part called file.")
    if (
        request.content_length is not None
        and request.content_length > settings().max_upload_size + FORM_BYTES
    ):
        uploads.check_length(request.content_length)
    return FileForm(read_body, boundary)


def _most_bytes() -> int:
    """The file cannot be longer than the body, nor than the limit."""
    most = settings().max_upload_size
    return most if request.content_length is None else min(most, request.content_length)


FORM_BYTES = 1 << 20  # what the other fields and the part headers may take of a body


def _check_fields(fields: dict[str, str]) -> None:
    if len(fields.get("title", "")) > uploads.MAX_NAME:
        raise Problem(
            400, "title_too_long", f"A title has at most {uploads.MAX_NAME} characters. Nothing was kept."
        )
    category = fields.get("category_id", "").strip()
    if category and category.lstrip("-").isdigit() and int(category) <= 0:
        return
    if category:
        raise Problem(400, "unknown_category", "There is no such category. Nothing was kept.")
