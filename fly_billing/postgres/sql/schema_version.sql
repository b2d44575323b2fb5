-- One row: the number of the newest applied migration.
select version_num from alembic_version
