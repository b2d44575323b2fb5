-- name: lock_until_commit
-- One row, as soon as the lock is ours. It is released when the transaction ends.
select pg_advisory_xact_lock(hashtextextended(:name, 0));

-- name: release_session_lock
-- One row: true if we had the lock.
select pg_advisory_unlock(hashtextextended(:name, 0));

-- name: share_lock_until_commit
-- One row, as soon as nobody has the lock alone. It is released when the transaction ends.
select pg_advisory_xact_lock_shared(hashtextextended(:name, 0));

-- name: lock_groups_until_commit
-- A row per lock of billing groups, as soon as all of them are ours. In order, so that two runs never wait for each
-- other. They are released when the transaction ends.
select pg_advisory_xact_lock(hashtextextended(:name || ' ' || s.lock, 0))
from (select lock from unnest(cast(:locks as integer[])) as u (lock) order by lock) as s;

-- name: share_groups_until_commit
-- The same, as soon as nobody has any of them alone.
select pg_advisory_xact_lock_shared(hashtextextended(:name || ' ' || s.lock, 0))
from (select lock from unnest(cast(:locks as integer[])) as u (lock) order by lock) as s;

-- name: try_lock_until_commit
-- One row: true if the lock is ours alone now. It is released when the transaction ends.
select pg_try_advisory_xact_lock(hashtextextended(:name, 0));

-- name: try_session_lock
-- One row: true if the lock is ours now. It is released when the session ends, at the latest.
select pg_try_advisory_lock(hashtextextended(:name, 0));
