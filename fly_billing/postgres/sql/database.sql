-- name: lock_until_commit
-- One row, as soon as the lock is ours. It is released when the transaction ends.
select pg_advisory_xact_lock(hashtextextended(:name, 0));

-- name: release_session_lock
-- One row: true if we had the lock.
select pg_advisory_unlock(hashtextextended(:name, 0));

-- name: share_lock_until_commit
-- One row, as soon as nobody has the lock alone. It is released when the transaction ends.
select pg_advisory_xact_lock_shared(hashtextextended(:name, 0));

-- name: try_session_lock
-- One row: true if the lock is ours now. It is released when the session ends, at the latest.
select pg_try_advisory_lock(hashtextextended(:name, 0));
