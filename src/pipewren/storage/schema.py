"""The tables of the store, as SQLAlchemy Core describes them; `migrations/` brings them about.

Times are UTC, `YYYY-MM-DD HH:MM:SS.ffffff` (pipes-api.md section 2). Token *values* are nowhere in
here: a value is computed from its id, its generation and the key file (tokens.md section 2), and
one that a setting gave is encrypted, so a stolen database opens nothing.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

workspaces = Table(
    "workspaces",
    metadata,
    Column("id", String(32), primary_key=True),  # hex: part of database names `w_<id>`
    Column("name", String(255), nullable=False, unique=True),
    Column("live_deployment", Integer, nullable=True),
    Column("created_at", String(26), nullable=False),
    # Of a branch: the workspace that it was made from.
    Column("main", String(32), nullable=True),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("workspace_id", ForeignKey("workspaces.id"), nullable=False),
    Column("name", String(255), nullable=False),
    Column("description", Text, nullable=False, default=""),
    Column("origin", String(16), nullable=False),  # default | datafile | api
    Column("generation", Integer, nullable=False, default=1),
    Column("created_at", String(26), nullable=False),
    UniqueConstraint("workspace_id", "name"),
)

token_scopes = Table(
    "token_scopes",
    metadata,
    Column("token_id", ForeignKey("tokens.id", ondelete="CASCADE"), primary_key=True),
    Column("type", String(64), primary_key=True),
    Column("resource", String(255), primary_key=True, default=""),
    Column("filter", Text, primary_key=True, default=""),  # several on one resource: any of them
)

# The value that a setting gave a token, at one of its generations. No foreign key to the token: the
# row outlives it, and with it the knowledge that its value was ended.
given_tokens = Table(
    "given_tokens",
    metadata,
    Column("workspace_id", ForeignKey("workspaces.id"), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("token_id", String(36), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("value", Text, nullable=False),  # encrypted, as those of secrets are
)

deployments = Table(
    "deployments",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("workspace_id", ForeignKey("workspaces.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("digest", String(64), nullable=False),  # of all files: an unchanged project is reused
    # calculating | creating_schema | schema_ready | data_ready | failed | deleting | deleted;
    # which one is live says the workspace.
    Column("state", String(16), nullable=False),
    Column("created_at", String(26), nullable=False),
    Column("updated_at", String(26), nullable=False),
    Column("errors", Text, nullable=False, default="[]"),  # JSON, as clients read it
    Column("feedback", Text, nullable=False, default="[]"),
    UniqueConstraint("workspace_id", "number"),
)

deployment_files = Table(
    "deployment_files",
    metadata,
    Column("deployment_id", ForeignKey("deployments.id", ondelete="CASCADE"), primary_key=True),
    Column("path", String(1024), primary_key=True),
    Column("content", Text, nullable=False),
)

# One row per physical table of a data source. Never deleted while it may hold rows.
table_versions = Table(
    "table_versions",
    metadata,
    Column("workspace_id", ForeignKey("workspaces.id"), primary_key=True),
    Column("datasource", String(255), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("resource_id", String(34), nullable=False),  # t_<hex>, the same for all versions
    Column("definition", Text, nullable=False),  # what the author wrote, normalised
    Column("created_at", String(26), nullable=False),
)

deployment_tables = Table(
    "deployment_tables",
    metadata,
    Column("deployment_id", ForeignKey("deployments.id", ondelete="CASCADE"), primary_key=True),
    Column("datasource", String(255), primary_key=True),
    Column("version", Integer, nullable=False),
)

# One row per physical materialised view; `definition` has its SELECT over physical tables.
view_versions = Table(
    "view_versions",
    metadata,
    Column("workspace_id", ForeignKey("workspaces.id"), primary_key=True),
    Column("pipe", String(255), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("definition", Text, nullable=False),
    Column("created_at", String(26), nullable=False),
)

deployment_views = Table(
    "deployment_views",
    metadata,
    Column("deployment_id", ForeignKey("deployments.id", ondelete="CASCADE"), primary_key=True),
    Column("pipe", String(255), primary_key=True),
    Column("version", Integer, nullable=False),
)

pipe_ids = Table(
    "pipe_ids",
    metadata,
    Column("workspace_id", ForeignKey("workspaces.id"), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("id", String(34), nullable=False),
    Column("created_at", String(26), nullable=False),
)

# Our own copy of all DDL: one broken `.sql` file stops chDB (engine-chdb.md section 0.6).
engine_objects = Table(
    "engine_objects",
    metadata,
    Column("database", String(255), primary_key=True),
    Column("name", String(255), primary_key=True),  # "" for the database itself
    Column("ddl", Text, nullable=False),
    Column("created_at", String(26), nullable=False),
)

fixtures = Table(
    "fixtures",
    metadata,
    Column("workspace_id", ForeignKey("workspaces.id"), primary_key=True),
    Column("datasource", String(255), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("path", String(1024), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("loaded", Boolean, nullable=False),
    Column("created_at", String(26), nullable=False),
)

secrets = Table(
    "secrets",
    metadata,
    Column("workspace_id", ForeignKey("workspaces.id"), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("type", String(16), nullable=False),
    Column("value", Text, nullable=False),  # encrypted, by the key beside this file or a setting
    Column("created_at", String(26), nullable=False),
    Column("updated_at", String(26), nullable=False),
    Column("edited_by", String(255), nullable=False, default=""),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("workspace_id", ForeignKey("workspaces.id"), nullable=False, index=True),
    Column("kind", String(32), nullable=False),  # import | deployment | branch | ...
    Column("status", String(16), nullable=False),  # waiting | working | done | error | cancelled
    Column("created_at", String(26), nullable=False),
    Column("updated_at", String(26), nullable=False),
    Column("detail", Text, nullable=False, default="{}"),  # JSON: what the kind adds to the answer
)
