-- Creates the roles on your server. Run it once as an administrator, in the billing database, with your own passwords:
--
--     psql -v owner_password=... -v pipeline_password=... -v api_password=... -v reader_password=... \
--         -f deploy/roles.sql billing
--
-- Then set FLY_BILLING_MIGRATION_DATABASE_URL to the owner's URL, only where `fly-billing migrate` runs. Set DATABASE_URL
-- to the pipeline's everywhere, FLY_BILLING_API_DATABASE_URL to the API's, which alone may call the functions that set
-- alerts with a token, and give the reader's to finance and to services that show invoices.
-- Run `fly-billing migrate` afterwards: it grants each role its rights on each table, now and whenever tables are added.
create role fly_billing_owner login nosuperuser nocreatedb nocreaterole password :'owner_password';
create role fly_billing_pipeline login nosuperuser nocreatedb nocreaterole password :'pipeline_password';
create role fly_billing_api login nosuperuser nocreatedb nocreaterole password :'api_password';
create role fly_billing_reader login nosuperuser nocreatedb nocreaterole password :'reader_password';

select format('alter database %I owner to fly_billing_owner', current_database()) \gexec
select format('revoke all on database %I from public', current_database()) \gexec
select format('grant connect, temporary on database %I to fly_billing_pipeline', current_database()) \gexec
select format('grant connect on database %I to fly_billing_api, fly_billing_reader', current_database()) \gexec

-- Optional: the owner's function that adds items then checks their foreign keys by set, which takes a seventh off the CPU
-- time of invoices. Triggers that protect final records fire regardless, and no other role gets the right. Only a
-- superuser can grant it; without it, each row is checked by itself.
do $$
begin
    grant set on parameter session_replication_role to fly_billing_owner;
exception
    when insufficient_privilege then raise notice 'foreign keys are checked row by row: %', sqlerrm;
end $$;

-- Tables and functions that an earlier user created belong to the owner from now on.
select format('alter table %I.%I owner to fly_billing_owner', schemaname, tablename)
  from pg_tables
 where schemaname = 'public' \gexec
select format('alter routine %s owner to fly_billing_owner', oid::regprocedure)
  from pg_proc
 where pronamespace = 'public'::regnamespace \gexec
