"""The physical quarantine of a table, `NAME_quarantine__VERSION`: it has no record of its own, but
comes and goes with the version of the data source's table."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from pipewren.storage.deployments import TableVersion

_SUFFIX = "_quarantine"  # `project/quarantine.py` has it for names in SQL


def quarantine_version(version: TableVersion) -> TableVersion:
    """The quarantine as if it were a data source's table. Its id is made of the table's, so that it
    is the same for all versions, too."""
    digest = hashlib.sha256(f"{version.resource_id}{_SUFFIX}".encode()).hexdigest()
    return replace(
        version,
        datasource=f"{version.datasource}{_SUFFIX}",
        resource_id=f"t_{digest[:32]}",
        definition="",
    )


def quarantine_table(version: TableVersion) -> str:
    """Its name in the workspace's database."""
    return f"{version.datasource}{_SUFFIX}__{version.version}"
