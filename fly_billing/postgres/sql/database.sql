-- name: lock_until_commit
-- One row, once the lock is ours: until the transaction ends.
select pg_advisory_xact_lock(hashtextextended(:name, 0));

-- name: read_one_moment
-- No rows. Until its end, the transaction sees the database as it is now and can't write.
set transaction isolation level repeatable read, read only -- noqa: PRS
;

-- name: release_session_lock
-- One row: whether we had the lock.
select pg_advisory_unlock(hashtextextended(:name, 0));

-- name: try_session_lock
-- One row: whether the lock is ours now. It ends with the session at the latest.
select pg_try_advisory_lock(hashtextextended(:name, 0));
