"""a token may have several filters on one data source: the filter is part of the key"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # SQLite cannot change a primary key: the table is made anew.
    op.rename_table("token_scopes", "token_scopes_1")
    op.create_table(
        "token_scopes",
        sa.Column("token_id", sa.String(length=36), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("resource", sa.String(length=255), nullable=False),
        sa.Column("filter", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["token_id"], ["tokens.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("token_id", "type", "resource", "filter"),
    )
    op.execute(
        "INSERT INTO token_scopes (token_id, type, resource, filter) "
        "SELECT token_id, type, resource, filter FROM token_scopes_1"
    )
    op.drop_table("token_scopes_1")
