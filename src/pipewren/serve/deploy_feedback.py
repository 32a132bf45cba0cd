"""What a deploy tells besides success and mistakes, as clients show it (client-compat.md section
4): items with a level, the file that they are of, and a message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipewren.deploy.candidate import Candidate
from pipewren.deploy.deployment import Deployment
from pipewren.project.model import Warning
from pipewren.storage.deployments import Notes


def collect_feedback(candidate: Candidate, live: Deployment, unheeded: Sequence[Warning]) -> Notes:
    """What a client shows beside a success: warnings of the files, TOKEN lines without effect
    (`unheeded`), and rows that stay out of a new materialised view."""
    notes: list[Mapping[str, Any]] = [
        {
            "level": "WARNING",
            "resource": warning.position.file.rpartition("/")[2],
            "message": warning.message,
        }
        for warning in candidate.project.warnings
    ]
    notes += [
        {
            "level": "WARNING",
            "resource": warning.position.file.rpartition("/")[2],
            "message": f"{warning.message} (line {warning.position.line})",
        }
        for warning in unheeded
    ]
    for name, pipe in candidate.pipes.items():
        resource = pipe.pipe.position.file.rpartition("/")[2]
        notes += [
            {"level": "WARNING", "resource": resource, "message": conflict}
            for conflict in pipe.conflicts
        ]
        output = pipe.pipe.output
        before = live.project.pipes.get(name)
        is_new_view = output is not None and output.type.value == "materialized"
        if is_new_view and before is None and live.project.datasources:
            message = (
                "The materialised view takes rows from now on: those that its sources hold already "
                "are not put into it"
            )
            notes.append({"level": "WARNING", "resource": resource, "message": message})
    return tuple(notes)
