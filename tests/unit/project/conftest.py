"""A folder to write a project into, and how its mistakes read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipewren.errors import ProjectErrors
from pipewren.project.loader import load_project

WriteFiles = Callable[..., Path]


@pytest.fixture
def write_files(tmp_path: Path) -> WriteFiles:
    """`write_files({"a.pipe": "text or bytes"})` gives the project's folder."""

    def write(files: dict[str, str | bytes]) -> Path:
        root = tmp_path / "project"
        root.mkdir(exist_ok=True)
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return root

    return write


@pytest.fixture
def mistakes_of() -> Callable[[Path], list[str]]:
    """Each mistake of a folder as `file:line: message`."""

    def read(root: Path) -> list[str]:
        with pytest.raises(ProjectErrors) as caught:
            load_project(root)
        return [
            f"{one.file}:{one.line}: {one.message}" if one.line else f"{one.file}: {one.message}"
            for one in caught.value.mistakes
        ]

    return read
