"""Every setting of a server: file < environment < flags.

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

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from pipewren.errors import StartError

ENV_PREFIX = "PIPEWREN_"
FILE_NAME = "pipewren.toml"
# Code, stacks and what the allocator reserves beyond what is used.
ADDRESS_SPACE_EXTRA_BYTES = 16_000_000_000


class Settings(BaseSettings):
    """What a server needs to know before it starts. Frozen: a change needs a restart."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="forbid")

    project_dir: Path = Field(Path(), description="The folder of `.datasource` and `.pipe` files.")
    data_dir: Path | None = Field(
        None, description="Where rows and the store live; `.pipewren` in the project by default."
    )
    host: str = Field("127.0.0.1", description="The address to listen on.")
    port: int = Field(7181, ge=0, le=65535, description="The port; 0 takes a free one.")
    workspace: str = Field(
        "pipewren",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="The name of the workspace that the project's folder is deployed to.",
    )
    admin_token: SecretStr | None = Field(
        None,
        min_length=16,
        description="The workspace admin token; made on the first start when it is not given.",
    )
    token_key: SecretStr | None = Field(
        None,
        min_length=32,
        description="The key that signs token values; a file `token.key` of mode 0600 otherwise.",
    )
    max_execution_time_s: float = Field(
        10.0, gt=0, le=3600, description="The time limit of one query, in seconds (408 beyond)."
    )
    max_memory_bytes: int = Field(
        2_000_000_000, ge=16_000_000, description="The memory limit of one query, in bytes."
    )
    max_result_bytes: int = Field(
        100_000_000, ge=1000, description="The size limit of one answer, in bytes."
    )
    max_spool_bytes: int = Field(
        1_000_000_000,
        ge=0,
        description="Disk space for answers that wait for slow readers, in bytes.",
    )
    max_query_bytes: int = Field(
        262_144, ge=1000, description="The size limit of one compiled statement, in bytes."
    )
    max_body_bytes: int = Field(
        1_000_000, ge=1000, description="The size limit of a request's body, in bytes."
    )
    max_url_bytes: int = Field(
        8192, ge=256, description="The size limit of a request's URL, in bytes (414 beyond)."
    )
    max_headers_bytes: int = Field(
        65_536, ge=1000, description="The size limit of a request's headers, in bytes (431 beyond)."
    )
    head_timeout_s: float = Field(
        10.0, gt=0, description="How long a request's first line and headers may take, in seconds."
    )
    min_body_bytes_per_s: int = Field(
        1000, ge=0, description="The lowest rate of a request's body; slower ones get 408."
    )
    keep_alive_s: float = Field(
        75.0, gt=0, description="How long an idle connection is kept open, in seconds."
    )
    max_connections: int = Field(
        4096, ge=0, description="Connections at a time; those beyond get 429. 0 means no limit."
    )
    max_connections_per_address: int = Field(
        1024, ge=0, description="Connections of one address at a time; 0 means no limit."
    )
    max_waiting_requests: int = Field(
        1000, ge=1, description="Requests in the server at a time; those beyond get 429."
    )
    light_connections: int = Field(
        0, ge=0, le=256, description="Connections for quick queries; 0 means 2 per core."
    )
    heavy_connections: int = Field(
        1, ge=1, le=64, description="Connections for slow queries, each with all cores."
    )
    max_server_memory_bytes: int = Field(
        0, ge=0, description="ClickHouse's memory bound, in bytes; 0 means 60 % of the machine's."
    )
    address_space_bytes: int = Field(
        0,
        ge=0,
        description="RLIMIT_AS of the server process, in bytes; 0 derives it from the memory "
        "bound.",
    )
    disk_reserve_bytes: int = Field(
        1_000_000_000,
        ge=0,
        description="Free disk space below which writes and DDL are refused, in bytes.",
    )
    fsync: bool = Field(
        False, description="fsync each insert: slower, and acknowledged rows survive a power cut."
    )
    shutdown_grace_s: float = Field(
        15.0, gt=0, description="How long running requests may go on after SIGTERM, in seconds."
    )

    @property
    def store_dir(self) -> Path:
        return (self.data_dir or self.project_dir / ".pipewren").resolve()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # `read_settings` merges the sources itself, to say which one a wrong value came from.
        return (init_settings,)


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
