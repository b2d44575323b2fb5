-- One row per organization, with the start of the month in which it was created: the first that can be billed.
select id, date_trunc('month', created_at, 'UTC') as existed_from from organizations order by id
