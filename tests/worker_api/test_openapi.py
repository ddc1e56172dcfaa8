"""The document says what there is: every route, every body, and nothing that is not there."""

from __future__ import annotations

import json

from flask.testing import FlaskClient

from tests.worker_api.conftest import OWNER


def test_every_route_is_described_and_every_reference_leads_somewhere(caller: FlaskClient) -> None:
    document = caller.get("/api/openapi.json").json
    assert document["openapi"].startswith("3.1")
    listed = {
        (
            rule.rule.replace("<int:job_id>", "{job_id}")
            .replace("<int:index>", "{index}")
            .replace("<int:video_id>", "{video_id}")
            .replace("<", "{")
            .replace(">", "}"),
            method,
        )
        for rule in caller.application.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/api/")
    }
    described = {(path, method.upper()) for path, verbs in document["paths"].items() for method in verbs}
    assert described == listed
    names = set(document["components"]["schemas"])
    for reference in json.dumps(document).split('"#/components/schemas/')[1:]:
        assert reference.partition('"')[0] in names


def test_what_takes_a_body_says_which(caller: FlaskClient) -> None:
    document = caller.get("/api/openapi.json").json
    for path, verbs in document["paths"].items():
        for method, operation in verbs.items():
            assert ("requestBody" in operation) == (method in ("post", "put")), (path, method)
            assert operation["summary"]


def test_a_body_made_from_the_document_is_taken(caller: FlaskClient) -> None:
    schema = caller.get("/api/openapi.json").json["components"]["schemas"]["Registration"]
    assert schema["additionalProperties"] is False
    body = {name: None for name in schema["properties"] if name != "worker_type"}
    assert caller.post("/api/worker/register", json=body, headers=OWNER).status_code == 200
