"""The OpenAPI document: what is in it, and for whom (pipes-api.md section 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

if TYPE_CHECKING:
    from tests.api.conftest import Api

ADMIN, READER, OTHER = "admin token value", "reader token value", "other token value"
FILTERED = "filtered token value"


async def document(api: Api, query: str = "", token: str | None = READER) -> dict[str, Any]:
    answer = await api.call(f"/v0/pipes/openapi.json{query}", token=token)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json; charset=UTF-8"
    body: dict[str, Any] = answer.json()
    OpenAPIV31SpecValidator(body).validate()
    return body


async def test_a_token_sees_the_endpoints_that_it_reads_and_no_trace_of_others(api: Api) -> None:
    assert list((await document(api))["paths"]) == ["/pipes/top.{format}"]
    for name in ("needs", "objects", "unpublished"):
        assert name not in str(await document(api))
    everything = await document(api, token=ADMIN)
    assert sorted(everything["paths"]) == [
        "/pipes/needs.{format}",
        "/pipes/objects.{format}",
        "/pipes/top.{format}",
    ]
    for token in (OTHER, FILTERED):
        assert (await document(api, token=token))["paths"] == {}


async def test_the_token_may_come_in_the_query(api: Api) -> None:
    sent = await document(api, f"?token={READER.replace(' ', '+')}", token=None)
    assert sent == await document(api)


@pytest.mark.parametrize("token", [None, "", "wrong"])
async def test_without_a_valid_token_there_is_no_document(api: Api, token: str | None) -> None:
    answer = await api.call("/v0/pipes/openapi.json", token=token)
    assert answer.status_code == 403
    assert "top" not in answer.json()["error"]


async def test_it_can_be_restricted_to_some_endpoints(api: Api) -> None:
    some = await document(api, "?pipes=top,%20needs,nothing", token=ADMIN)
    assert sorted(some["paths"]) == ["/pipes/needs.{format}", "/pipes/top.{format}"]
    assert (await document(api, "?pipes=needs"))["paths"] == {}


async def test_calls_go_below_v0_of_this_server_with_either_form_of_token(api: Api) -> None:
    body = await document(api)
    assert body["openapi"] == "3.1.0"
    assert body["servers"] == [{"url": "http://localhost/v0"}]
    assert body["security"] == [{"bearer": []}, {"token": []}]
    schemes = body["components"]["securitySchemes"]
    assert (schemes["bearer"]["type"], schemes["bearer"]["scheme"]) == ("http", "bearer")
    assert (schemes["token"]["in"], schemes["token"]["name"]) == ("query", "token")


async def test_a_call_has_its_parameters_and_an_answer_for_every_format(api: Api) -> None:
    (path,) = (await document(api))["paths"].values()
    operation = path["get"]
    assert (operation["operationId"], operation["tags"]) == ("top", ["top"])
    format, pages, without, limit = operation["parameters"]
    assert (format["name"], format["in"]) == ("format", "path")
    assert format["schema"]["enum"][:4] == ["json", "csv", "csvwithnames", "ndjson"]
    assert pages["schema"] == {
        "type": "array",
        "items": {"type": "string"},
        "default": ["a", "b"],
    }
    assert without["schema"] == {"type": "string", "default": "none"}
    assert limit == {
        "name": "limit",
        "in": "query",
        "required": False,
        "schema": {
            "type": "integer",
            "format": "int32",
            "minimum": -(2**31),
            "maximum": 2**31 - 1,
            "default": 10,
        },
    }
    content = operation["responses"]["200"]["content"]
    assert {"application/json", "text/csv", "application/x-ndjson"} <= content.keys()


async def test_every_error_has_the_shape_that_errors_have(api: Api) -> None:
    body = await document(api)
    responses = body["paths"]["/pipes/top.{format}"]["get"]["responses"]
    assert {"400", "403", "404", "408", "429", "500"} <= responses.keys()
    error = {"$ref": "#/components/schemas/Error"}
    for name, response in body["components"]["responses"].items():
        schema = response["content"]["application/json"]["schema"]
        assert schema == ({} if name == "ErrorDefault" else error)
    assert "Retry-After" in body["components"]["responses"]["Error429"]["headers"]
    assert body["components"]["schemas"]["Error"]["required"] == ["error"]


async def test_a_result_that_was_not_described_is_rows_of_anything(api: Api) -> None:
    # The scripted server has deployed nothing, so that no DESCRIBE has run.
    operation = (await document(api))["paths"]["/pipes/top.{format}"]["get"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema["properties"]["data"]["items"] == {"type": "object"}
    assert schema["required"] == ["meta", "data", "rows", "statistics"]


async def test_post_of_the_same_path_is_a_call_of_an_endpoint_of_that_name(api: Api) -> None:
    answer = await api.call("/v0/pipes/openapi.json", "POST", token=ADMIN)
    assert answer.status_code == 404
    assert answer.json()["error"] == "The pipe 'openapi' does not exist"
