"""Names that come from parameters: `column`, `columns`, `symbol`, `table` (templating.md section
5). Whatever they are given, they print one quoted identifier each, or a name that is known."""

from __future__ import annotations

from typing import Any

from pipewren.template.escaping import is_plain_name, quote_name
from pipewren.template.failures import failure, shorten
from pipewren.template.measures import measure_text, text_of
from pipewren.template.run import Run, charge
from pipewren.template.values import Fragment, Placeholder

_QUOTES = ("`", '"')

# They tell of the server, also in quotes, where no column has their name. `user`, `database` and
# `schema` do so, too, but are names that columns have.
_FUNCTIONS_WITHOUT_BRACKETS = frozenset(
    {"currentdatabase", "current_database", "currentuser", "current_user", "session_user"}
    | {"currenthandler", "currentrequesturl"}
)


def print_column(run: Run, parameter: str, value: Any = None, default: Any = None) -> Fragment:
    """`` `a` ``, or `` `a`.`b` `` for `a.b`."""
    value = _given("column", "column_name", parameter, value, default)
    return Fragment(_quote_dotted(measure_text(run, value)))


def print_columns(
    run: Run, parameter: str, value: Any = None, default: Any = None, fn: Any = None
) -> Fragment:
    """Several columns, separated by commas; `fn` is called on each."""
    value = _given("columns", "column_names", parameter, value, default)
    if not isinstance(value, str):
        raise failure(
            "The 'columns' function expects a String not an Array",
            anchor="columns",
            parameter=parameter,
        )
    charge(run, 16 * len(value))
    names = [name.strip() for name in value.split(",")]
    if fn is None or type(fn) is Placeholder:
        return Fragment(",".join(map(_quote_dotted, names)))
    if type(fn) is not str or not is_plain_name(fn):
        raise failure(
            f"fn of columns() is the name of a function, not '{shorten(text_of(fn), 40)}'",
            anchor="columns",
        )
    return Fragment(
        ",".join(
            f"{fn}({_quote_dotted(name)}) as {name if is_plain_name(name) else quote_name(name)}"
            for name in names
        )
    )


def print_symbol(run: Run, parameter: str, value: Any = None, quote: Any = "`") -> Fragment:
    """One identifier, dots kept."""
    if value is None:
        raise failure(f"symbol() got no name: the parameter {parameter} is not defined")
    if quote not in _QUOTES:
        raise failure("the quote of symbol() is ` or a double quote")
    name = "placeholder" if type(value) is Placeholder else measure_text(run, value)
    return Fragment(quote_name(name, quote))


def print_table(run: Run, parameter: str, value: Any = None) -> Fragment:
    """A data source's or a pipe's name, unquoted: `name` or `namespace.name`, and only one that the
    render may name."""
    if value is None:
        raise failure(f"table() got no name: the parameter {parameter} is not defined")
    if type(value) is Placeholder:
        return Fragment("placeholder")
    name = measure_text(run, value)
    parts = name.split(".")
    if len(parts) > 2 or not all(is_plain_name(part) for part in parts):
        raise failure(
            f"table() takes the name of a data source or a pipe, not '{shorten(name, 60)}'",
            parameter=parameter,
        )
    tables = run.tables
    if name not in run.named_tables:
        charge(run, 64 * len(run.named_tables))
        run.named_tables = (*run.named_tables, name)
    if tables is None:
        return Fragment(name)
    text = tables(name) if callable(tables) else (name if name in tables else None)
    if text is None:
        raise failure(
            f"table() names '{shorten(name, 60)}', and there is no such data source or pipe",
            parameter=parameter,
        )
    return Fragment(text)


def _given(function: str, argument: str, parameter: str, value: Any, default: Any) -> Any:
    """The value, else the default, else for a placeholder a name. Raises when there is none."""
    if value is not None and type(value) is not Placeholder:
        return value
    if default is not None and type(default) is not Placeholder:
        return default
    if value is not None or default is not None:
        return "placeholder"
    raise failure(
        f"Missing {function}() default value, use `{function}({argument}, 'default_column_name')`",
        anchor=function,
        parameter=parameter,
    )


def _quote_dotted(name: str) -> str:
    if name.lower() in _FUNCTIONS_WITHOUT_BRACKETS:
        raise failure(f"'{name}' is no column: ClickHouse calls the function of that name")
    return ".".join(map(quote_name, name.split(".")))
