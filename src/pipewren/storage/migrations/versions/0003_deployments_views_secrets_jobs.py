"""states of deployments, materialised views, branches, secrets and jobs"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("workspaces", sa.Column("main", sa.String(length=32), nullable=True))
    _change_deployments()
    op.create_table(
        "view_versions",
        sa.Column("workspace_id", sa.String(length=32), nullable=False),
        sa.Column("pipe", sa.String(length=255), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("created_at", sa.String(length=26), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"]),
        sa.PrimaryKeyConstraint("workspace_id", "pipe", "version"),
    )
    op.create_table(
        "deployment_views",
        sa.Column("deployment_id", sa.Integer(), nullable=False),
        sa.Column("pipe", sa.String(length=255), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["deployment_id"], ["deployments.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("deployment_id", "pipe"),
    )
    op.create_table(
        "secrets",
        sa.Column("workspace_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("created_at", sa.String(length=26), nullable=False),
        sa.Column("updated_at", sa.String(length=26), nullable=False),
        sa.Column("edited_by", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"]),
        sa.PrimaryKeyConstraint("workspace_id", "name"),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("workspace_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.String(length=26), nullable=False),
        sa.Column("updated_at", sa.String(length=26), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_jobs_workspace_id", "jobs", ["workspace_id"])


def _change_deployments() -> None:
    for column in (
        sa.Column("updated_at", sa.String(length=26), nullable=False, server_default=""),
        sa.Column("errors", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("feedback", sa.Text(), nullable=False, server_default="[]"),
    ):
        op.add_column("deployments", column)
    op.execute("UPDATE deployments SET updated_at = created_at")
    # What was being prepared when the server ended is nobody's.
    op.execute("DELETE FROM deployments WHERE state = 'preparing'")
    op.execute("UPDATE deployments SET state = 'data_ready' WHERE state = 'live'")
    op.execute("UPDATE deployments SET state = 'deleted' WHERE state = 'retired'")
