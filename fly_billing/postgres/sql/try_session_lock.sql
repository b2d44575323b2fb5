-- One row: whether the lock is ours now. It ends with the session at the latest.
select pg_try_advisory_lock(hashtextextended(:name, 0))
