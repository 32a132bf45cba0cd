"""The reference page of the templating language, from the tables that the compiler reads by.

What the page says that an example prints is what it prints: every example is rendered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipewren.errors import TemplateError
from pipewren.template.compiler import CAUGHT_NAMES
from pipewren.template.directives import ACTIVATIONS, CACHE_TTLS_S
from pipewren.template.functions import FUNCTIONS, METADATA, Function
from pipewren.template.limits import MAX_INTEGER_BITS, MAX_VALUE_SIZE, TemplateLimits
from pipewren.template.methods import METHODS_BY_TYPE, OUTPUT_METHODS
from pipewren.template.names import RESERVED
from pipewren.template.parameter_types import TYPE_FUNCTIONS, describe_type
from pipewren.template.parser import FORBIDDEN
from pipewren.template.template import compile_template
from pipewren.template.texts import CONTROL_BUILTINS, OUTPUT_BUILTINS
from pipewren.template.values import Value


@dataclass(frozen=True, slots=True)
class Example:
    """A template, the parameters it is rendered with, and what the row is about."""

    template: str
    meaning: str
    values: Mapping[str, Value] = field(default_factory=dict)


_SYNTAX = (
    Example("{{x}}", "a value", {"x": "Oslo"}),
    Example("{% if defined(x) %}a{% elif y %}b{% else %}c{% end %}", "a condition", {"y": "1"}),
    Example("{% for i in [1, 2] %}{{i}};{% else %}none{% end %}", "a loop; `else` without `break`"),
    Example("{% for a, b in [(1, 2)] %}{{b}}{% end %}", "a loop that takes items apart"),
    Example(
        "{% set n = 0 %}{% while n < 2 %}{{n}}{% set n += 1 %}{% end %}", "a variable, a `while`"
    ),
    Example("{% for i in range(9) %}{% break %}{% end %}", "`break`, and likewise `continue`"),
    Example(
        "{% try %}{{Int32(x)}}{% except Exception as e %}0{% finally %};{% end %}",
        "an error that is caught",
        {"x": "a"},
    ),
    Example("{# note #}{% comment note %}", "left out"),
    Example("{{!x}} {%! if %} {#! x", "the marks themselves"),
    Example("{{{x}}}", "the innermost pair counts", {"x": "a"}),
    Example("{% whitespace oneline %}a  b", "blanks from there on: `all`, `single` or `oneline`"),
)
_VALUES = (
    Example("{{x}}", "text is quoted and escaped", {"x": "O'Hara 5%"}),
    Example("{{x}}", "a number of a JSON body", {"x": 5}),
    Example("{{x}}", "a list", {"x": ["a", "b'c"]}),
    Example("{{Int32(x) * 2}}", "arithmetic on typed numbers", {"x": "21"}),
    Example("{{x}}", "a missing value"),
    Example("{{x}}", "an object: take a value of it", {"x": {"k": "v"}}),
    Example("'{{x}}'", "a mistake: the quotes are there already", {"x": "a"}),
)
_TYPES: Mapping[str, Example] = {
    **{
        name: Example(f"{{{{{name}(x)}}}}", "", {"x": "5"})
        for name in TYPE_FUNCTIONS
        if name.startswith(("Int", "UInt", "Float"))
    },
    "String": Example("{{String(x, 'none')}}", ""),
    "Boolean": Example("{{Boolean(x)}}", "", {"x": "false"}),
    "Date": Example("{{Date(x)}}", "", {"x": "2024-05-06"}),
    "DateTime": Example("{{DateTime(x)}}", "", {"x": "2024-05-06 10:11:12"}),
    "DateTime64": Example("{{DateTime64(x)}}", "", {"x": "2024-05-06 10:11:12.345"}),
    "Array": Example("{{Array(x, 'Int32')}}", "", {"x": "1,2"}),
    "JSON": Example("{{JSON(x)['k']}}", "", {"x": '{"k": "v"}'}),
}
_OWN_TYPES = {
    "Array": "text, split at its commas without trimming, or a list; every element is checked",
    "JSON": "JSON text, for `['key']`, `.get()` and loops; `{}` when missing",
}
_FUNCTIONS: Mapping[str, Example] = {
    "defined": Example("{{defined(x)}}", "whether the parameter was sent; empty counts", {"x": ""}),
    "column": Example("{{column(x, 'id')}}", "a column's name", {"x": "doc.field"}),
    "columns": Example(
        "{{columns(x, fn='sum')}}", "columns' names, with `fn` around each", {"x": "a,b"}
    ),
    "symbol": Example("{{symbol(x)}}", "one name, its dots kept", {"x": "my.table"}),
    "table": Example("{{table(x)}}", "a data source or pipe, `name` or `ns.name`", {"x": "events"}),
    "TABLE": Example("{{TABLE('events')}}", "the same as `table`"),
    "sql_and": Example(
        "{{sql_and(city=x, age__gte=Int32(y, defined=False))}}",
        "conditions; those without a value are left out. Endings of a name: `__in`, `__not_in`, "
        "`__gt`, `__gte`, `__lt`, `__lte`",
        {"x": "Oslo"},
    ),
    "split_to_array": Example("{{split_to_array(x)}}", "the trimmed parts", {"x": "a, b"}),
    "enumerate_with_last": Example(
        "{% for last, i in enumerate_with_last([1, 2]) %}{{i}}{% if not last %},{% end %}{% end %}",
        "each item behind whether it is the last",
    ),
    "day_diff": Example(
        "{{day_diff(a, b)}}", "days between two dates", {"a": "2024-01-01", "b": "2024-01-31"}
    ),
    **{
        f"date_diff_in_{unit}": Example(
            f"{{{{date_diff_in_{unit}(a, b, '%Y-%m-%d')}}}}",
            f"{unit} between two times, cut to a whole number",
            {"a": "2024-01-01", "b": "2024-01-02"},
        )
        for unit in ("days", "hours", "minutes", "seconds")
    },
    "sql_unescape": Example(
        "{{sql_unescape(x + '%', '%')}}", "text in which `what` is not escaped", {"x": "ab"}
    ),
    "error": Example("{{error('bad range')}}", "ends the request with status 400"),
    "custom_error": Example(
        "{{custom_error({'error': 'no access'}, 403)}}",
        "ends the request with that body and status",
    ),
    "tb_secret": Example(
        "{{tb_secret('key', 'none')}}",
        "a secret, which the engine fills in: its value is never part of the SQL",
    ),
    "tb_var": Example("{{tb_var('key', 'none')}}", "the same as `tb_secret`"),
    "max_threads": Example("{{max_threads(4)}}", "the statement's `max_threads`"),
    "cache_ttl": Example(
        "{{cache_ttl('1m')}}", f"one of {', '.join(f'`{ttl}`' for ttl in CACHE_TTLS_S)}"
    ),
    "backend_hint": Example("{{backend_hint('r1')}}", "a comment; nothing acts on it"),
    "activate": Example(
        "{{activate('analyzer')}}", f"one of {', '.join(f'`{one}`' for one in ACTIVATIONS)}"
    ),
    "disable": Example("{{disable('analyzer')}}", "only `analyzer`"),
}


def render_page() -> str:
    """The page, without the line that says that it is generated."""
    parts = [
        "# Templates\n",
        _introduction(),
        "## Syntax\n",
        _examples(_SYNTAX),
        _syntax_notes(),
        "## What `{{ }}` prints\n",
        _examples(_VALUES),
        _parameters(),
        _types(),
        "## Functions\n",
        _functions(),
        _expressions(),
        _limits(),
    ]
    return "\n".join(parts)


def _introduction() -> str:
    return """\
A node whose SQL begins with `%` is a template: it is rendered with the request's parameters, and
what it prints is the SQL. All nodes of a pipe see the same parameters. A `%` elsewhere is text.
Parameters inside of SQL comments and quotes are read too.
"""


def _syntax_notes() -> str:
    forbidden = ", ".join(f"`{word}`" for word in sorted(FORBIDDEN))
    caught = ", ".join(f"`{name}`" for name in CAUGHT_NAMES)
    return f"""\
Every block ends with `{{% end %}}`. `else if` is written `elif`. `set` takes one statement; a name
that is set hides the parameter of that name in the whole template, also before it is set.
`except` takes {caught}, or nothing for all. Refused: {forbidden}.
"""


def _parameters() -> str:
    reserved = " and ".join(f"`{name}`" for name in RESERVED)
    metadata = ", ".join(f"`{name}`" for name in METADATA)
    return f"""\
## Parameters
Every name that is not set is a parameter; one that was not sent is `None`, one that was sent empty
is `''`. Values of a query string are text: compare them with a number only through a type.
{reserved} are no names of parameters. Names of Python such as `max` are the parameter when it is
sent. A name whose first use is `Array` is a list in the whole template.

`Type(name, default, defined=True)`: the value, or the default when it is missing; without one the
request fails, unless `defined=False`. Defaults are checked like values. {metadata} describe the
parameter and change nothing. `Boolean` and `JSON` take a name and a default only.
"""


def _types() -> str:
    rows = []
    for name, example in _TYPES.items():
        accepts = _OWN_TYPES.get(name) or describe_type(name)
        rows.append((f"`{name}`", accepts, *_shown(example)))
    return _table(("type", "accepts", "example", "with", "prints"), rows)


def _functions() -> str:
    rows = []
    for name, example in _FUNCTIONS.items():
        rows.append((f"`{_signature(FUNCTIONS[name])}`", example.meaning, *_shown(example)))
    return _table(("function", "meaning", "example", "with", "prints"), rows)


def _signature(function: Function) -> str:
    if function.name == "sql_and":
        return "sql_and(column=value, ...)"
    named = [one for one in function.signature if one not in function.ignored]
    required, optional = named[: function.required], named[function.required :]
    return f"{function.name}({', '.join([*required, *(f'{one}=' for one in optional)])})"


def _expressions() -> str:
    builtins = (*OUTPUT_BUILTINS, *CONTROL_BUILTINS)
    output = ", ".join(f"`{name}`" for name in builtins if FUNCTIONS[name].in_output)
    control = ", ".join(f"`{name}`" for name in builtins if not FUNCTIONS[name].in_output)
    methods = "\n".join(
        f"- {kind}: {', '.join(f'`{name}`' for name in names)}" for kind, names in _methods()
    )
    usable = ", ".join(f"`{name}`" for name in sorted(OUTPUT_METHODS))
    return f"""\
## Expressions
Expressions are a part of Python's. In `{{{{ }}}}`: constants, names, calls, `+ - *`, `not`,
`a if b else c`, lists, tuples, objects, an index that is a constant, slices, f-strings without
formats, and the methods {usable}. Functions of Python: {output}.

In `{{% %}}` also comparisons, `and`, `or`, `in`, any index, `/ // %` on numbers, comprehensions
with one `for`, and {control}. Methods:

{methods}

Nothing else is there: no attributes, no `lambda`, no `**`, no `%` on text, no imports.
"""


def _methods() -> Iterable[tuple[str, list[str]]]:
    names = {str: "text", list: "lists", dict: "objects"}
    for kind, label in names.items():
        yield label, sorted(METHODS_BY_TYPE[kind])


def _limits() -> str:
    limits = TemplateLimits()
    return f"""\
## Limits
A template has at most {limits.max_source_characters:,} characters, {limits.max_tags:,} tags, and
{limits.max_block_depth} blocks in each other, of which 20 may be loops. It prints at most
{limits.max_output_bytes:,} bytes and takes at most {limits.max_steps:,} steps: a turn of a loop is
one, and so are about 64 characters or items that an expression handles. A text or a list has at
most {MAX_VALUE_SIZE:,} characters or items, a whole number {MAX_INTEGER_BITS:,} bits. Beyond a
limit the request fails with status 400.
"""


def _examples(examples: Iterable[Example]) -> str:
    rows = [(*_shown(example), example.meaning) for example in examples]
    return _table(("template", "with", "prints", "meaning"), rows)


def _shown(example: Example) -> tuple[str, str, str]:
    sent = ", ".join(f"{name} = {_written(value)}" for name, value in example.values.items())
    try:
        sql = compile_template(example.template).render(example.values).sql
        printed = _code(sql.replace("\n", "⏎"))
    except TemplateError as error:
        printed = f"error: {_code(error.message.removeprefix('Template Syntax Error: '))}"
    return _code(example.template), _code(sent), printed


def _written(value: Any) -> str:
    return value if isinstance(value, str) and value else repr(value)


def _code(text: str) -> str:
    """Inline code, whatever backquotes the text has."""
    if not text:
        return ""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head)]
    lines += [tuple(cell.replace("|", "\\|") for cell in row) for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
