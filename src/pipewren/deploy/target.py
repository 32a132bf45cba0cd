"""Where a project is deployed to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipewren.engine.contract import Engine
from pipewren.storage.store import Store
from pipewren.storage.workspaces import Workspace


def say_nothing(_: str) -> None:
    """For deploys that nobody watches."""


@dataclass(frozen=True, slots=True)
class DeployTarget:
    """`progress` takes lines for the person who started it."""

    engine: Engine
    store: Store
    workspace: Workspace
    progress: Callable[[str], None] = say_nothing
