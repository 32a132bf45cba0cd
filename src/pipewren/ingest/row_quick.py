"""The quick way of reading rows: one typed decoding of all lines, for rows that are all well.

A struct is made of the schema's paths, with what msgspec can check at no cost (ranges of integers,
members of an Enum, shapes); a generated comprehension lays the values flat. Whatever is not
certain here raises, and is then read by the careful checks (row_values.py), which decide. It is
never less strict than they are; tests hold the two against each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from pipewren.ingest.row_columns import RowColumn
from pipewren.ingest.row_kinds import Kind, make_kind
from pipewren.ingest.row_types import ValueType

# msgspec keeps microseconds, rounded; more digits are read by the careful checks.
finds_finer_time = re.compile(rb":\d\d\.\d{7}").search


class QuickReader:
    """`decode_lines` and `decode` give rows of the struct; `flatten` makes of some of them, and
    their lines, what is encoded, or raises Unfit, Unsure or UnicodeDecodeError."""

    def __init__(
        self,
        row_type: type,
        flatten: Callable[..., list[Any]],
        *,
        has_times: bool,
        takes_line: bool,
    ) -> None:
        decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(row_type)
        self.decode_lines: Callable[[bytes], list[Any]] = decoder.decode_lines
        self.decode: Callable[[bytes], Any] = decoder.decode
        self.flatten = flatten
        self.has_times = has_times
        self.takes_line = takes_line


@dataclass(slots=True)
class _Node:
    """A place in the rows: a value (`kind`), an object, or a list of objects (`item`)."""

    name: str = ""
    kind: Kind | None = None
    children: dict[str, _Node] = field(default_factory=dict)
    item: _Node | None = None
    is_required: bool = False


class _NoQuickWay(Exception):
    """Two paths want different things of one place."""


def make_quick_reader(
    columns: Sequence[RowColumn], make_row: Callable[..., Any] | None, *, is_lenient: bool = False
) -> QuickReader | None:
    """None for schemas whose rows are all read with care: paths that cross, and columns of which
    only the engine can judge. `make_row` takes the values in order; None for a tuple of them.

    A lenient one reads numbers and times that are text too, which costs a call for each."""
    if any(not column.type.family or _is_judged(column.type) for column in columns):
        return None
    root = _Node()
    names: dict[str, Any] = {"dt": datetime, "make_row": make_row, "UNSET": UNSET}
    absent = "UNSET" if make_row else "None"
    try:
        kinds = [
            _place(root, column, index, names, is_lenient) for index, column in enumerate(columns)
        ]
        row_type = _struct(root, "Row", UNSET if make_row else None)
    except _NoQuickWay:
        return None
    parts = [_expression(root, "r", column, column.steps, absent, 0) for column in columns]
    made = f"make_row({', '.join(parts)})" if make_row else f"({', '.join(parts)},)"
    takes_line = any(not column.steps for column in columns)
    over = "r, line in zip(rows, lines)" if takes_line else "r in rows"
    # Made of field numbers, indexes and the words above: no name of a schema stands in it.
    flatten = eval(f"lambda rows, lines: [{made} for {over}]", names)
    return QuickReader(
        row_type,
        flatten,
        has_times=any(kind.is_time for kind in kinds),
        takes_line=takes_line,
    )


def _is_judged(type: ValueType) -> bool:
    return not type.family or any(_is_judged(part) for part in type.parts)


def _place(
    root: _Node, column: RowColumn, index: int, names: dict[str, Any], is_lenient: bool
) -> Kind:
    """Put a column's value into the tree of places."""
    type = column.type
    node = root
    steps = column.steps
    node.is_required = True
    for position, step in enumerate(steps):
        if step is not None:
            node = node.children.setdefault(step, _Node(name=f"f{len(node.children)}"))
        else:
            if type.family != "Array" or node is root:
                raise _NoQuickWay
            if position == len(steps) - 1:
                break
            node.item = node.item or _Node(is_required=True)
            node, type = node.item, type.parts[0]
            continue
        in_list = None in steps[:position]
        node.is_required |= not (type.is_nullable if in_list else column.is_optional)
    if not steps:
        if type.family != "String":
            raise _NoQuickWay
        return Kind(str)
    kind = make_kind(type, f"k{index}", is_lenient=is_lenient)
    if kind.annotation is Raw and None in steps[:-1] and type.is_nullable:
        raise _NoQuickWay
    names.update(kind.uses)
    if node.kind is not None:
        raise _NoQuickWay  # two columns of one key
    node.kind = kind
    return kind


def _struct(node: _Node, name: str, absent: Any) -> Any:
    fields: list[Any] = []
    for child in node.children.values():
        annotation = _annotation(child, f"{name}_{child.name}", absent)
        if child.is_required:
            fields.append((child.name, annotation))
        else:
            default: Any = absent
            optional = annotation if annotation is Raw else annotation | None
            if absent is UNSET and annotation is not Raw:
                optional = optional | msgspec.UnsetType
            fields.append((child.name, optional, default))
    return msgspec.defstruct(
        name,
        fields,
        gc=False,
        kw_only=True,
        rename={child.name: key for key, child in node.children.items()},
    )


def _annotation(node: _Node, name: str, absent: Any) -> Any:
    uses = (node.kind is not None) + bool(node.children) + (node.item is not None)
    if uses != 1:
        raise _NoQuickWay
    if node.kind is not None:
        return node.kind.annotation
    if node.item is None:
        return _struct(node, name, absent)
    # Inside lists null is the only way to be absent.
    return list[_annotation(node.item, f"{name}_item", None)]  # type: ignore[misc]


def _expression(
    node: _Node,
    access: str,
    column: RowColumn,
    steps: Sequence[str | None],
    absent: str,
    depth: int,
) -> str:
    if not column.steps:
        return "line.decode()"
    if not steps or steps == (None,):
        if node.kind is None:
            raise _NoQuickWay
        refined = node.kind.refine.format(access)
        if node.kind.is_plain or node.is_required:
            return refined
        return f"({access} if {access} is None or {access} is UNSET else {refined})"
    if steps[0] is None:
        if node.item is None:
            raise _NoQuickWay
        name = f"x{depth}"
        inner = _expression(node.item, name, column, steps[1:], "None", depth + 1)
        return f"[{inner} for {name} in {access}]"
    child = node.children[steps[0]]
    inner_access = f"{access}.{child.name}"
    inner = _expression(child, inner_access, column, steps[1:], absent, depth)
    if child.is_required or steps[1:] in ((), (None,)):
        return inner
    return f"({absent} if {inner_access} is None or {inner_access} is UNSET else {inner})"
