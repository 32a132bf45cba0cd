"""`GET /v0/pipes/NAME.FORMAT`: what a caller may rely on (endpoints.md)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

from pipewren.engine.contract import EngineHealth, Lane, Statement
from pipewren.errors import EngineError, TimedOut
from pipewren.serve.request_record import HUNG_UP, RequestRecord
from pipewren.testing.engine import ScriptedEngine

if TYPE_CHECKING:
    from tests.api.conftest import Api

    MakeApi = Callable[..., Awaitable[Api]]

ADMIN, READER, OTHER = "admin token value", "reader token value", "other token value"
FILTERED = "filtered token value"
TOO_LARGE = EngineError(
    "[Error] Limit for result exceeded. (TOO_MANY_ROWS_OR_BYTES)",
    engine_code=396,
    engine_name="TOO_MANY_ROWS_OR_BYTES",
    status=400,
)


async def test_the_answer_is_the_engines_bytes_with_its_content_type(make_api: MakeApi) -> None:
    body = b'{"meta":[],"data":[{"page":"\\/a"}]}'
    api = await make_api(ScriptedEngine({"SELECT": body}))
    answer = await api.call("/v0/pipes/top.json")
    assert (answer.status_code, answer.content) == (200, body)
    assert answer.headers["content-type"] == "application/json; charset=UTF-8"
    assert answer.headers["content-length"] == str(len(body))
    (statement,) = api.engine.statements
    assert statement.format == "JSON"
    assert statement.lane is Lane.LIGHT
    assert statement.database == "w_00000000000000000000000000000001_d1"
    assert "page IN ['a','b']" in statement.sql


@pytest.mark.parametrize(
    ("extension", "format", "content_type"),
    [
        ("csv", "CSVWithNames", "text/csv; charset=UTF-8; header=present"),
        ("csvwithnames", "CSVWithNames", "text/csv; charset=UTF-8; header=present"),
        ("ndjson", "JSONEachRow", "application/x-ndjson"),
        ("parquet", "Parquet", "application/octet-stream"),
    ],
)
async def test_the_extension_chooses_the_format(
    api: Api, extension: str, format: str, content_type: str
) -> None:
    answer = await api.call(f"/v0/pipes/top.{extension}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == content_type
    assert api.engine.statements[-1].format == format


async def test_a_token_may_come_as_bearer_or_as_parameter(api: Api) -> None:
    assert (await api.call("/v0/pipes/top.json")).status_code == 200
    sent = await api.call(f"/v0/pipes/top.json?token={READER.replace(' ', '+')}", token=None)
    assert sent.status_code == 200
    assert (await api.call("/v0/pipes/top.json", token=ADMIN)).status_code == 200


@pytest.mark.parametrize("token", [None, "", "wrong secret", READER[:-1], OTHER, "ñ\x7f"])
async def test_a_call_without_the_right_is_403_and_never_reaches_the_engine(
    api: Api, token: str | None
) -> None:
    answer = await api.call("/v0/pipes/top.json", token=token)
    assert answer.status_code == 403
    assert api.engine.statements == []
    text = answer.json()["error"]
    assert "token" in text
    if token:
        assert token not in text
        assert token not in str(answer.headers)


async def test_an_unknown_pipe_is_404_and_so_is_one_that_is_not_published(api: Api) -> None:
    for name in ("nothing", "unpublished"):
        answer = await api.call(f"/v0/pipes/{name}.json", token=ADMIN)
        assert answer.status_code == 404
        assert answer.json()["error"] == f"The pipe '{name}' does not exist"


async def test_an_endpoint_is_found_by_its_id_too(api: Api) -> None:
    endpoint = next(iter(api.server.deployments.values())).endpoint("top")
    assert (await api.call(f"/v0/pipes/{endpoint.id}.json")).status_code == 200


async def test_a_wrong_method_is_405_and_says_which_are_allowed(api: Api) -> None:
    for method in ("DELETE", "PUT", "PATCH"):
        answer = await api.call("/v0/pipes/top.json", method)
        assert answer.status_code == 405
        assert "GET" in answer.json()["error"]
        assert answer.headers["allow"] == "GET, POST, HEAD, OPTIONS"


async def test_an_unknown_format_names_those_there_are(api: Api) -> None:
    answer = await api.call("/v0/pipes/top.xml")
    assert answer.status_code == 400
    for name in ("xml", "json", "csv", "csvwithnames", "ndjson", "parquet"):
        assert name in answer.json()["error"]


async def test_a_bad_parameter_is_400_and_named_with_what_was_given(api: Api) -> None:
    answer = await api.call("/v0/pipes/top.json?limit=ten")
    assert answer.status_code == 400
    text = answer.json()["error"]
    assert "Error validating 'ten' to type Int32" in text
    assert "limit" in text
    assert answer.json()["documentation"].startswith("https://")


async def test_a_missing_parameter_is_named(api: Api) -> None:
    answer = await api.call("/v0/pipes/needs.json", token=ADMIN)
    assert answer.status_code == 400
    assert "Check the parameters n." in answer.json()["error"]


async def test_the_author_chooses_status_and_body_of_a_custom_error(api: Api) -> None:
    answer = await api.call("/v0/pipes/needs.json?n=1&fail=x", token=ADMIN)
    assert answer.status_code == 418
    assert answer.json() == {"error": "not you", "why": "x"}


async def test_a_repeated_parameter_is_a_list_for_arrays_and_its_last_value_for_others(
    api: Api,
) -> None:
    await api.call("/v0/pipes/top.json?pages=x&pages=y&limit=1&limit=2")
    sql = api.engine.statements[-1].sql
    assert "page IN ['x','y']" in sql
    assert "LIMIT toInt32('2')" in sql


async def test_values_of_a_caller_stay_inside_their_literal(api: Api) -> None:
    await api.call("/v0/pipes/top.json", params={"without": "' OR 1=1 --\\"})
    assert r"page != '\' OR 1=1 --\\' LIMIT" in api.engine.statements[-1].sql


async def test_post_takes_a_form_or_a_json_body(api: Api) -> None:
    path = "/v0/pipes/top.json?limit=1"
    await api.call(path, "POST", data={"limit": "3", "pages": ["x", "y"]})
    assert "LIMIT toInt32('3')" in api.engine.statements[-1].sql
    assert "['x','y']" in api.engine.statements[-1].sql
    await api.call(path, "POST", json={"limit": 4, "pages": ["z"], "without": None})
    sql = api.engine.statements[-1].sql
    assert "LIMIT toInt32('4')" in sql
    assert "['z']" in sql
    assert "page != 'none'" in sql


async def test_a_list_of_a_json_body_is_a_value_of_its_own(api: Api) -> None:
    body = {"rows": [{"k": "v"}, {"k": "w"}]}
    await api.call("/v0/pipes/objects.json", "POST", token=ADMIN, json=body)
    assert "SELECT 'v' AS first" in api.engine.statements[-1].sql


async def test_a_statement_over_the_limit_is_400_and_never_reaches_the_engine(
    make_api: MakeApi,
) -> None:
    api = await make_api(max_query_bytes=1000)
    assert (await api.call("/v0/pipes/top.json", params={"without": "x" * 700})).status_code == 200
    answer = await api.call("/v0/pipes/top.json", params={"without": "x" * 1000})
    assert answer.status_code == 400
    assert "max_query_bytes" in answer.json()["error"]
    assert len(api.engine.statements) == 1


async def test_a_token_in_a_form_body_counts(api: Api) -> None:
    answer = await api.call("/v0/pipes/top.json", "POST", token=None, data={"token": READER})
    assert answer.status_code == 200


@pytest.mark.parametrize("body", [b"{oops", b"[1]", b"\xff\xfe"])
async def test_a_bad_body_is_400(api: Api, body: bytes) -> None:
    answer = await api.call(
        "/v0/pipes/top.json", "POST", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400
    assert "body" in answer.json()["error"]


async def test_a_body_over_the_limit_is_413(make_api: MakeApi) -> None:
    api = await make_api(max_body_bytes=1000)
    answer = await api.call("/v0/pipes/top.json", "POST", content=b"x" * 1001)
    assert answer.status_code == 413
    assert "1,000 bytes" in answer.json()["error"]


async def test_output_switches_become_settings_of_the_statement(api: Api) -> None:
    await api.call("/v0/pipes/top.json?output_format_json_quote_64bit_integers=1")
    assert api.engine.statements[-1].settings == (("output_format_json_quote_64bit_integers", "1"),)


async def test_an_engine_error_carries_its_code(make_api: MakeApi) -> None:
    error = EngineError(
        "[Error] No such column. (UNKNOWN_IDENTIFIER)",
        engine_code=47,
        engine_name="UNKNOWN_IDENTIFIER",
        status=400,
    )
    api = await make_api(ScriptedEngine({"SELECT": error}))
    answer = await api.call("/v0/pipes/top.json")
    assert answer.status_code == 400
    assert answer.headers["x-db-exception-code"] == "47"
    assert answer.json()["error"] == error.message


async def test_a_timeout_is_408(make_api: MakeApi) -> None:
    api = await make_api(ScriptedEngine({"SELECT": TimedOut("too slow")}))
    assert (await api.call("/v0/pipes/top.json")).status_code == 408


async def test_a_mistake_of_ours_is_a_bare_500_with_the_request_id(
    make_api: MakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    api = await make_api(ScriptedEngine({"SELECT": RuntimeError("secret detail")}))
    answer = await api.call("/v0/pipes/top.json")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    assert answer.headers["x-request-id"] in answer.json()["error"]
    assert answer.headers["x-request-id"] in caplog.text


async def test_a_result_over_the_small_bound_runs_again_and_is_remembered(
    make_api: MakeApi,
) -> None:
    def reply(statement: Statement) -> bytes:
        if statement.limits.max_result_rows:
            raise TOO_LARGE
        return b"large"

    api = await make_api(ScriptedEngine({"SELECT": reply}))
    assert (await api.call("/v0/pipes/top.ndjson")).content == b"large"
    assert [statement.lane for statement in api.engine.statements] == [Lane.LIGHT, Lane.HEAVY]
    assert (await api.call("/v0/pipes/top.ndjson")).content == b"large"
    assert len(api.engine.statements) == 3


async def test_an_answer_over_the_result_limit_is_refused(make_api: MakeApi) -> None:
    api = await make_api(
        ScriptedEngine({"SELECT": lambda statement: b"x" * 1001}), max_result_bytes=1000
    )
    api.server.paces.of(next(iter(api.server.deployments.values())).endpoint("top")).is_large = True
    answer = await api.call("/v0/pipes/top.ndjson")
    assert answer.status_code == 400
    assert "1,000 bytes" in answer.json()["error"]


async def test_requests_beyond_the_bound_are_429_and_the_others_are_answered(
    make_api: MakeApi,
) -> None:
    engine = ScriptedEngine({"SELECT": b"{}"}, gate=asyncio.Event())
    api = await make_api(engine)
    waiting = [asyncio.create_task(api.call("/v0/pipes/top.json")) for _ in range(2)]
    while len(engine.statements) < 2:
        await asyncio.sleep(0)
    refused = await api.call("/v0/pipes/top.json")
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == refused.headers["x-ratelimit-reset"] == "1"
    assert refused.headers["x-ratelimit-limit"] == "2"
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert engine.gate is not None
    engine.gate.set()
    assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200, 200]
    assert (await api.call("/v0/pipes/top.json")).status_code == 200


@pytest.mark.parametrize(
    ("seconds", "limit_s"), [("3", 3.0), ("0.5", 0.5), ("30", 30.0), ("3000", 60.0)]
)
async def test_an_endpoint_may_ask_for_a_time_limit_of_its_own(
    make_api: MakeApi, seconds: str, limit_s: float
) -> None:
    project = {
        "endpoints/top.pipe": "NODE n\nSQL >\n    SELECT 1 SETTINGS max_execution_time = "
        f"{seconds}, max_threads = 1\nTYPE endpoint\n"
    }
    api = await make_api(files=project)
    assert (await api.call("/v0/pipes/top.json")).status_code == 200
    (statement,) = api.engine.statements
    assert statement.limits.max_execution_time_s == limit_s
    assert "SETTINGS" not in statement.sql
    assert statement.settings == ()


async def test_head_answers_without_a_body_and_options_without_a_token(api: Api) -> None:
    head = await api.call("/v0/pipes/top.json", "HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(b'{"data":[]}'))
    preflight = await api.call("/v0/pipes/top.json", "OPTIONS", token=None)
    assert preflight.status_code == 204
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    assert preflight.headers["access-control-allow-origin"] == "*"


async def test_health_tells_what_the_server_can_do(make_api: MakeApi) -> None:
    api = await make_api()
    assert (await api.call("/v0/health", token=None)).json() == {"status": "ok"}
    api.engine.state = EngineHealth(ready=True, writable=False)
    assert (await api.call("/v0/health", token=None)).json()["status"] == "read_only"
    api.engine.state = EngineHealth(ready=False, writable=False, reason="stuck")
    sick = await api.call("/v0/health", token=None)
    assert (sick.status_code, sick.json()) == (503, {"status": "unhealthy", "reason": "stuck"})
    api.app.server = None
    assert (await api.call("/v0/health", token=None)).status_code == 503


async def test_before_the_start_and_after_the_end_answers_are_503(api: Api) -> None:
    api.app.server = None
    answer = await api.call("/v0/pipes/top.json")
    assert answer.status_code == 503
    assert "try again" in answer.json()["error"]


ERRORS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("GET", "/", {}),
    ("GET", "/v0", {}),
    ("GET", "/v0/pipes/nothing", {}),
    ("GET", "/v0/pipes/a/b.json", {}),
    ("GET", "/v0/pipes/.json", {}),
    ("GET", "/v0/pipes/%00.json", {}),
    ("GET", "/v0/pipes/%ff.json", {}),
    ("GET", "/v0/pipes/..%2f..%2fetc%2fpasswd.json", {}),
    ("POST", "/v0/health", {}),
    ("BREW", "/v0/pipes/top.json", {}),
    ("GET", "/v0/pipes/top.json?limit=x", {}),
    ("GET", "/v0/pipes/top.json?a=%ff", {}),
    ("GET", "/v0/pipes/top.json?q=%20", {}),
    ("GET", "/v0/pipes/top.json?" + "&".join(f"p{n}=1" for n in range(1001)), {}),
    ("GET", "/v0/pipes/top.json", {"token": None}),
    ("GET", "/v0/pipes/top.", {}),
    ("POST", "/v0/pipes/top.json", {"content": b"<x/>", "headers": {"Content-Type": "text/xml"}}),
)


@pytest.mark.parametrize(("method", "path", "options"), ERRORS)
async def test_every_error_has_the_one_json_shape(
    api: Api, method: str, path: str, options: dict[str, Any]
) -> None:
    answer = await api.call(path, method, **options)
    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"].startswith("application/json")
    is_for_browsers = path.startswith("/v0/pipes/")
    assert ("access-control-allow-origin" in answer.headers) is is_for_browsers
    assert len(answer.headers["x-request-id"]) == 24
    body = json.loads(answer.content)
    assert isinstance(body["error"], str)
    assert body["error"]
    assert body.keys() <= {"error", "documentation"}
    assert "Traceback" not in body["error"]


async def test_a_client_who_hangs_up_in_the_pause_before_a_refusal_is_recorded(api: Api) -> None:
    """Its 429 is sent after a pause."""
    api.server.admission.inside = 2  # as many as there may be
    records: list[RequestRecord] = []
    api.server.observers.append(records.append)
    asked = asyncio.create_task(api.call("/v0/pipes/top.json"))
    while not api.server.admission.refused:
        await asyncio.sleep(0)
    asked.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asked
    api.server.admission.inside = 0
    assert [record.status for record in records] == [HUNG_UP]


async def test_a_request_without_room_is_recorded_as_its_callers(api: Api) -> None:
    records: list[RequestRecord] = []
    api.server.observers.append(records.append)
    api.server.admission.inside = 2
    for path in ("/v0/pipes/top.json", "/v0/sql?q=SELECT+1", "/v0/pipes/nothing.json"):
        assert (await api.call(path)).status_code == 429
    assert (await api.call("/v0/pipes/top.json", token="wrong")).status_code == 429
    api.server.admission.inside = 0
    assert [record.name for record in records] == ["top", "query_api", "", ""]
    assert {record.status for record in records} == {429}
    assert records[0].token_name == records[1].token_name != ""
    assert api.engine.statements == []


async def test_a_call_that_was_stopped_counts_as_slow(make_api: MakeApi) -> None:
    api = await make_api(ScriptedEngine({"SELECT": TimedOut("[Error] It took too long")}))
    for _ in range(40):
        assert (await api.call("/v0/pipes/top.json")).status_code == 408
    lanes = [statement.lane for statement in api.engine.statements]
    assert (lanes[0], lanes[-1]) == (Lane.LIGHT, Lane.HEAVY)
