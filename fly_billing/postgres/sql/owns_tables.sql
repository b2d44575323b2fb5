-- One row: whether this user owns (or is a member of who owns) the billing tables; without tables, may make them.
select case
           when to_regclass('alembic_version') is null then has_schema_privilege(current_schema(), 'create')
           else (select pg_has_role(relowner, 'usage') from pg_class where oid = to_regclass('alembic_version'))
       end
