"""The functions of the language: what may be called, and with what (templating.md sections 4, 5).

One table, read by the compiler, by parameter discovery and by the reference page.
"""

from __future__ import annotations

import builtins
import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipewren.template import dates, directives, identifiers, parameter_types, texts

METADATA = ("required", "description", "enum", "example", "format")
_TYPED = ("name", "default", "defined", *METADATA)


@dataclass(frozen=True, slots=True)
class Function:
    """`signature` names the arguments in order; those in `ignored` are read by parameter discovery
    only. `takes_parameter`: the first argument is a parameter, whose name messages tell.
    `variadic` functions take any number of positional arguments. `in_output`: may stand in
    `{{ }}`, not only in `{% %}`."""

    name: str
    implementation: Callable[..., Any]
    signature: tuple[str, ...] = ()
    required: int = 1
    ignored: frozenset[str] = frozenset()
    takes_parameter: bool = False
    is_type: bool = False
    variadic: bool = False
    in_output: bool = True


def _make_functions() -> dict[str, Function]:
    made: list[Function] = []
    for name, implementation in parameter_types.TYPE_FUNCTIONS.items():
        made.append(
            Function(
                name,
                implementation,
                _TYPED,
                ignored=frozenset(METADATA),
                takes_parameter=True,
                is_type=True,
            )
        )
    made += [
        Function(
            "Boolean",
            parameter_types.convert_boolean,
            ("name", "default"),
            takes_parameter=True,
            is_type=True,
        ),
        Function(
            "Array",
            parameter_types.convert_array,
            ("name", "type", "default", "defined", *METADATA),
            ignored=frozenset(METADATA),
            takes_parameter=True,
            is_type=True,
        ),
        Function("JSON", texts.parse_json, ("name", "default"), takes_parameter=True, is_type=True),
        Function("defined", texts.is_defined, ("name",)),
        Function("column", identifiers.print_column, ("name", "default"), takes_parameter=True),
        Function(
            "columns", identifiers.print_columns, ("name", "default", "fn"), takes_parameter=True
        ),
        Function("symbol", identifiers.print_symbol, ("name", "quote"), takes_parameter=True),
        Function("table", identifiers.print_table, ("name",), takes_parameter=True),
        Function("TABLE", identifiers.print_table, ("name",), takes_parameter=True),
        Function("sql_and", texts.join_conditions, required=0),
        Function(
            "split_to_array",
            texts.split_to_array,
            ("name", "default", "separator"),
            takes_parameter=True,
        ),
        Function("enumerate_with_last", texts.enumerate_with_last, ("list",)),
        Function("day_diff", dates.count_days, ("first", "second"), required=2),
        *(
            Function(
                name,
                implementation,
                ("first", "second", "date_format", "backup_date_format", "none_if_error"),
                required=2,
            )
            for name, implementation in dates.DATE_DIFFERENCES.items()
        ),
        Function("sql_unescape", texts.unescape_sql, ("text", "what")),
        Function("error", directives.raise_error, ("message",)),
        Function("custom_error", directives.raise_custom_error, ("body", "code")),
        Function("tb_secret", directives.read_secret, ("name", "default")),
        Function("tb_var", directives.read_secret, ("name", "default")),
        Function("max_threads", directives.set_max_threads, ("threads",)),
        Function("cache_ttl", directives.set_cache_ttl, ("ttl",)),
        Function("backend_hint", directives.set_backend_hint, ("hint",), required=0),
        Function("activate", directives.activate, ("feature",)),
        Function("disable", directives.disable, ("feature",)),
    ]
    for builtin, implementation in texts.OUTPUT_BUILTINS.items():
        is_variadic = builtin in ("min", "max")
        made.append(Function(builtin, implementation, ("value",), variadic=is_variadic))
    for builtin, implementation in texts.CONTROL_BUILTINS.items():
        made.append(
            Function(
                builtin,
                implementation,
                {"round": ("value", "digits"), "enumerate": ("value", "start")}.get(
                    builtin, ("value",)
                ),
                required=0 if builtin in ("str", "bool") else 1,
                variadic=builtin in ("range", "zip"),
                in_output=builtin == "range",
            )
        )
    return {function.name: function for function in made}


FUNCTIONS: Mapping[str, Function] = _make_functions()
NAME_FUNCTIONS = frozenset(("table", "TABLE", "symbol", "column", "columns"))
# Functions whose names a parameter may take, since they are Python's.
BUILTIN_FUNCTIONS = frozenset((*texts.OUTPUT_BUILTINS, *texts.CONTROL_BUILTINS))
# Names of Python that mean themselves unless a request sends them (templating.md section 4).
_USABLE = frozenset(("id", "type", "dir", "object", "property", "open", "input", "print"))
PYTHON_NAMES = frozenset(
    name for name in dir(builtins) if not name.startswith("_") and name not in _USABLE
)
_HINTS = {
    **dict.fromkeys(("UUID", "Enum", "IPv4", "IPv6", "Decimal", "FixedString"), "String"),
    **dict.fromkeys(("Float", "Double", "Number"), "Float64"),
    **dict.fromkeys(("Bool", "bool", "boolean"), "Boolean"),
    **dict.fromkeys(("Symbol", "identifier"), "symbol"),
    "Column": "column",
    "UInt": "UInt64",
    "string": "String",
}


def unknown_function(name: str) -> str:
    """The message for a call of something else, with what may have been meant."""
    if name == "length":
        return "length cannot be used as a variable name or as a function inside of a template"
    message = f"Invalid function name: {name}"
    hint = _HINTS.get(name)
    if hint is None:
        near = difflib.get_close_matches(name, FUNCTIONS, n=1, cutoff=0.6)
        folded = {known.lower(): known for known in FUNCTIONS}
        hint = folded.get(name.lower()) or (near[0] if near else None)
    return f"{message}. Did you mean {hint}?" if hint else message
