"""Reads the settings of a server from their sources: file < environment < flags.

The file is `pipewren.toml` in the project's folder (or `--config FILE`), the environment's names
begin with `PIPEWREN_`. Unknown keys are refused with a near-miss suggestion: a misspelt limit that
is silently ignored is a limit that does not hold.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipewren.errors import StartError
from pipewren.settings import Settings

ENV_PREFIX = "PIPEWREN_"
FILE_NAME = "pipewren.toml"
# Code, stacks and what the allocator reserves beyond what is used.
ADDRESS_SPACE_EXTRA_BYTES = 16_000_000_000


def read_settings(
    flags: Mapping[str, Any],
    *,
    config: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Merge file, environment and flags. Raises StartError naming the source of a wrong value."""
    merged: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source, values in (
        _read_file(flags, config),
        ("environment", _read_environment(os.environ if environ is None else environ)),
        ("flag", {key: value for key, value in flags.items() if value is not None}),
    ):
        for key, value in values.items():
            if key not in Settings.model_fields:
                raise StartError(_unknown_key(key, source))
            merged[key] = value
            sources[key] = source
    try:
        return Settings(**merged)
    except ValidationError as error:
        lines = [
            f"{_spell(str(item['loc'][0]), sources.get(str(item['loc'][0]), ''))}: {item['msg']}"
            for item in error.errors(include_input=False, include_url=False)
        ]
        raise StartError("Wrong settings:\n" + "\n".join(f"  {line}" for line in lines)) from None


def _read_file(flags: Mapping[str, Any], config: Path | None) -> tuple[str, dict[str, Any]]:
    path = config or Path(flags.get("project_dir") or ".") / FILE_NAME
    if config is None and not path.is_file():
        return str(path), {}
    try:
        with path.open("rb") as file:
            return str(path), tomllib.load(file)
    except OSError as error:
        raise StartError(f"Cannot read the settings file {path}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise StartError(f"{path} is not valid TOML: {error}") from None


def _read_environment(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix(ENV_PREFIX).lower(): value
        for name, value in environ.items()
        if name.startswith(ENV_PREFIX)
    }


def _spell(key: str, source: str) -> str:
    if source == "environment":
        return f"{ENV_PREFIX}{key.upper()} (environment)"
    if source == "flag":
        return f"--{key.replace('_', '-')}"
    return f"{key} in {source}" if source else key


def _unknown_key(key: str, source: str) -> str:
    near = difflib.get_close_matches(key, Settings.model_fields, n=1)
    hint = f"did you mean {_spell(near[0], source)}?" if near else "see docs/settings.md"
    return f"Unknown setting {_spell(key, source)}: {hint}"


def address_space_bytes(settings: Settings) -> int:
    """RLIMIT_AS of the server process: the setting, or from ClickHouse's memory bound what lets it
    work and stops the few functions that ignore that bound (docs/engine.md has the figures)."""
    if settings.address_space_bytes:
        return settings.address_space_bytes
    memory = settings.max_server_memory_bytes or int(
        os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 0.6
    )
    return memory + ADDRESS_SPACE_EXTRA_BYTES
