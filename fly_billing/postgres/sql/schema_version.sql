-- One row: the number of the newest migration that was applied.
select version_num from alembic_version
