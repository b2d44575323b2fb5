"""Totals of all months are read from an index alone, and an item has entries only in indexes that it belongs to.

Revision ID: 0012
Revises: 0011
"""

from pathlib import Path

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Straight to the driver: SQLAlchemy and psycopg would read the colons and percent signs as parameters.
    op.get_bind().connection.driver_connection.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    raise RuntimeError("billing records are never dropped by a migration: restore a backup instead")
