-- name: delete_usage_files
-- No rows. Forgets what these landing days brought before (their rejected rows go with them).
delete from usage_files where landing_day = any (:days);

-- name: files_with_events
-- One row per file of these landing days of which events were accepted.
select landing_day, path from usage_files where landing_day = any (:days) and accepted > 0;

-- name: free_conflicts
-- No rows. The events with which these refused rows collided are gone: their days are worth landing again.
update rejected_usage as r set is_free = true
from unnest(cast(:days as date[]), cast(:sources as text[]), cast(:ids as text[])) as f (landing_day, source, id)
where r.landing_day = f.landing_day and r.source = f.source and r.event_id = f.id
    and r.reason = 'conflicting_duplicate';

-- name: last_day_with_files
-- One row: the last landing day of which files were landed, or null.
select max(landing_day) as last from usage_files;

-- name: mark_days_landed
-- No rows. These landing days were landed now, with or without files, into this version of the usage table.
insert into landing_days (landing_day, landed_at, lake_version)
select unnest(cast(:days as date[])), :now, :lake_version
on conflict (landing_day) do update set landed_at = excluded.landed_at, lake_version = excluded.lake_version;

-- name: recount_usage_file
-- No rows. Duplicates of this file have become accepted events.
update usage_files set accepted = :accepted, duplicate = :duplicate where landing_day = :day and path = :path;

-- name: refused_conflicts
-- One row per key and landing day: rows that were refused as their key belongs to another event, of these days or (null) of all.
select distinct landing_day, source, event_id as id
from rejected_usage
where reason = 'conflicting_duplicate' and (cast(:days as date[]) is null or landing_day = any (:days));
