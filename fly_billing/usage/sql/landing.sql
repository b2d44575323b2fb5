-- name: delete_usage_files
-- No rows. Deletes the files of these landing days, with their rejected rows.
delete from usage_files where landing_day = any (:days);

-- name: files_with_events
-- One row per file of these landing days with accepted events.
select landing_day, path from usage_files where landing_day = any (:days) and accepted > 0;

-- name: mark_resolved_conflicts
-- No rows. Marks rejected rows whose conflicting events are gone, so that their days land again.
update rejected_usage as r set is_free = true
from unnest(cast(:days as date[]), cast(:sources as text[]), cast(:ids as text[])) as f (landing_day, source, id)
where r.landing_day = f.landing_day and r.source = f.source and r.event_id = f.id
    and r.reason = 'conflicting_duplicate';

-- name: last_day_with_files
-- One row: the last landing day with files, or null.
select max(landing_day) as last from usage_files;

-- name: mark_days_landed
-- No rows. Records that these landing days landed now, with or without files, in this version of the usage table and
-- judged by these rules.
insert into landing_days (landing_day, landed_at, lake_version, rules, compared_at)
select unnest(cast(:days as date[])), :now, :lake_version, :rules, :now
on conflict (landing_day) do update set landed_at = excluded.landed_at, lake_version = excluded.lake_version,
    rules = excluded.rules, compared_at = excluded.compared_at;

-- name: mark_days_unchanged
-- No rows. Records that the files of these landing days were compared, and are still those that landed.
update landing_days set landed_at = greatest(landed_at, :now), compared_at = greatest(compared_at, :now)
where landing_day = any (:days);

-- name: mark_days_seen
-- No rows. Records that the files of these landing days have the names and sizes of those that landed.
update landing_days set landed_at = greatest(landed_at, :now) where landing_day = any (:days);

-- name: days_judged_by
-- One row per given landing day that landed by these rules. Without days whose rows may be accepted once their
-- organization was created earlier, and days that lost a row in Postgres since.
select d.landing_day
from landing_days as d
left join lateral (
    select sum(accepted) as accepted, sum(accepted + duplicate) as rows, sum(rejected) as rejected
    from usage_files
    where landing_day = d.landing_day
) as f on true
left join lateral (
    select sum(accepted) as accepted, sum(rows) as rows from landed_months where landing_day = d.landing_day
) as m on true
left join lateral (
    select count(*) as rejected, count(*) filter (where reason = 'before_organization') as too_early
    from rejected_usage
    where landing_day = d.landing_day
) as r on true
where d.landing_day = any (:days) and d.rules = :rules and r.too_early = 0
    and coalesce(f.accepted, 0) = coalesce(m.accepted, 0) and coalesce(f.rows, 0) = coalesce(m.rows, 0)
    and coalesce(f.rejected, 0) = r.rejected;

-- name: landed_files_of
-- One row per file of these landing days, with the outcome of its rows.
select landing_day as day, path, sha256, bytes, landed, accepted, duplicate, rejected, stored_at
from usage_files
where landing_day = any (:days)
order by landing_day, path;

-- name: settled_objects
-- One row per object of these landing days, from :since on, that was read or compared when it was at least :margin old.
select f.landing_day as day, f.path, f.stored_at
from usage_files as f
join landing_days as d on d.landing_day = f.landing_day
where f.landing_day = any (:days) and f.landing_day >= :since
    and f.stored_at + cast(:margin as interval) <= d.compared_at;

-- name: recount_usage_file
-- No rows. Updates the counts of a file whose duplicates became accepted events.
update usage_files set accepted = :accepted, duplicate = :duplicate where landing_day = :day and path = :path;

-- name: rejected_conflicts
-- One row per key and landing day of rows that were rejected because their key belongs to another event. Reads these
-- days, or all days if :days is null.
select distinct landing_day, source, event_id as id
from rejected_usage
where reason = 'conflicting_duplicate' and (cast(:days as date[]) is null or landing_day = any (:days));
