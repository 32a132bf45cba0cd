"""The token and the other reserved names (endpoints.md section 1, "Reserved")."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from pipewren.serve.call import OUTPUT_SWITCHES, RESERVED

if TYPE_CHECKING:
    from tests.api.parameters.conftest import ParameterApi

ADMIN = "admin token value"
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(urlencode({"token": ADMIN}), FORM), (json.dumps({"token": ADMIN}), JSON)],
)
async def test_a_token_in_a_post_body_counts(
    typed: ParameterApi, body: str, content_type: str
) -> None:
    assert (await typed.call("", body, content_type, token=None)).status_code == 200
    assert (await typed.call("token=wrong", body, content_type, token=None)).status_code == 200
    assert (await typed.call("", body, content_type, token="wrong")).status_code == 403
    assert ADMIN not in str([one.sql for one in typed.statements])


async def test_a_token_that_is_no_text_is_refused_without_being_repeated(
    typed: ParameterApi,
) -> None:
    for value in ([ADMIN], {"a": ADMIN}, 123, True):
        text = await typed.refused("", json.dumps({"token": value}), JSON, token=None)
        assert text == "The parameter token must be a text"
    assert (await typed.call("", '{"token": null}', JSON, token=None)).status_code == 403
    assert (await typed.call("token=", token=None)).status_code == 403


SPEC_RESERVED = set(
    """
    token q output_format_json_quote_64bit_integers output_format_json_quote_denormals
    output_format_parquet_string_as_string finalize_aggregations from cli_version __tb__semver
    __tb__client __tb__deployment __tb__csv_header explain debug debug_source_tables query_id tag
    pipeline playground release_replacements template_parameters format with_members_and_owner
    """.split()  # noqa: SIM905
)


async def test_reserved_names_are_those_of_the_specification() -> None:
    assert SPEC_RESERVED == RESERVED | OUTPUT_SWITCHES


@pytest.mark.parametrize("name", sorted(SPEC_RESERVED - {"q"}))
async def test_a_reserved_name_changes_no_statement(typed: ParameterApi, name: str) -> None:
    await typed.printed("s=x")
    plain = typed.statements[-1].sql
    for query, body in ((f"s=x&{name}=0", None), ("s=x", json.dumps({name: "0"}))):
        assert (await typed.call(query, body, body and JSON)).status_code == 200
        assert typed.statements[-1].sql == plain
    assert (await typed.call(f"{name}=0&{name}=0")).status_code == 200
    assert (await typed.call("", f"{name}=0", FORM)).status_code == 200


async def test_a_template_that_reads_a_reserved_name_does_not_get_it(typed: ParameterApi) -> None:
    assert (await typed.printed("tag=mine", pipe="reads_reserved"))["tag"] == "'kept'"


async def test_the_job_timestamp_is_a_parameter_of_templates(typed: ParameterApi) -> None:
    columns = await typed.printed("job_timestamp=2024-05-06+10:00:00", pipe="bare")
    assert columns["now"] == "'2024-05-06 10:00:00'"


async def test_unknown_names_are_taken_and_ignored(typed: ParameterApi) -> None:
    await typed.printed()
    plain = typed.statements[-1].sql
    await typed.printed("app_name=dashboard&__class__=1&a.b=1&%00=1&=1&%F0%9F%90%A6=1&self=1")
    assert typed.statements[-1].sql == plain


async def test_an_empty_q_counts_as_not_sent(typed: ParameterApi) -> None:
    for query, body, kind in (("q=", None, None), ("", "q=", FORM), ("", '{"q": ""}', JSON)):
        assert (await typed.call(query, body, kind)).status_code == 200
        assert len(typed.statements) > 0


async def test_a_q_that_is_no_text_is_refused(typed: ParameterApi) -> None:
    assert "q must be a text" in await typed.refused("", '{"q": ["SELECT 1"]}', JSON)


async def test_an_output_switch_of_any_kind_of_value_is_taken(typed: ParameterApi) -> None:
    name = "output_format_json_quote_64bit_integers"
    for query, body in (
        (f"{name}=1", None),
        (f"{name}=0&{name}=true", None),
        ("", f'{{"{name}": 1}}'),
        ("", f'{{"{name}": true}}'),
    ):
        assert (await typed.call(query, body, body and JSON)).status_code == 200
        assert (name, "1") in typed.statements[-1].settings
    for body in (f'{{"{name}": [1]}}', f'{{"{name}": {{}}}}', f'{{"{name}": 0}}'):
        assert (await typed.call("", body, JSON)).status_code == 200
        assert typed.statements[-1].settings == ()
