"""Which directives of connectors go together in a data source (datafiles.md section 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipewren.project.findings import Findings
from pipewren.project.lexer import Command
from pipewren.project.shared_directives import fail


@dataclass(frozen=True, slots=True)
class Connector:
    """A connector is meant when one of `signs` is given; then all of `required` must be."""

    name: str
    signs: tuple[str, ...]
    required: tuple[str, ...]


# In this order: DynamoDB and the buckets share IMPORT_CONNECTION_NAME.
CONNECTORS = (
    Connector(
        "Kafka",
        (
            *("kafka_connection_name", "kafka_topic", "kafka_group_id"),
            *("kafka_auto_offset_reset", "store_raw_value", "store_headers"),
            *("key_format", "value_format"),
        ),
        ("kafka_connection_name", "kafka_topic", "kafka_group_id"),
    ),
    Connector(
        "DynamoDB",
        ("import_table_arn", "import_export_bucket"),
        ("import_connection_name", "import_table_arn", "import_export_bucket"),
    ),
    Connector(
        "S3 or GCS",
        (
            *("import_connection_name", "import_schedule", "import_bucket_uri"),
            *("import_format", "import_from_timestamp"),
        ),
        ("import_connection_name", "import_schedule", "import_bucket_uri"),
    ),
    Connector(
        "PostgreSQL",
        ("pg_connection_name", "pg_table"),
        ("pg_connection_name", "pg_table"),
    ),
)
IMPORT_SCHEDULES = ("@once", "@on-demand", "@auto")
TRUE_OR_FALSE = ("store_raw_value", "store_headers")


def check_connectors(given: Mapping[str, Command], findings: Findings) -> None:
    """Add what is missing to `findings`, and one warning per connector: rows do not come in by it
    yet. `given` are the connectors' directives by key."""
    left = dict(given)
    for connector in CONNECTORS:
        signs = [left[key] for key in connector.signs if key in left]
        if not signs:
            continue
        first = signs[0]
        findings.warn(
            f"The {connector.name} directives are read and kept, and bring no rows here yet",
            first.position,
        )
        missing = [key for key in connector.required if key not in left]
        with findings.catch():
            if missing:
                raise fail(
                    first,
                    f"Some {connector.name} params have been provided, but the following required "
                    f"ones are missing: {missing}",
                    hint=f"Add {' and '.join(key.upper() for key in missing)}",
                )
        if connector.name == "DynamoDB":
            left = {key: one for key, one in left.items() if not key.startswith("import_")}
    _check_values(given, findings)


def _check_values(given: Mapping[str, Command], findings: Findings) -> None:
    for key, command in given.items():
        with findings.catch():
            if not command.value:
                raise fail(command, f"Missing value after {command.name}")
            if key == "import_schedule" and command.value.lower() not in IMPORT_SCHEDULES:
                raise fail(
                    command,
                    f"{command.value} is not an allowed value for IMPORT_SCHEDULE. Use one of: "
                    f"{', '.join(IMPORT_SCHEDULES)}",
                )
            if key in TRUE_OR_FALSE and command.value.lower() not in ("true", "false"):
                raise fail(command, f"{command.name} must be true or false")
