-- No rows. Of the usage table in use, versions after :last are gone.
update usage_tables set lost_after = least(:last, acknowledged)
where generation = (select max(generation) from usage_tables)
