"""What callers are told of a group that fails: nothing of the rows of other callers in it."""

from __future__ import annotations
