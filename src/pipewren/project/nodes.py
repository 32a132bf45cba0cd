"""What a node of each type may and must say (datafiles.md section 2, Rules)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipewren.project.directives import PIPE
from pipewren.project.findings import Findings
from pipewren.project.lexer import Command
from pipewren.project.model import NodeType
from pipewren.project.schedules import describe_bad_schedule
from pipewren.project.shared_directives import fail

_SINK = frozenset(one.key for one in PIPE.directives if one.name.startswith("EXPORT_"))
_OWN: Mapping[NodeType, frozenset[str]] = {
    NodeType.COPY: frozenset(("target_datasource", "copy_schedule", "mode", "on_demand_compute")),
    NodeType.MATERIALIZED: frozenset(("datasource", "deployment_method")),
    NodeType.SINK: _SINK | {"on_demand_compute", "filter"},
    NodeType.ENDPOINT: frozenset(),
}
_KAFKA = ("export_connection_name", "export_schedule", "export_kafka_topic")
_BUCKET = (
    "export_connection_name",
    "export_schedule",
    "export_bucket_uri",
    "export_file_template",
)
_SHOWN_TYPES = sorted(one.value for one in NodeType if one is not NodeType.STREAM)


def read_node_type(node: str, command: Command) -> NodeType:
    """`TYPE t`, in any case. Raises DatafileError (the doubled quotes are the spec's)."""
    try:
        return NodeType(command.value.lower())
    except ValueError:
        allowed = ", ".join(f"'{one}'" for one in _SHOWN_TYPES)
        raise fail(
            command,
            f"Invalid node ''{node}'' of type ({command.value}). Allowed node types: {{{allowed}}}",
        ) from None


def check_node(
    name: Command, type: NodeType, attributes: Mapping[str, Command], findings: Findings
) -> None:
    """Add what is wrong with the attributes of a node to `findings`."""
    node = name.value
    for key, command in attributes.items():
        with findings.catch():
            if type is NodeType.STANDARD or (
                key == "filter" and type in (NodeType.COPY, NodeType.MATERIALIZED)
            ):
                label = type.value.capitalize()
                raise fail(
                    command,
                    f"{label} node '{node}' has an invalid attribute ({key})",
                    hint="Is TYPE missing?" if type is NodeType.STANDARD else None,
                )
            if type in _OWN and key not in _OWN[type]:
                findings.warn(
                    f"{command.name} does nothing on a node of type {type.value}", command.position
                )
            elif key in _CHECKS:
                _CHECKS[key](command)
    with findings.catch():
        if type is NodeType.COPY and "target_datasource" not in attributes:
            _refuse_missing(name, "copy", "target_datasource")
        if type is NodeType.MATERIALIZED and "datasource" not in attributes:
            _refuse_missing(name, "materialized", "datasource")
        if type is NodeType.SINK:
            _check_sink(name, attributes)


def _refuse_missing(name: Command, type: str, key: str) -> None:
    raise fail(
        name,
        f"Some {type} node params have been provided, but the following required ones are "
        f"missing: ['{key}']",
        hint=f"Write {key.upper()} name under the node",
    )


def _check_sink(name: Command, attributes: Mapping[str, Command]) -> None:
    is_kafka = "export_kafka_topic" in attributes
    is_bucket = not attributes.keys().isdisjoint({"export_bucket_uri", "export_file_template"})
    if is_kafka and is_bucket:
        raise fail(
            attributes["export_kafka_topic"],
            f"Sink node '{name.value}' has parameters of Kafka and of a bucket",
            hint="A sink writes to one of them: put the other in a pipe of its own",
        )
    required = _KAFKA if is_kafka else _BUCKET
    missing = [key.upper() for key in required if key not in attributes]
    if not missing:
        return
    needs = f"{'A Kafka' if is_kafka else 'An S3 or GCS'} sink needs {_listed(required)}"
    if not is_kafka and not is_bucket:
        needs = f"{needs}; a Kafka sink needs {_listed(_KAFKA)}"
    raise fail(
        name,
        f"Sink node '{name.value}' is missing required parameters. {needs}. "
        f"Missing: {', '.join(missing)}",
    )


def _listed(keys: tuple[str, ...]) -> str:
    *first, last = (key.upper() for key in keys)
    return f"{', '.join(first)} and {last}"


def _check_mode(command: Command) -> None:
    if command.value.lower() not in ("append", "replace"):
        raise fail(command, "COPY node mode must be append or replace")


def _check_copy_schedule(command: Command) -> None:
    if problem := describe_bad_schedule(command.value):
        raise fail(
            command,
            "COPY node schedule must be @on-demand or a valid cron expression.",
            hint=problem[0].upper() + problem[1:],
        )


def _check_sink_schedule(command: Command) -> None:
    if problem := describe_bad_schedule(command.value):
        raise fail(
            command,
            "EXPORT_SCHEDULE must be @on-demand or a valid cron expression.",
            hint=problem[0].upper() + problem[1:],
        )


def _check_on_demand_compute(command: Command) -> None:
    if command.value.lower() not in ("true", "false"):
        raise fail(command, "ON_DEMAND_COMPUTE must be true or false")


def _check_deployment_method(command: Command) -> None:
    if command.value.lower() != "alter":
        raise fail(
            command,
            f"{command.value} is not an allowed value for DEPLOYMENT_METHOD. Use one of: "
            "{'alter'}",
        )


_CHECKS: Mapping[str, Callable[[Command], None]] = {
    "mode": _check_mode,
    "copy_schedule": _check_copy_schedule,
    "export_schedule": _check_sink_schedule,
    "on_demand_compute": _check_on_demand_compute,
    "deployment_method": _check_deployment_method,
}
