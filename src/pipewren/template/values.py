"""What an expression can be at render time, beyond Python's own numbers, text and lists.

Kinds are told apart by their exact type, never by attributes: nothing that a caller sends can be
one of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# A request's value: text, from a JSON body any JSON value. None is undefined.
Value = str | int | float | bool | None | list[Any] | dict[str, Any]


class Fragment:
    """SQL that a function of the language made (an identifier, a directive): printed as it is."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class SqlArray(list[Any]):
    """What `Array()` returns: a list whose elements have been checked; prints `[1,2]`."""

    __slots__ = ()


class PythonBuiltin:
    """A name of Python that no parameter has replaced (templating.md section 4): never callable
    from here, only printable by `String()`."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class Placeholder:
    """An unset parameter in a validation render (templating.md section 10): true, three items,
    equal to nothing, and closed under everything that an expression can do with a value."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Any:
        return iter((self, self, self))

    def __len__(self) -> int:
        return 3

    def __eq__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 0

    def __contains__(self, item: object) -> bool:
        return False

    def _never(self, other: object) -> bool:
        return False

    def _itself(self, other: object) -> Placeholder:
        return self

    def __neg__(self) -> Placeholder:
        return self

    __lt__ = __le__ = __gt__ = __ge__ = _never
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _itself
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = _itself
    __mod__ = __rmod__ = __getitem__ = _itself


PLACEHOLDER = Placeholder()
PLACEHOLDER_TEXT = "__no_value__"


def _integer_class(name: str) -> type[int]:
    return type(name, (int,), {"__slots__": ()})


INTEGER_CLASSES: Mapping[str, type[int]] = {
    name: _integer_class(name)
    for name in (
        *("Int8", "Int16", "Int32", "Int64", "Int128", "Int256"),
        *("UInt8", "UInt16", "UInt32", "UInt64", "UInt128", "UInt256"),
    )
}
FLOAT_CLASSES: Mapping[str, type[float]] = {
    name: type(name, (float,), {"__slots__": ()}) for name in ("Float32", "Float64")
}
# What stands before the number when it is printed: `toInt32('5')`.
NUMBER_HEADS: Mapping[type, str] = {
    kind: f"to{name}('" for name, kind in (*INTEGER_CLASSES.items(), *FLOAT_CLASSES.items())
}
