-- One row per organization, with the key of its org partition, oldest first.
select id, billing_group, created_at from organizations order by created_at, id
