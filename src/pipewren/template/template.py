"""A template: compiled once, rendered for every request.

A template is immutable and may be shared; `render` reads nothing but its arguments.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import msgspec

from pipewren.errors import TemplateError, TemplateSyntaxError
from pipewren.sqltext import Sql
from pipewren.template.compiler import CODE_NAME, Render, assigned_names, compile_nodes
from pipewren.template.discovery import Parameter, find_parameters, required_names
from pipewren.template.failures import (
    DEFINED_PAGE,
    NOT_A_FUNCTION,
    MissingParameter,
    failure,
    missing_message,
)
from pipewren.template.functions import NAME_FUNCTIONS
from pipewren.template.limits import MAX_WEIGHED_DEPTH, TemplateLimits
from pipewren.template.nodes import Node, walk
from pipewren.template.origins import Origins, expressions_of
from pipewren.template.parameter_types import presplit
from pipewren.template.parser import parse_template
from pipewren.template.paths import Paths, find_paths
from pipewren.template.run import Run, Tables, raise_too_long
from pipewren.template.values import PLACEHOLDER, Value

DEFAULT_LIMITS = TemplateLimits()
_JOB_TIMESTAMP = "job_timestamp"
_LOCAL_NAME = re.compile(r"'(?:v|c\d+)_(\w+)'")
# What Python itself raises for an expression that fails; anything else is a mistake of ours.
_OF_THE_TEMPLATE = (
    *(TypeError, ValueError, NameError, ZeroDivisionError, OverflowError),
    *(LookupError, RecursionError, MemoryError),
)


class Rendered(msgspec.Struct, frozen=True):
    """`sql` and what the template's directives asked for. The values of `used_secrets` go to the
    engine as query parameters of those names."""

    sql: Sql
    max_threads: int | None = None
    cache_ttl_s: int | None = None
    used_secrets: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()  # what `table()` has named
    activated: tuple[str, ...] = ()
    disabled: tuple[str, ...] = ()
    backend_hint: str | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """`source` is without the leading `%`. `prints_names`: it calls `table`, `symbol` or their
    like, so what it prints may hold names that are not in its source."""

    source: str
    parameters: tuple[Parameter, ...]
    array_parameters: frozenset[str]
    prints_names: bool
    limits: TemplateLimits
    _render: Render
    _required: tuple[str, ...]
    _presplit: Mapping[str, str]
    _reads_job_timestamp: bool
    _changes_lists: bool

    def render(
        self,
        values: Mapping[str, Value],
        *,
        secrets: Container[str] = (),
        tables: Tables = None,
        now: datetime | None = None,
    ) -> Rendered:
        """The SQL for these values. `secrets` are the names that the caller may use, `tables` what
        `table()` may name (None: anything). Raises TemplateError or CustomTemplateError."""
        if self._changes_lists:
            values = {name: _copy(value) for name, value in values.items()}
        if self._presplit:
            values = self._split_arrays(values)
        if self._reads_job_timestamp and values.get(_JOB_TIMESTAMP) is None:
            moment = (now or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M:%S")
            values = {**values, _JOB_TIMESTAMP: moment}
        limits = self.limits
        run = Run(limits, secrets, now, tables, limits.max_steps, limits.max_output_bytes)
        return self._finish(run, values.get)

    def validate(
        self,
        *,
        secrets: Container[str] = (),
        tables: Tables = None,
        ignores_missing_secrets: bool = False,
    ) -> Rendered:
        """The SQL with a placeholder for every parameter (templating.md section 10). Raises
        TemplateError for what fails whatever is sent."""
        limits = self.limits
        run = Run(
            limits,
            secrets,
            None,
            tables,
            limits.max_steps,
            limits.max_output_bytes,
            is_validation=True,
            ignores_missing_secrets=ignores_missing_secrets,
        )
        rendered = self._finish(run, lambda name: PLACEHOLDER)
        if not rendered.sql.strip():
            raise failure("Template renders to an empty query without parameters")
        return rendered

    def _split_arrays(self, values: Mapping[str, Value]) -> Mapping[str, Value]:
        split = {
            name: presplit(element_type, values[name])
            for name, element_type in self._presplit.items()
            if name in values
        }
        return {**values, **split} if split else values

    def _finish(self, run: Run, read: Callable[[str], Any]) -> Rendered:
        pieces: list[str] = []
        try:
            self._render(run, read, pieces.append)
        except TemplateError as error:
            if error.line is None:
                error.line = _line_of(error.__traceback__)
            raise
        except MissingParameter as missing:
            raise TemplateError(
                missing_message(self._required, missing.parameter),
                parameter=missing.parameter or None,
                line=_line_of(missing.__traceback__),
            ) from None
        except _OF_THE_TEMPLATE as error:
            text = _explain(error)
            helps = text == NOT_A_FUNCTION or "NoneType" in text
            raise TemplateError(
                text,
                documentation=DEFINED_PAGE if helps else None,
                line=_line_of(error.__traceback__),
            ) from None
        if run.is_exhausted:  # `{% finally %}{% break %}` can drop the error itself
            raise failure("the template goes over its limits")
        sql = "".join(pieces)
        if len(sql) > self.limits.max_output_bytes:
            raise_too_long(run)
        if not sql.isascii():
            _check_encoding(run, sql)
        return Rendered(
            Sql(sql),
            run.max_threads,
            run.cache_ttl_s,
            run.used_secrets,
            run.named_tables,
            run.activated,
            run.disabled,
            run.backend_hint,
        )


def compile_template(source: str, *, limits: TemplateLimits = DEFAULT_LIMITS) -> Template:
    """`source` is the text after the `%`. Raises TemplateSyntaxError with line and column."""
    try:
        return _compile(source, limits)[0]
    except (RecursionError, MemoryError):
        raise TemplateSyntaxError("the template is nested too deeply", line=1, column=1) from None


def compile_with_paths(
    source: str, *, limits: TemplateLimits = DEFAULT_LIMITS
) -> tuple[Template, Paths]:
    """The same, and the ways through the template."""
    try:
        template, nodes = _compile(source, limits)
        return template, find_paths(nodes, Origins(nodes, template.parameters))
    except (RecursionError, MemoryError):
        raise TemplateSyntaxError("the template is nested too deeply", line=1, column=1) from None


def _compile(source: str, limits: TemplateLimits) -> tuple[Template, list[Node]]:
    nodes = parse_template(source, limits)
    assigned = frozenset(assigned_names(nodes))
    render = compile_nodes(nodes, assigned, limits)
    parameters = find_parameters(nodes, assigned)
    first: dict[str, Parameter] = {}
    for parameter in parameters:
        if parameter.used_in is None:
            first.setdefault(parameter.name, parameter)
    arrays = {name: one.element_type for name, one in first.items() if one.element_type}
    written = [node for expression in expressions_of(nodes) for node in walk(expression)]
    names = {node.id for node in written if isinstance(node, ast.Name)}
    template = Template(
        source=source,
        parameters=parameters,
        array_parameters=frozenset(arrays),
        prints_names=not names.isdisjoint(NAME_FUNCTIONS),
        limits=limits,
        _render=render,
        _required=required_names(parameters),
        _presplit=arrays,
        _reads_job_timestamp=_JOB_TIMESTAMP in names,
        _changes_lists=any(
            isinstance(node, ast.Attribute) and node.attr == "append" for node in written
        ),
    )
    return template, nodes


def _copy(value: Any, depth: int = 0) -> Any:
    """A list or an object of a request's body that the template may add to."""
    if depth > MAX_WEIGHED_DEPTH:
        raise failure("lists are nested too deeply")
    if type(value) is list:
        return [_copy(item, depth + 1) for item in value]
    if type(value) is dict:
        return {key: _copy(item, depth + 1) for key, item in value.items()}
    return value


def _check_encoding(run: Run, sql: str) -> None:
    try:
        size_bytes = len(sql.encode())
    except UnicodeEncodeError:
        raise failure("a value holds half of a surrogate pair, which is no character") from None
    if size_bytes > run.limits.max_output_bytes:
        raise_too_long(run)


def _explain(error: Exception) -> str:
    if isinstance(error, RecursionError | MemoryError):
        return "the template takes too much to be rendered"
    text = _LOCAL_NAME.sub(r"'\1'", str(error)) or type(error).__name__
    if "unhashable type" in text or "not callable" in text:
        return NOT_A_FUNCTION
    return text[:500]


def _line_of(traceback: TracebackType | None) -> int | None:
    """The template's line: that of its code, innermost."""
    line = None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == CODE_NAME:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line
