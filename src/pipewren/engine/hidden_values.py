"""Values that no error text and no log line may show: those of secrets.

ClickHouse quotes values whole, in part ("before: 'rest of it'") and in several spellings. So what
is looked for is any run of characters that a text has in common with a value.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

MASK = "***"
MIN_CHARACTERS = 4  # of a value: shorter ones are everywhere in any text
_RUN_CHARACTERS = 6
_ESCAPES = str.maketrans(
    {
        "\\": "\\\\",
        "'": "\\'",
        "\n": "\\n",
        "\t": "\\t",
        "\r": "\\r",
        "\0": "\\0",
        "\b": "\\b",
        "\f": "\\f",
    }
)


def hide_values(text: str, values: Collection[str]) -> str:
    """`text` with `***` for each of `values` of 4 or more characters, as it is or escaped, and for
    any 6 or more characters in a row that are part of one."""
    if not values:
        return text
    runs = {run for value in values for spelling in _spell(value) for run in _cut(spelling)}
    if not runs:
        return text
    hidden = bytearray(len(text))
    for length in {len(run) for run in runs}:
        for start in range(len(text) - length + 1):
            if text[start : start + length] in runs:
                hidden[start : start + length] = b"\1" * length
    if not any(hidden):
        return text
    pieces: list[str] = []
    for position, character in enumerate(text):
        if not hidden[position]:
            pieces.append(character)
        elif not position or not hidden[position - 1]:
            pieces.append(MASK)
    return "".join(pieces)


def _spell(value: str) -> Iterator[str]:
    """The value, as a literal of either kind, as such a literal quoted again, and with its control
    characters gone."""
    if len(value) < MIN_CHARACTERS:
        return
    escaped = value.translate(_ESCAPES)
    yield value
    yield escaped
    yield escaped.translate(_ESCAPES)
    yield value.replace("'", "''")
    yield value.replace("\\", "\\\\").replace("'", "''")


def _cut(spelling: str) -> Iterator[str]:
    length = min(len(spelling), _RUN_CHARACTERS)
    for start in range(len(spelling) - length + 1):
        yield spelling[start : start + length]
