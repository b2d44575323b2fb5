-- No rows. A landing has written this version of the usage table in use, and commits what it brought.
update usage_tables set acknowledged = :version
where generation = (select max(generation) from usage_tables)
