"""The schema of the first release, one file per subject, read in the order of their numbers.

The number is that of the last development migration, so that a database that was up to date then still is.

Revision ID: 0039
Revises: nothing
"""

from pathlib import Path

from alembic import op

revision = "0039"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Straight to the driver: SQLAlchemy and psycopg would read the colons and percent signs as parameters.
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    for path in sorted(Path(__file__).with_suffix("").glob("*.sql")):
        connection.execute(path.read_text(encoding="utf-8"))


def downgrade() -> None:
    raise RuntimeError("billing records are never dropped by a migration: restore a backup instead")
