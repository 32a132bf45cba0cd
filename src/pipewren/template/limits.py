"""Bounds of a template: its text, its nesting, what it may compute, what it may print.

The reference bounds nothing (templating.md section 8: `{% while True %}` and `2 ** 10**8` run), and
callers of the query API may send templates, so all of these are ours. Every bound is counted, none
is timed: the same template with the same values always ends the same way.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_VALUE_SIZE = 262_144  # characters of one text, items of one list
MAX_INTEGER_BITS = 1_024  # four times what the widest type, Int256, holds
MAX_NUMBER_CHARACTERS = 350  # of a text that is to become a number
MAX_EXPRESSION_CHARACTERS = 32_768
MAX_WEIGHED_DEPTH = 60  # of lists in lists
MAX_PATTERN_CHARACTERS = 1_024  # of a text whose every character is looked for in another


@dataclass(frozen=True, slots=True)
class TemplateLimits:
    """`max_output_bytes` is the engine's `max_query_size` (one setting). A step is one turn of a
    loop, or about 64 characters or items that an expression handles."""

    max_source_characters: int = 262_144
    max_output_bytes: int = 262_144
    max_steps: int = 100_000
    max_tags: int = 4_000
    max_block_depth: int = 40
    max_expression_depth: int = 60
