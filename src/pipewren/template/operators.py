"""The operators of expressions: Python's, with every size looked at before the work is done."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

from pipewren.template.failures import failure
from pipewren.template.measures import check_bits, check_size, measure_text, text_of, weigh
from pipewren.template.run import Run, charge, count_output, tick
from pipewren.template.values import PLACEHOLDER, Placeholder, SqlArray

_LISTS = (list, tuple)


def add(run: Run, left: Any, right: Any) -> Any:
    if isinstance(left, (str, *_LISTS)) and isinstance(right, (str, *_LISTS)):
        charge(run, check_size(len(left) + len(right)))
    return _check_number(left + right)


def subtract(run: Run, left: Any, right: Any) -> Any:
    return _check_number(weigh(run, left) - weigh(run, right))


def multiply(run: Run, left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int):
        check_bits(left.bit_length() + right.bit_length() - 1)
    elif isinstance(left, (str, *_LISTS)) and isinstance(right, int):
        charge(run, check_size(len(left) * max(int(right), 0)))
    elif isinstance(right, (str, *_LISTS)) and isinstance(left, int):
        charge(run, check_size(len(right) * max(int(left), 0)))
    return left * right


def divide(run: Run, left: Any, right: Any) -> Any:
    return left / right


def divide_whole(run: Run, left: Any, right: Any) -> Any:
    return left // right


def remainder(run: Run, left: Any, right: Any) -> Any:
    if isinstance(left, str):
        raise failure("% on text is not supported: put the text together with +")
    return left % right


def negate(value: Any) -> Any:
    return -value


def _check_number(value: Any) -> Any:
    if isinstance(value, int):
        check_bits(value.bit_length())
    return value


def _contains(left: Any, right: Any) -> bool:
    found: bool = left in right
    return found


_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "Eq": operator.eq,
    "NotEq": operator.ne,
    "Lt": operator.lt,
    "LtE": operator.le,
    "Gt": operator.gt,
    "GtE": operator.ge,
    "Is": operator.is_,
    "IsNot": operator.is_not,
    "In": _contains,
    "NotIn": lambda left, right: not _contains(left, right),
}


def compare(run: Run, name: str, left: Any, right: Any) -> Any:
    """`name` is Python's name of the operator. Lists are walked, so they are weighed first."""
    if type(left) is not str or type(right) is not str:
        weigh(run, left)
        weigh(run, right)
        if type(left) is Placeholder and name in ("In", "NotIn"):
            return name == "NotIn"  # Python would refuse to look for it in a text
    return _COMPARISONS[name](left, right)


def compare_and_hold(run: Run, name: str, left: Any, right: Any) -> Any:
    """The begin of `a < b < c`: if it is true, `b` is held for what comes next."""
    result = compare(run, name, left, right)
    if result:
        run.held = (right, run.held)
    return result


def compare_held(run: Run, name: str, right: Any) -> Any:
    """The end of a chain."""
    left, run.held = run.held
    return compare(run, name, left, right)


def compare_held_and_hold(run: Run, name: str, right: Any) -> Any:
    """The middle of a chain."""
    left, run.held = run.held
    return compare_and_hold(run, name, left, right)


def get_item(run: Run, value: Any, index: Any) -> Any:
    """`value[index]` of a list, a text or an object of JSON."""
    if isinstance(value, Placeholder) or isinstance(index, Placeholder):
        return PLACEHOLDER
    if isinstance(value, dict):
        try:
            return value[weigh(run, index)]
        except KeyError:
            raise failure(
                f"Missing key '{text_of(index)[:100]}' while rendering the template. Ensure every "
                "object accessed in the template has this key."
            ) from None
    if isinstance(value, str):
        try:
            return value[index]
        except IndexError:
            raise failure(
                "String index out of range. Check that string parameters have values before "
                "taking a character of them."
            ) from None
    if isinstance(value, (*_LISTS, range)):
        try:
            return value[index]
        except IndexError:
            raise failure(f"list index {index} is out of range") from None
    raise TypeError(f"'{type(value).__name__}' object is not subscriptable")


def get_slice(run: Run, value: Any, start: Any, stop: Any, step: Any) -> Any:
    if any(isinstance(one, Placeholder) for one in (value, start, stop, step)):
        return PLACEHOLDER
    if not isinstance(value, (str, *_LISTS)):
        raise TypeError(f"'{type(value).__name__}' object cannot be sliced")
    charge(run, len(value))
    return value[start:stop:step]


def join_text(run: Run, parts: tuple[Any, ...]) -> str:
    """An f-string."""
    texts = [measure_text(run, part) for part in parts]
    charge(run, check_size(sum(map(len, texts))))
    return "".join(texts)


def iterate(run: Run, value: Any, printed: int, shape: Any = None) -> Iterator[Any]:
    """The items of a loop, each turn counted. `shape` says how items are taken apart."""
    if not isinstance(value, (str, *_LISTS, dict, set, range, Placeholder)):
        raise TypeError(f"'{type(value).__name__}' object is not iterable")
    for item in value:
        tick(run, printed)
        yield item if shape is None else unpack(run, item, shape)


def unpack(run: Run, value: Any, shape: Any) -> Any:
    """`value` as nested tuples of that shape (None stands for a name), so that a placeholder can
    be taken apart into any number of them."""
    if shape is None:
        return value
    if isinstance(value, Placeholder):
        return tuple(unpack(run, PLACEHOLDER, part) for part in shape)
    if not isinstance(value, (str, *_LISTS, dict, set, range)):
        raise TypeError(f"cannot unpack non-iterable {type(value).__name__} object")
    if len(value) != len(shape):
        raise ValueError(f"{len(shape)} values were expected, not {len(value)}")
    return tuple(unpack(run, item, part) for item, part in zip(value, shape, strict=True))


HELPERS: dict[str, Any] = {
    "add": add,
    "subtract": subtract,
    "multiply": multiply,
    "divide": divide,
    "divide_whole": divide_whole,
    "remainder": remainder,
    "negate": negate,
    "compare": compare,
    "compare_and_hold": compare_and_hold,
    "compare_held": compare_held,
    "compare_held_and_hold": compare_held_and_hold,
    "weigh": weigh,
    "get_item": get_item,
    "get_slice": get_slice,
    "join_text": join_text,
    "iterate": iterate,
    "unpack": unpack,
    "tick": tick,
    "count_output": count_output,
    "SqlArray": SqlArray,
}
