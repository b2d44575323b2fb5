-- One row per existing role that gets rights on the tables.
select rolname from pg_roles
where rolname in ('fly_billing_api', 'fly_billing_pipeline', 'fly_billing_reader')
order by rolname
