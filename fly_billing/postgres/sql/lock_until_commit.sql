-- One row, once the lock is ours: until the transaction ends.
select pg_advisory_xact_lock(hashtextextended(:name, 0))
