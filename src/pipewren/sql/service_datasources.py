"""The names of service data sources (service-data-sources.md section 3). A template may choose one
by `table()`; there are no rows behind them yet."""

from __future__ import annotations

SERVICE_DATASOURCES = frozenset(
    f"tinybird.{name}"
    for name in (
        *("pipe_stats_rt", "pipe_stats", "endpoint_errors", "bi_stats_rt", "bi_stats"),
        *("datasources_ops_log", "datasources_ops_stats", "datasources_storage", "jobs_log"),
        *("block_log", "hfi_requests", "sinks_ops_log", "cluster_control_log", "kafka_ops_log"),
        *("data_transfer", "estimated_shared_infra_cpu_time", "releases_log", "hook_log"),
        *("data_guess", "llm_usage", "query_validator_log", "realtime_ingestion_mv"),
    )
)
