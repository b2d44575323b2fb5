-- No rows. Records that the usage table in use lost its versions after :last.
update usage_tables set lost_after = least(:last, acknowledged)
where generation = (select max(generation) from usage_tables)
