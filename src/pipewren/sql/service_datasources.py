"""Service data sources in statements: `tinybird.pipe_stats_rt` (service-data-sources.md section 3).
What they are is in `usage/service_tables.py`."""

from __future__ import annotations

from collections.abc import Collection

from pipewren.usage.service_tables import SERVICE_TABLES, is_of_organization

SERVICE = "tinybird"
ORGANIZATION = "organization"  # `organization.*` has the rows of all workspaces
# Those that a workspace's own statements may read.
SERVICE_DATASOURCES = frozenset(name for name in SERVICE_TABLES if not is_of_organization(name))


def services_among(words: Collection[str]) -> list[str]:
    """Which service data sources a text may read that has `words` in qualified names."""
    if SERVICE not in words:
        return []
    return sorted(name for word in words if (name := f"{SERVICE}.{word}") in SERVICE_DATASOURCES)
