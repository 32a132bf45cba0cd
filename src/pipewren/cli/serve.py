"""`pipewren serve`: checks the settings, then supervises the server process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from pipewren.serve.bounds import HttpBounds
from pipewren.serve.supervisor import Ready, ServeOptions, supervise
from pipewren.settings import Settings, address_space_bytes, read_settings


def serve_project(flags: Mapping[str, Any], *, config: Path | None, example: bool) -> int:
    """Serve until a signal ends it; returns the exit status."""
    settings = read_settings(flags, config=config)
    payload = {
        "flags": {key: _json(value) for key, value in flags.items() if value is not None},
        "config": str(config.resolve()) if config else None,
        "example": example,
    }
    return supervise(
        ServeOptions(
            host=settings.host,
            port=settings.port,
            app="pipewren.serve.lifecycle:create_app",
            payload=payload,
            address_space_bytes=address_space_bytes(settings),
            shutdown_grace_s=settings.shutdown_grace_s,
            http=_http_bounds(settings),
            log=_say,
            on_ready=_welcome,
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
    _say(f"Data in {ready.detail.get('data_dir')}")
    token = ready.detail.get("admin_token")
    if token:
        _say(f"The workspace admin token, shown this once (`pipewren token` finds it): {token}")
    example = ready.detail.get("example")
    if example:
        _say(f"Try:\n  {example}")


def _json(value: Any) -> Any:
    return str(value.resolve()) if isinstance(value, Path) else value


def _say(line: str) -> None:
    click.echo(line)
