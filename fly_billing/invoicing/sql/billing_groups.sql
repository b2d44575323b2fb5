-- One row per organization, oldest first, with its billing group: the key of its org partition.
select id, billing_group, created_at from organizations order by created_at, id
