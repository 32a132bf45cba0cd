"""`pipewren serve`: checks the settings, then supervises the server process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from pipewren.serve.bounds import HttpBounds
from pipewren.serve.logs import LogOptions, make_tell, open_logs, write_line
from pipewren.serve.supervisor import Ready, ServeOptions, supervise
from pipewren.settings import Settings
from pipewren.settings_sources import address_space_bytes, read_settings


def serve_project(flags: Mapping[str, Any], *, config: Path | None, example: bool) -> int:
    """Serve until a signal ends it; returns the exit status."""
    settings = read_settings(flags, config=config)
    payload = {
        "flags": {key: _json(value) for key, value in flags.items() if value is not None},
        "config": str(config.resolve()) if config else None,
        "example": example,
    }
    logs = LogOptions(settings.log_format, settings.log_level)
    open_logs(logs)
    return supervise(
        ServeOptions(
            host=settings.host,
            port=settings.port,
            metrics_host=settings.metrics_host,
            metrics_port=settings.metrics_port,
            app="pipewren.serve.lifecycle:create_app",
            payload=payload,
            address_space_bytes=address_space_bytes(settings),
            shutdown_grace_s=settings.shutdown_grace_s,
            http=_http_bounds(settings),
            log=make_tell(logs, click.echo),
            log_error=make_tell(logs, write_line),
            logs=logs,
            on_ready=_log_ready if logs.format == "json" else _welcome,
        )
    )


def _http_bounds(settings: Settings) -> HttpBounds:
    return HttpBounds(
        max_url_bytes=settings.max_url_bytes,
        max_headers_bytes=settings.max_headers_bytes,
        head_timeout_s=settings.head_timeout_s,
        min_body_bytes_per_s=settings.min_body_bytes_per_s,
        keep_alive_s=settings.keep_alive_s,
        max_connections=settings.max_connections,
        max_connections_per_address=settings.max_connections_per_address,
        shared_networks=tuple(map(str, settings.trusted_proxies)),
    )


def _welcome(ready: Ready) -> None:
    if ready.starts > 1:
        return
    click.echo(f"Data in {ready.detail.get('data_dir')}")
    token = ready.detail.get("admin_token")
    if token:
        click.echo(
            f"The workspace admin token, shown this once (`pipewren token` finds it): {token}"
        )
    example = ready.detail.get("example")
    if example:
        click.echo(f"Try:\n  {example}")


def _log_ready(ready: Ready) -> None:
    """The same where the output is a log, which is no place for a token."""
    if ready.starts > 1:
        return
    tell = make_tell(LogOptions("json"), write_line)
    tell(f"Data in {ready.detail.get('data_dir')}")
    if ready.detail.get("admin_token"):
        tell("The workspace admin token was made: `pipewren token` shows it")


def _json(value: Any) -> Any:
    return str(value.resolve()) if isinstance(value, Path) else value
