"""Whether ClickHouse may have forgotten the token of a group that is to be tried again.

A table knows the tokens of its last 1000 blocks (`non_replicated_deduplication_window`), and an
insert is a block for each partition that it touches: ten inserts of a hundred partitions push the
eleventh out (measured), after which the repetition of an insert doubles its rows. What goes by
meanwhile is counted over all tables, views' targets too: more than passes any one of them.
"""

from __future__ import annotations

from pipewren.engine.contract import Engine, Statement
from pipewren.errors import PipewrenError
from pipewren.ingest.queues import Group
from pipewren.sqltext import trusted_sql

SAFE_BLOCKS = 900  # a group's own first insert may be a hundred in one table
_QUERY = trusted_sql(
    "SELECT sum(value) FROM system.events WHERE event = 'MergeTreeDataWriterBlocks'"
)


async def note_try(engine: Engine, group: Group) -> None:
    """After a try that failed and may have put rows in: blocks are counted from here."""
    try:
        group.blocks_at_try = await _count_blocks(engine)
    except PipewrenError:
        group.blocks_at_try = 0  # as if all that were inserted had gone by since


async def may_be_forgotten(engine: Engine, group: Group) -> bool:
    """Before the next try. Its own tries do not count: they add nothing to what is known. Raises
    PipewrenError where the engine does not answer."""
    if group.blocks_at_try is None:
        return False
    group.passed_blocks += await _count_blocks(engine) - group.blocks_at_try
    group.blocks_at_try = None
    return is_forgotten(group)


def is_forgotten(group: Group) -> bool:
    """As far as it was counted."""
    return group.passed_blocks > SAFE_BLOCKS


async def _count_blocks(engine: Engine) -> int:
    """That were inserted since the engine was opened, duplicates too."""
    result = await engine.run(Statement(_QUERY, "system", format="TSVRaw"))
    return int(result.body)
