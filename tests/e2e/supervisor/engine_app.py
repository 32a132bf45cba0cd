"""An application that imports the engine, as the real one does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import chdb  # noqa: F401
from tiny_app import TinyApp  # type: ignore[import-not-found]


def create_app(payload: Mapping[str, Any]) -> Any:
    return TinyApp(payload)
