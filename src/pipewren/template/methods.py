"""Methods of text, lists and objects: dispatched by the exact type, never by attribute access
(templating.md section 8)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pipewren.template.failures import failure
from pipewren.template.limits import MAX_PATTERN_CHARACTERS
from pipewren.template.measures import check_size, text_of, weigh
from pipewren.template.run import Run, charge
from pipewren.template.values import PLACEHOLDER, Placeholder, SqlArray

Method = Callable[..., Any]

OUTPUT_METHODS = frozenset(("split", "get", "join", "replace"))


def _join(separator: str, items: Any) -> str:
    if not isinstance(items, (list, tuple, str, dict, set)):
        raise TypeError("can only join an iterable")
    texts = [item if type(item) is str else _refuse_item(item) for item in items]
    check_size(sum(map(len, texts)) + len(separator) * max(len(texts) - 1, 0))
    return separator.join(texts)


def _refuse_item(item: Any) -> str:
    if isinstance(item, Placeholder):
        return text_of(item)
    raise TypeError(f"join takes texts, and found {type(item).__name__}")


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    if not isinstance(old, str) or not isinstance(new, str):
        raise TypeError("replace takes two texts")
    found = text.count(old)
    check_size(len(text) + found * max(len(new) - len(old), 0))
    return text.replace(old, new, count)


def _zfill(text: str, width: int) -> str:
    check_size(width)
    return text.zfill(width)


def _make_strip(name: str) -> Method:
    strip = getattr(str, name)

    def bounded(text: str, characters: str | None = None) -> Any:
        # Each character of the text is looked for in the other one.
        if isinstance(characters, str) and len(characters) > MAX_PATTERN_CHARACTERS:
            raise failure(f"{name} takes at most {MAX_PATTERN_CHARACTERS} characters")
        return strip(text, characters)

    return bounded


def _append(items: list[Any], item: Any) -> None:
    check_size(len(items) + 1)
    items.append(item)


_TEXT: Mapping[str, Method] = {
    "join": _join,
    "replace": _replace,
    "zfill": _zfill,
    **{name: _make_strip(name) for name in ("strip", "lstrip", "rstrip")},
    **{
        name: getattr(str, name)
        for name in (
            *("split", "rsplit", "splitlines", "lower", "upper", "title", "capitalize"),
            *("startswith", "endswith", "find", "index", "count"),
            *("isdigit", "isalpha", "isalnum"),
        )
    },
}
_LIST: Mapping[str, Method] = {"append": _append, "index": list.index, "count": list.count}
_DICT: Mapping[str, Method] = {
    "get": dict.get,
    "keys": lambda value: list(value),
    "values": lambda value: list(value.values()),
    "items": lambda value: list(value.items()),
}
METHODS_BY_TYPE: Mapping[type, Mapping[str, Method]] = {
    str: _TEXT,
    list: _LIST,
    SqlArray: _LIST,
    dict: _DICT,
}
METHOD_NAMES = frozenset((*_TEXT, *_LIST, *_DICT))


def call_method(run: Run, value: Any, name: str, arguments: tuple[Any, ...]) -> Any:
    """`value.name(*arguments)`."""
    kind = type(value)
    if kind is Placeholder:
        return value
    method = METHODS_BY_TYPE.get(kind, {}).get(name)
    if method is None:
        shown = {SqlArray: "list"}.get(kind, kind.__name__)
        message = f"'{shown}' object has no attribute '{name}'."
        raise failure(f"{message} Make sure you're using an object/dictionary where one is needed.")
    if any(isinstance(argument, Placeholder) for argument in arguments) and name != "append":
        return PLACEHOLDER
    charge(run, len(value))
    if name != "append":
        for argument in arguments:
            weigh(run, argument)
        if kind is list or kind is SqlArray:
            weigh(run, value)  # its items are compared
    result = method(value, *arguments)
    if type(result) is str or type(result) is list:
        charge(run, len(result))
    return result
