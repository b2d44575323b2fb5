-- One row: true if this user, or a role that it is a member of, owns the billing tables. Without tables: true if it can
-- create them.
select case
           when to_regclass('alembic_version') is null then has_schema_privilege(current_schema(), 'create')
           else (select pg_has_role(relowner, 'usage') from pg_class where oid = to_regclass('alembic_version'))
       end
