-- One row per role that has rights of its own and exists on this server.
select rolname from pg_roles where rolname in ('fly_billing_pipeline', 'fly_billing_reader') order by rolname
