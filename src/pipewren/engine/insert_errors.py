"""What the failure of an insert means for whoever has to try it again.

    BUSY    the engine cannot keep up or has no memory now: the same insert, later
    DISK    nothing can be written now: the same insert, later
    VIEW    a materialised view failed: the rows are in their table, and where other views put them
    ROWS    a row is at fault, or they are too many at once: nothing is in (one block)
    GONE    the table is not there any more
    OTHER   tried again it can succeed, or not

A VIEW's insert repeated with its token, once the view is repaired, adds what is missing.
"""

from __future__ import annotations

from enum import Enum

from pipewren.engine.error_codes import (
    MEMORY_LIMIT_EXCEEDED,
    QUERY_WAS_CANCELLED,
    TOO_MANY_PARTS,
    UNKNOWN_DATABASE,
    UNKNOWN_TABLE,
    Fault,
    find_fault,
)
from pipewren.errors import EngineError, PipewrenError, TooManyRequests, Unavailable


class InsertFailure(Enum):
    BUSY = "busy"
    DISK = "disk"
    VIEW = "view"
    ROWS = "rows"
    GONE = "gone"
    OTHER = "other"


# The statement's mistakes, which no row is at fault for: columns, formats, settings that are not.
_OF_THE_STATEMENT = frozenset({8, 10, 16, 20, 46, 47, 48, 50, 62, 73, 115, 164, 452, 497})
_GONE = frozenset({UNKNOWN_DATABASE, 218})  # 218 TABLE_IS_DROPPED
# 252 is the code of two things: parts that merges cannot keep up with, and one insert into too
# many partitions, which halves of it might not be.
_PARTITIONS = "Too many partitions"
# Also 60: nothing is in, and the insert's own table is there.
_TARGET = "Target table"


def classify_insert_error(error: PipewrenError) -> InsertFailure:
    """By the engine's code, the view that failed, and, where one code is two things, the text."""
    if isinstance(error, Unavailable):
        return InsertFailure.DISK
    if isinstance(error, TooManyRequests):
        return InsertFailure.BUSY
    if not isinstance(error, EngineError):
        return InsertFailure.OTHER
    code = error.engine_code
    if _is_passing(error):
        return InsertFailure.BUSY
    if error.view:
        return InsertFailure.VIEW
    if code in _GONE:
        return InsertFailure.GONE
    if code == UNKNOWN_TABLE:
        return InsertFailure.OTHER if _TARGET in error.message else InsertFailure.GONE
    if code == TOO_MANY_PARTS:
        return InsertFailure.ROWS
    if code in _OF_THE_STATEMENT or find_fault(code) not in (Fault.CALLER, Fault.LIMIT):
        return InsertFailure.OTHER
    return InsertFailure.ROWS


def _is_passing(error: EngineError) -> bool:
    if error.engine_code == MEMORY_LIMIT_EXCEEDED:
        return error.status == Fault.SERVER.status  # all queries' memory, not this one's
    if error.engine_code == TOO_MANY_PARTS:
        return _PARTITIONS not in error.message
    return error.engine_code == QUERY_WAS_CANCELLED
