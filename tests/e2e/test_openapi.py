"""The OpenAPI document of a live server: what it says holds for what is answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from pipewren.testing.serving import RunningServer

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
ENDPOINTS = sorted(
    path.stem for path in (Path(__file__).parents[2] / "examples/flights/endpoints").glob("*.pipe")
)


@pytest.fixture(scope="session")
def document(flights_server: RunningServer) -> dict[str, Any]:
    status, document = flights_server.get("/v0/pipes/openapi.json")
    assert status == 200
    return dict(document)


def calls(document: dict[str, Any], server: RunningServer, name: str, *, by_post: bool) -> Any:
    """An operation of schemathesis: the GET of an endpoint, or the POST of the same parameters."""
    path = f"/pipes/{name}.{{format}}"
    operation = document["paths"][path]["get"]
    item = {"get": operation}
    if by_post:
        item = {"post": with_body(operation)}
    schema = schemathesis.openapi.from_dict({**document, "paths": {path: item}})
    schema.config.base_url = f"{server.base_url}/v0"
    schema.config.update(headers={"Authorization": f"Bearer {server.token}"})
    return schema[path]["POST" if by_post else "GET"]


def with_body(operation: dict[str, Any]) -> dict[str, Any]:
    fields = [one for one in operation["parameters"] if one["in"] == "query"]
    body = {
        "type": "object",
        "properties": {one["name"]: one["schema"] for one in fields},
        "required": [one["name"] for one in fields if one["required"]],
        "additionalProperties": False,
    }
    return {
        **operation,
        "parameters": [one for one in operation["parameters"] if one["in"] == "path"],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
    }


def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()
    assert sorted(document["paths"]) == [f"/pipes/{name}.{{format}}" for name in ENDPOINTS]


@pytest.mark.slow
@pytest.mark.parametrize("by_post", [False, True], ids=["GET", "POST"])
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("name", ENDPOINTS)
def test_no_generated_call_finds_a_500_or_an_answer_that_is_not_described(
    flights_server: RunningServer,
    document: dict[str, Any],
    name: str,
    mode: GenerationMode,
    by_post: bool,
) -> None:
    operation = calls(document, flights_server, name, by_post=by_post)
    statuses: set[int] = set()

    @settings(
        max_examples=10,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def holds(case: Any) -> None:
        answer = case.call_and_validate(checks=CHECKS)
        statuses.add(answer.status_code)

    holds()
    assert 403 not in statuses
    assert mode is GenerationMode.NEGATIVE or 200 in statuses
