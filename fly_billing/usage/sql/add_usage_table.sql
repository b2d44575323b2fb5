-- No rows. Puts a usage table on record; it takes the place of the one before.
insert into usage_tables (generation, table_id, shift, first_version, acknowledged)
select coalesce(max(generation), 0) + 1, :table_id, :shift, :first_version, :acknowledged from usage_tables
