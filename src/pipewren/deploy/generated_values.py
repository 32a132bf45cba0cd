"""Values for a template's parameters, so that its statement can be analysed as a call would run it.

A value is the author's own where one is written down: the example, the first of the enum, what the
template compares the parameter with; else a plausible one of the declared type.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pipewren.errors import TemplateError
from pipewren.sql.pipes import CompiledNode, CompiledPipe
from pipewren.template.discovery import Parameter
from pipewren.template.nodes import walk
from pipewren.template.origins import expressions_of
from pipewren.template.parser import parse_template
from pipewren.template.template import Template
from pipewren.template.values import Value

# Stands where any text may stand. A message that holds it tells of the value, not of the statement.
GENERATED_TEXT = "generated_value"
_OF_TYPE: Mapping[str, str] = {
    "String": GENERATED_TEXT,
    "Boolean": "1",
    "Date": "2024-01-02",
    "DateTime": "2024-01-02 03:04:05",
    "DateTime64": "2024-01-02 03:04:05.678",
    "JSON": "{}",
}
_MAX_VARIANTS = 32  # renders a node; how many of them are analysed is `checks.MAX_WAYS`

Given = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Variant:
    """Values of a call. `given` are those beyond what every call must have."""

    values: Mapping[str, Value]
    given: Given = frozenset()


def find_variants(pipe: CompiledPipe, node: CompiledNode) -> tuple[Variant, list[Variant]]:
    """The call with what is required only, and calls that lead to other branches: everything given,
    then each parameter alone, with each value that the template compares it with."""
    templates = [one.template for one in (node, *pipe.nodes.values()) if one.template is not None]
    parameters: dict[str, Parameter] = {}
    for one in (*(p for template in templates for p in template.parameters), *pipe.parameters):
        known = parameters.get(one.name)
        if known is None or (known.used_in is not None and one.used_in is None):
            parameters[one.name] = one
    compared: dict[str, list[str]] = {}
    for name, value in _comparisons(templates):
        compared.setdefault(name, [])
        if value not in compared[name]:
            compared[name].append(value)
    values = {
        name: _values_of(parameter, compared.get(name, []))
        for name, parameter in parameters.items()
    }
    needed = {
        name: values[name][0]
        for name, one in parameters.items()
        if one.default is None and one.used_in is None
    }
    required = {name: value for name, value in needed.items() if parameters[name].is_required}
    everything = {name: some[0] for name, some in values.items()}
    alone = [(name, value) for name, some in values.items() for value in some]
    variants = [Variant(everything, frozenset(everything.items() - required.items()))]
    variants += [
        Variant({**required, name: value}, frozenset({(name, value)}))
        for name, value in alone
        if required.get(name) != value
    ]
    return Variant(needed), variants[:_MAX_VARIANTS]


def _values_of(parameter: Parameter, compared: list[str]) -> list[str]:
    """The most plausible value first, then all that lead elsewhere."""
    written: list[str] = []
    enum = parameter.attributes.get("enum")
    for one in (parameter.attributes.get("example"), parameter.default):
        if isinstance(one, str | int | float) and not isinstance(one, bool) and one != "":
            written.append(str(one))
    if isinstance(enum, list | tuple):
        written = [str(one) for one in enum] + [one for one in written if one in map(str, enum)]
    if not written and not compared:
        return [_of_type(parameter)]
    return list(dict.fromkeys([*written[:1], *compared, *written[1:]]))


def _of_type(parameter: Parameter) -> str:
    name = parameter.element_type or parameter.type
    if name.startswith(("Int", "UInt")):
        return "1"
    if name.startswith("Float"):
        return "1.5"
    return _OF_TYPE.get(name, GENERATED_TEXT)


def _comparisons(templates: Iterable[Template]) -> Iterator[tuple[str, str]]:
    """Names of a template and what it compares them with: `kind == 'a'`, `String(k) in ['a']`."""
    for template in templates:
        try:
            nodes = parse_template(template.source, template.limits)
        except TemplateError:
            continue
        for expression in expressions_of(nodes):
            for node in walk(expression):
                if isinstance(node, ast.Compare) and len(node.comparators) == 1:
                    yield from _constants(node.left, node.comparators[0])
                    yield from _constants(node.comparators[0], node.left)


def _constants(subject: ast.expr, other: ast.expr) -> Iterator[tuple[str, str]]:
    if isinstance(subject, ast.Call) and subject.args:
        subject = subject.args[0]
    if not isinstance(subject, ast.Name):
        return
    for one in other.elts if isinstance(other, ast.List | ast.Tuple) else (other,):
        if (
            isinstance(one, ast.Constant)
            and type(one.value) in (str, int, float)
            and one.value != ""
        ):
            yield subject.id, str(one.value)
