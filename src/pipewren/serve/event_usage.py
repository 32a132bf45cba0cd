"""What is recorded of events (service-data-sources.md section 3): requests, summed up by second, in
`tinybird.hfi_requests`; groups that were inserted in `tinybird.datasources_ops_log`, as
`append-hfi`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pipewren.deploy.deployment import Deployment
from pipewren.ingest.inserter import Fate, Outcome
from pipewren.serve.forwarded import Network, client_address
from pipewren.serve.request_record import RequestRecord
from pipewren.serve.usage import Operation, Usage
from pipewren.storage.deployments import TableVersion
from pipewren.storage.quarantine import quarantine_table
from pipewren.usage.recorder import Recorder, Row
from pipewren.usage.service_tables import EVENT_REQUESTS, workspace_uuid

MAX_CALLERS = 100  # addresses and tokens of one row

# Workspace id, data source id, second, and whether the requests were refused with 429: the column
# `rate_limited` is no number to be summed up.
_Key = tuple[str, str, int, bool]


@dataclass(slots=True)
class _Second:
    """Requests of one second, or a part of it: rows of one key are added up when they are read."""

    key: _Key
    successful: int = 0
    failed: int = 0
    rows: int = 0
    accepted: int = 0
    quarantined: int = 0
    received: int = 0
    decompressed: int = 0
    addresses: set[str] = field(default_factory=set)
    tokens: set[str] = field(default_factory=set)


class EventRequests:
    """An observer of the server's requests: thousands a second become a few rows."""

    def __init__(self, recorder: Recorder | None, trusted_proxies: Collection[Network]) -> None:
        self._recorder = recorder
        self._trusted_proxies = trusted_proxies
        self._open: dict[_Key, _Second] = {}

    def observe(self, record: RequestRecord) -> None:
        events = record.events
        if events is None or self._recorder is None:
            return
        second = int(record.started_at_s)
        key = (record.workspace_id, events.datasource_id, second, record.status == 429)
        found = self._open.get(key)
        if found is None:
            found = _Second(key)
            if not self._recorder.record(EVENT_REQUESTS, self._close, found):
                return
            self._open[key] = found
        if record.status < 400:
            found.successful += 1
        else:
            found.failed += 1
        found.rows += events.rows
        found.accepted += events.accepted
        found.quarantined += events.quarantined
        found.received += events.received_bytes
        found.decompressed += events.decompressed_bytes
        if len(found.tokens) < MAX_CALLERS:
            found.tokens.add(record.token_id)
        if len(found.addresses) < MAX_CALLERS:
            address = client_address(record.scope, self._trusted_proxies)
            if address is not None:
                found.addresses.add(address)

    def _close(self, found: _Second) -> Row:
        """Its row; what comes later in the same second makes another one."""
        del self._open[found.key]
        workspace_id, datasource_id, second, is_limited = found.key
        return {
            "event_time": second,
            "workspace_id": workspace_uuid(workspace_id),
            "datasource_id": datasource_id,
            "successful_requests": found.successful,
            "error_requests": found.failed,
            "rows_total": found.rows,
            "rows_successful": found.accepted,
            "rows_quarantined": found.quarantined,
            "bytes_received": found.received,
            "bytes_decompressed": found.decompressed,
            "rate_limited": int(is_limited),
            "ips": sorted(found.addresses),
            "tokens": sorted(found.tokens),
        }


def make_group_observer(
    usage: Usage, tables_of: Callable[[str], Iterable[tuple[TableVersion, Sequence[str]]]]
) -> Callable[[Outcome], None]:
    """What `Ingestion` tells of its groups. `tables_of` a workspace are those that events go to,
    with the tags of their data sources."""

    def observe(outcome: Outcome) -> None:
        if outcome.fate in (Fate.LATER, Fate.DIVIDED):  # more is told of its rows
            return
        for table, tags in tables_of(outcome.workspace_id):
            if outcome.table in (table.table, quarantine_table(table)):
                usage.note_group(_operation(outcome, table, tags))
                return

    return observe


def tables_with_tags(
    deployments: Iterable[Deployment | None],
) -> Iterator[tuple[TableVersion, Sequence[str]]]:
    """Of what is live and what is staged."""
    for deployment in deployments:
        if deployment is None:
            continue
        for table in deployment.tables.values():
            datasource = deployment.project.datasources.get(table.datasource)
            yield table, datasource.tags.names if datasource is not None else ()


def _operation(outcome: Outcome, table: TableVersion, tags: Sequence[str]) -> Operation:
    is_quarantine = outcome.table != table.table
    rows = 0 if outcome.fate is Fate.SET_ASIDE else outcome.rows
    operation = Operation(
        "append-hfi",
        outcome.workspace_id,
        table.resource_id,
        table.datasource,
        tags=tuple(tags),
        rows=0 if is_quarantine else rows,
        rows_quarantine=rows if is_quarantine else 0,
        written_rows=outcome.written_rows,
        elapsed_s=outcome.elapsed_s,
        error=outcome.error,
        ended_at_s=time.time(),
        inserts=outcome.inserts,
    )
    if is_quarantine:
        operation.written_rows = max(0, outcome.written_rows - rows)
    return operation
