"""tb_secret in data sources and connections, and nothing else of the templating language."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipewren.errors import ProjectErrors
from pipewren.project.connection import parse_connection
from pipewren.project.datasource import parse_datasource
from pipewren.project.model import Connection


def read(line: str, secrets: dict[str, str] | None) -> Connection:
    return parse_connection("c", f"TYPE kafka\n{line}\n", file="c.connection", secrets=secrets)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ('{{ tb_secret("k") }}', "known"),
        ("{{tb_secret('k')}}", "known"),
        ('{{ tb_secret("k", "default") }}', "known"),
        ('{{ tb_secret("missing", "default") }}', "default"),
        ('{{ tb_secret("missing", default="with blank") }}', "with blank"),
        ('{{ tb_secret("missing", "") }}', ""),
        ('"{{ tb_secret("k") }}"', "known"),
        ('{{ tb_secret("k") }}:{{ tb_secret("empty") }}', "known:"),
    ],
)
def test_a_secret_s_value_or_its_default_is_put_in(expression: str, value: str) -> None:
    connection = read(f"KAFKA_KEY {expression}", {"k": "known", "empty": ""})
    assert connection.settings == {"kafka_key": value}


def test_a_missing_secret_without_default_is_a_mistake_at_its_place() -> None:
    with pytest.raises(ProjectErrors) as caught:
        read('KAFKA_KEY x{{ tb_secret("k") }}', {})
    (mistake,) = caught.value.mistakes
    assert mistake.message.startswith("Cannot access secret 'k'. Check the secret exists")
    assert (mistake.line, mistake.column) == (2, 12)


def test_without_known_secrets_the_expression_stays() -> None:
    connection = read('KAFKA_KEY {{ tb_secret("k") }}', None)
    assert connection.settings == {"kafka_key": '{{ tb_secret("k") }}'}


@given(st.text())
def test_no_value_of_a_secret_makes_a_directive_or_leaves_its_place(value: str) -> None:
    text = 'TYPE kafka\nKAFKA_KEY {{ tb_secret("k") }}\nKAFKA_SECRET other\n'
    connection = parse_connection("c", text, file="c.connection", secrets={"k": value})
    assert connection.settings == {"kafka_key": value, "kafka_secret": "other"}
    assert connection.content == text


def test_no_message_shows_the_value_of_a_secret() -> None:
    with pytest.raises(ProjectErrors) as caught:
        parse_datasource(
            "d",
            'SCHEMA >\n    a {{ tb_secret("k") }}\nENGINE {{ tb_secret("k") }}\n'
            'KAFKA_TOPIC {{ tb_secret("k") }}\nSTORE_HEADERS {{ tb_secret("k") }}\n'
            'BACKFILL {{ tb_secret("k") }}\nTOKEN t {{ tb_secret("k") }}\n'
            'IMPORT_SCHEDULE {{ tb_secret("k") }}\n',
            file="d.datasource",
            secrets={"k": "hunter2"},
        )
    assert "hunter2" not in str(caught.value)
    assert "tb_secret cannot be used in SCHEMA" in str(caught.value)
    assert "tb_secret cannot be used in ENGINE" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["{{ x }}", "{% if x %}", "{{ tb_secret(x) }}", '{{ tb_secret("a") + "b" }}', "{{"]
)
def test_other_templates_are_refused(text: str) -> None:
    with pytest.raises(ProjectErrors, match="Only tb_secret can be used"):
        read(f"KAFKA_KEY {text}", {})


def test_a_comment_may_hold_anything() -> None:
    assert read("# {{ x }}", {}).settings == {}
