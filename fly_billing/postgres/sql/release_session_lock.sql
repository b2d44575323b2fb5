-- One row: whether we had the lock.
select pg_advisory_unlock(hashtextextended(:name, 0))
