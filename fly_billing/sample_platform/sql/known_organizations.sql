-- One row per organization.
select id, created_at, billing_group from organizations order by id
