"""What is asked: a trivial endpoint, a point look-up and a group-by of `examples/flights`, over
many keys, and the final SQL of each call."""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass
from pathlib import Path

from pipewren.project.loader import load_project
from pipewren.sql.compile import compile_endpoint
from pipewren.sql.graph import compile_pipes
from pipewren.storage.deployments import list_deployments
from pipewren.storage.store import open_store
from pipewren.storage.workspaces import ensure_workspace

MAX_KEYS = 2000


@dataclass(frozen=True, slots=True)
class Question:
    """`column` of `fixture` gives the values of the endpoint's parameter `parameter`."""

    name: str
    endpoint: str
    parameter: str | None = None
    fixture: str = ""
    column: str = ""


QUESTIONS = (
    Question("trivial", "ping"),
    Question("point look-up", "aircraft", "tailnum", "planes.csv", "tailnum"),
    Question("group-by", "carrier_delays", "carrier", "airlines.csv", "carrier"),
)


def keys_of(question: Question, project: Path) -> list[dict[str, str]]:
    """The parameters of many calls, in an order that is the same in every run."""
    if question.parameter is None:
        return [{}]
    with (project / "fixtures" / question.fixture).open(newline="") as file:
        values = sorted({row[question.column] for row in csv.DictReader(file)})
    random.Random(13).shuffle(values)
    return [{question.parameter: value} for value in values[:MAX_KEYS]]


def final_statements(
    question: Question, keys: list[dict[str, str]], project: Path, data_dir: Path
) -> tuple[str, list[str]]:
    """The live deployment's database, and the statement that Pipewren sends for each call."""
    store = open_store(data_dir)
    with store.begin() as connection:
        workspace = ensure_workspace(connection, "pipewren")
        live = [d for d in list_deployments(connection, workspace.id) if d.is_live]
    store.close()
    pipe = compile_pipes(load_project(project))[question.endpoint]
    return live[-1].database, [compile_endpoint(pipe, key).sql for key in keys]
