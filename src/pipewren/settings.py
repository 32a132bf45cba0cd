"""Every setting of a server; `settings_sources.py` reads them."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict


def _check_public_url(url: str | None) -> str | None:
    if url is None:
        return None
    if not url.isascii() or any(character <= " " or character in '"<>\\' for character in url):
        raise ValueError("must be a URL without spaces and with all else percent-encoded")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http or https URL, such as https://api.example.com")
    if parts.username is not None or "?" in url or "#" in url:
        raise ValueError("must have neither user, query nor fragment")
    _ = parts.port  # raises ValueError where it is no port
    return url.rstrip("/")


def _read_networks(value: Any) -> Any:
    """The environment has texts only: `127.0.0.1, 10.0.0.0/8`. Raises ValueError."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise ValueError("must be a list of addresses and CIDRs, or a text with commas")
    texts = [str(part).strip() for part in parts]
    networks = []
    for text in filter(None, texts):
        if "." not in text and ":" not in text:  # 5 would be 0.0.0.5
            raise ValueError(f"{text} is neither an address nor a CIDR such as 10.0.0.0/8")
        try:
            networks.append(ip_network(text))
        except ValueError as error:
            raise ValueError(f"not an address or a CIDR: {error}") from None
    return tuple(networks)


def is_loopback_host(host: str) -> bool:
    """Whether a server that listens there is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _check_metrics_host(host: str, info: ValidationInfo) -> str:
    if not is_loopback_host(host) and info.data.get("metrics_token") is None:
        raise ValueError("beyond loopback metrics_token must be set")
    return host


class Settings(BaseSettings):
    """What a server needs to know before it starts. Frozen: a change needs a restart."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    project_dir: Path = Field(Path(), description="The folder of `.datasource` and `.pipe` files.")
    data_dir: Path | None = Field(
        None, description="Where rows and the store live; `.pipewren` in the project by default."
    )
    host: str = Field("127.0.0.1", description="The address to listen on.")
    port: int = Field(7181, ge=0, le=65535, description="The port; 0 takes a free one.")
    public_url: Annotated[str | None, AfterValidator(_check_public_url)] = Field(
        None,
        description="The URL that callers reach the server by, for links; what the request says "
        "by default.",
    )
    trusted_proxies: Annotated[
        tuple[IPv4Network | IPv6Network, ...], BeforeValidator(_read_networks)
    ] = Field(
        (),
        description="Addresses and CIDRs of proxies whose `X-Forwarded-*` headers are believed; "
        "a list, or a text with commas.",
    )
    workspace: str = Field(
        "pipewren",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="The name of the workspace that the project's folder is deployed to.",
    )
    max_workspaces: int = Field(
        100, ge=1, description="Workspaces and branches at a time; one more gets 400."
    )
    local_tokens: bool | None = Field(
        None,
        description="Whether `GET /tokens` hands out the account's tokens to programs on this "
        "machine; by default while `host` is loopback, without `public_url` and `trusted_proxies`.",
    )
    admin_token: SecretStr | None = Field(
        None,
        min_length=16,
        description="The workspace admin token; made on the first start when it is not given. It "
        "is kept, encrypted, and stays without the setting.",
    )
    token_key: SecretStr | None = Field(
        None,
        min_length=32,
        description="The key that signs token values; a file `token.key` of mode 0600 otherwise.",
    )
    secrets_key: SecretStr | None = Field(
        None,
        min_length=32,
        description="The key that encrypts secrets in the store; a file `secrets.key` of mode 0600 "
        "otherwise.",
    )
    max_execution_time_s: float = Field(
        10.0, gt=0, le=3600, description="The time limit of one query, in seconds (408 beyond)."
    )
    max_memory_bytes: int = Field(
        2_000_000_000, ge=16_000_000, description="The memory limit of one query, in bytes."
    )
    max_rows_to_read: int = Field(
        0, ge=0, description="Rows that one query may scan (400 beyond); 0 means no limit."
    )
    max_threads: int = Field(
        0,
        ge=0,
        le=256,
        description="Threads of one slow query; 0 means all cores. Quick ones have 1.",
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
    max_sql_bytes: int = Field(
        8192, ge=100, description="The size limit of a statement sent as `q`, in bytes."
    )
    max_body_bytes: int = Field(
        1_000_000, ge=1000, description="The size limit of a request's body, in bytes."
    )
    max_project_bytes: int = Field(
        50_000_000, ge=1000, description="The size limit of an uploaded project, in bytes."
    )
    max_upload_bytes: int = Field(
        500_000_000,
        ge=1000,
        description="The size limit of a file of rows that is appended, in bytes.",
    )
    max_events_bytes: int = Field(
        10_000_000,
        ge=1000,
        description="The size limit of a body of events, decompressed, in bytes (413 beyond).",
    )
    max_events_memory_bytes: int = Field(
        200_000_000,
        ge=1000,
        description="Bodies of events in memory at a time, in bytes (503 beyond).",
    )
    max_event_log_bytes: int = Field(
        1_000_000_000,
        ge=1_000_000,
        description="Events that are acknowledged and not yet in their tables, in bytes on disk "
        "(503 beyond).",
    )
    events_flush_s: float = Field(
        1.0,
        gt=0,
        le=60,
        description="How long events are grouped before they go to their table, in seconds.",
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
    max_bad_tokens_per_minute: int = Field(
        60,
        ge=0,
        description="Bad tokens of one address a minute; then its tokens get 429. 0 means no "
        "limit.",
    )
    max_waiting_requests: int = Field(
        1000, ge=1, description="Requests in the server at a time; those beyond get 429."
    )
    max_concurrent_per_endpoint: int = Field(
        0, ge=0, description="Requests of one endpoint at a time (429 beyond); 0 means no limit."
    )
    rate_limit_per_token: int = Field(
        0, ge=0, description="Requests a second of one token (429 beyond); 0 means no limit."
    )
    rate_limit_per_endpoint: int = Field(
        0, ge=0, description="Requests a second of one endpoint (429 beyond); 0 means no limit."
    )
    rate_limit_per_workspace: int = Field(
        0, ge=0, description="Requests a second of the workspace (429 beyond); 0 means no limit."
    )
    rate_limit_events: int = Field(
        0,
        ge=0,
        description="Requests of events a second to one data source (429 beyond); 0 means no "
        "limit.",
    )
    rate_limit_storage: SecretStr = Field(
        SecretStr("memory"),
        description="Where rate limits are counted: `memory`, or the URL of a Redis that several "
        "servers share.",
    )
    max_wait_s: float = Field(
        10.0,
        gt=0,
        description="How long a request may wait for a connection, in seconds (429 beyond).",
    )
    longest_execution_time_s: float = Field(
        60.0,
        gt=0,
        le=3600,
        description="The most that an endpoint may ask for by `SETTINGS max_execution_time`, in "
        "seconds.",
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
    log_format: Literal["human", "json"] = Field(
        "human", description="Lines of the log for people, or one JSON object a line."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least level that is logged: `debug`, `info`, `warning`, `error`."
    )
    access_log: bool = Field(
        False, description="Whether each request leaves a line in the log, without its token."
    )
    usage: bool = Field(
        True, description="Whether requests and what is done to data sources are recorded."
    )
    usage_retention_days: int = Field(
        90, ge=7, le=3650, description="How long records of single requests are kept, in days."
    )
    usage_storage_sample_s: float = Field(
        300.0, ge=1, description="How often the sizes of data sources are recorded, in seconds."
    )
    query_log: bool = Field(
        False,
        description="Whether ClickHouse logs what queries cost, so that records of usage have "
        "`cpu_time` and `memory_usage`; 5 to 10 % slower, in memory only, without SQL and values: "
        "see [monitoring](monitoring.md#cpu-time-and-memory).",
    )
    slow_query_s: float = Field(
        1.0,
        ge=0,
        description="Queries that run longer are logged, in seconds, without the values in their "
        "SQL; 0 logs none.",
    )
    otel_endpoint: Annotated[str | None, AfterValidator(_check_public_url)] = Field(
        None,
        description="The URL of an OpenTelemetry collector (OTLP over HTTP) that gets the spans of "
        "requests, such as `http://127.0.0.1:4318`; needs `pip install pipewren[otel]`.",
    )

    metrics_token: SecretStr | None = Field(
        None,
        min_length=16,
        description="The bearer token of `GET /metrics`, which is on `port` then; see "
        "[metrics](metrics.md). Without it and `metrics_port` there are no metrics.",
    )
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="A port of its own for `GET /metrics`, and then it is there only; 0 takes a "
        "free one.",
    )
    metrics_host: Annotated[str, AfterValidator(_check_metrics_host)] = Field(
        "127.0.0.1",
        description="The address of `metrics_port`; one beyond loopback needs `metrics_token`.",
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
