"""Creates the roles that use the server's databases, none of them a superuser, and sets the databases' owners.

Only this package uses initdb's superuser, to create roles and databases. A role's password is derived from the
superuser's password and does not reveal it. `fly_billing.postgres.rights` has the roles' rights on tables.
"""

import hashlib
import hmac
from typing import Any

from psycopg import Connection, sql

# Owns the billing database: migrations.
OWNER = "fly_billing_owner"
# Reads and writes rows: runs, sensors, commands.
PIPELINE = "fly_billing_pipeline"
# Reads: finance, and here also the API, which has a role of its own on your server.
READER = "fly_billing_reader"
# Owns Dagster's database, and has no rights in the other.
DAGSTER = "fly_billing_dagster"
ROLES = (OWNER, PIPELINE, READER, DAGSTER)

# Makes one role the owner of every object of the database. PostgreSQL's own command (`reassign owned`) refuses objects
# of the first superuser, which owned everything before there were roles.
ADOPT = """
do $$
declare
    owner constant regrole := {owner};
    command text;
begin
    for command in
        select format('alter schema %I owner to %s', n.nspname, owner)
          from pg_namespace n
         where n.nspowner <> owner and n.nspname !~ '^(pg_|information_schema$|public$)'
        union all
        select format('alter %s %s owner to %s',
                      case c.relkind when 'S' then 'sequence' when 'v' then 'view' else 'table' end,
                      c.oid::regclass, owner)
          from pg_class c
          join pg_namespace n on n.oid = c.relnamespace
         where c.relowner <> owner and c.relkind in ('r', 'p', 'v', 'S') and n.nspname !~ '^(pg_|information_schema$)'
           and not exists (  -- a sequence goes with its table
               select from pg_depend d
                where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i')
                  and d.refclassid = 'pg_class'::regclass and c.relkind = 'S'
           )
        union all
        select format('alter routine %s owner to %s', p.oid::regprocedure, owner)
          from pg_proc p
          join pg_namespace n on n.oid = p.pronamespace
         where p.proowner <> owner and n.nspname !~ '^(pg_|information_schema$)'
        union all
        select format('alter type %s owner to %s', t.oid::regtype, owner)
          from pg_type t
          join pg_namespace n on n.oid = t.typnamespace
         where t.typowner <> owner and t.typtype in ('e', 'd') and n.nspname !~ '^(pg_|information_schema$)'
    loop
        execute command;
    end loop;
end $$
"""


def password_of(role: str, superuser_password: str) -> str:
    """Derive a role's password. The superuser's password can't be calculated back from it."""
    return hmac.new(superuser_password.encode(), role.encode(), hashlib.sha256).hexdigest()


def make_missing(connection: Connection[tuple[Any, ...]], superuser_password: str) -> None:
    """Create the missing roles. The caller must prevent other processes from doing so at the same time."""
    known = {row[0] for row in connection.execute("select rolname from pg_roles")}
    for role in ROLES:
        if role not in known:
            statement = sql.SQL("create role {} login nosuperuser nocreatedb nocreaterole noreplication password {}")
            password = sql.Literal(password_of(role, superuser_password))
            connection.execute(statement.format(sql.Identifier(role), password))


def let_owner_check_by_set(connection: Connection[tuple[Any, ...]]) -> None:
    """Let the owner's function `add_staged_items` check the references of many rows together."""
    granted = sql.SQL("grant set on parameter session_replication_role to {}").format(sql.Identifier(OWNER))
    connection.execute(granted)


def adopt(connection: Connection[tuple[Any, ...]], database: str, owner: str) -> None:
    """Make a role the owner of the connection's database and of everything in it."""
    with connection.transaction():
        connection.execute(
            sql.SQL("alter database {} owner to {}").format(sql.Identifier(database), sql.Identifier(owner))
        )
        connection.execute(sql.SQL(ADOPT).format(owner=sql.Literal(owner)))
