"""The columns of a data source as reading rows sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pipewren.ingest.jsonpaths import Steps, column_steps
from pipewren.ingest.row_types import ValueType, read_value_type
from pipewren.project.model import Column


@dataclass(frozen=True, slots=True)
class RowColumn:
    """A column of the table. `steps` lead to its value in a row; none is the whole row.
    `shown_type` is the text that a reason names, `position` that of the data source's column."""

    name: str
    shown_type: str
    steps: Steps
    type: ValueType
    has_default: bool
    position: int

    @property
    def is_optional(self) -> bool:
        """Whether a row may do without a value."""
        return self.has_default or self.type.is_nullable

    @property
    def tells_null_from_missing(self) -> bool:
        """NULL where there is null, the DEFAULT where there is nothing."""
        return self.has_default and self.type.is_nullable


def row_columns(
    columns: Sequence[Column], types: Mapping[str, str] | None = None
) -> tuple[RowColumn, ...]:
    """`types` are those of columns that have only a DEFAULT, as the engine says. A Nested column
    is an array for each of its parts, whose rows have an array of objects."""
    found: list[RowColumn] = []
    for position, column in enumerate(columns):
        text = column.type or (types or {}).get(column.name, "")
        made = RowColumn(
            name=column.name,
            shown_type=text or "its type",
            steps=column_steps(column),
            type=read_value_type(text),
            has_default=column.default is not None,
            position=position,
        )
        found += _unnest(made) if made.type.family == "Nested" else [made]
    return tuple(found)


def _unnest(column: RowColumn) -> list[RowColumn]:
    steps = column.steps[:-1] if column.steps[-1:] == (None,) else column.steps
    return [
        replace(
            column,
            name=f"{column.name}.{name}",
            shown_type=f"Array({part.text})",
            steps=(*steps, None, name),
            type=ValueType("Array", f"Array({part.text})", parts=(part,)),
        )
        for name, part in zip(column.type.names, column.type.parts, strict=True)
    ]
