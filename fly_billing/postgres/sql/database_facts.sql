-- One row: the connections that this user can have at the same time (in use or not), the owner of the tables, the
-- pipeline's rights on them, the encoding of text, and the presence of a schema for tables.
select least(
           current_setting('max_connections')::int
               - current_setting('superuser_reserved_connections')::int
               - coalesce(current_setting('reserved_connections', true)::int, 0),
           (select case when rolconnlimit < 0 then 1000000 else rolconnlimit end from pg_roles
             where rolname = current_user),
           (select case when datconnlimit < 0 then 1000000 else datconnlimit end from pg_database
             where datname = current_database())
       ) as connections,
       to_regclass('alembic_version') is not null as is_migrated,
       to_regclass('alembic_version') is not null and exists (
           select from pg_roles r
            where r.rolname = 'fly_billing_pipeline'
                and has_table_privilege(r.oid, to_regclass('alembic_version'), 'select')
       ) as has_rights,
       to_regclass('event_logs') is not null and to_regclass('organizations') is null as is_dagsters,
       current_setting('server_encoding') as encoding,
       current_schema() is not null as has_schema
