-- No rows. Records a usage table, which replaces the one in use.
insert into usage_tables (generation, table_id, shift, first_version, acknowledged)
select coalesce(max(generation), 0) + 1, :table_id, :shift, :first_version, :acknowledged from usage_tables
