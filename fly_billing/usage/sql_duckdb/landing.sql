-- name: landing_candidates
-- `candidates`: one row per valid row of the days that land, and of the days that are deduplicated again because of
-- them.
create or replace temp table replaced (landing_day date);
create or replace temp table orphaned_days (landing_day date);
create or replace temp table deduplicated_again as
select * exclude (reason), false as was_accepted from validated where false;
create or replace temp view candidates as
select * exclude (reason), false as was_accepted from validated where reason is null
union all by name
select * from deduplicated_again;

-- name: count_files
-- One row per landed file: landed, accepted, duplicate and rejected rows, each counted in its own table.
with counted as (
    select landing_day, path, 1 as landed, 0 as accepted, 0 as duplicate, 0 as rejected from staged
    union all
    select landing_day, path, 0, 1, 0, 0 from deduplicated where not is_conflict and not is_duplicate
    union all
    select landing_day, path, 0, 0, 1, 0 from deduplicated where not is_conflict and is_duplicate
    union all
    select landing_day, path, 0, 0, 0, 1 from rejected
)

select landing_day, path, sum(landed), sum(accepted), sum(duplicate), sum(rejected)
from counted
group by landing_day, path;

-- name: count_landed_months
-- One row per landing day and month (its first day): accepted events, and all rows for the usage table.
select
    landing_day, cast(date_trunc('month', utc(time)) as date), count(*) filter (not is_duplicate), count(*)
from deduplicated
where not is_conflict
group by all
order by all;

-- name: count_orphaned_days
-- One row per file of the orphaned days: accepted and duplicate rows after deduplicating again.
select landing_day, path, count(*) filter (not is_duplicate), count(*) filter (is_duplicate)
from deduplicated
where landing_day in (select landing_day from orphaned_days)
group by landing_day, path;

-- name: landing_keys
-- One row per candidate: the hash of its key, and its landing day in days since 1970-01-01.
select hash(source, id) as hash, (landing_day - date '1970-01-01')::bigint as day from candidates;

-- name: orphaned_days
-- Adds one row per other landing day with a duplicate of a removed event. The duplicate becomes the accepted event.
insert into orphaned_days
select distinct usage_table.landing_day
from usage_table
semi join removed on removed.source = usage_table.source and removed.id = usage_table.id
where usage_table.is_duplicate and usage_table.landing_day not in (select landing_day from replaced);

-- name: deduplicated_again
-- Adds the rows of the orphaned days, which are deduplicated again together with the rows that land.
insert into deduplicated_again
select
    landing_day, path, line, source, id, meter, organization_id, time, quantity, dimensions, data,
    not is_duplicate as was_accepted
from usage_table
where landing_day in (select landing_day from orphaned_days);

-- name: deduplicated_events
-- One row per event for the usage table: accepted events, and duplicates marked as such.
select * exclude (is_conflict), strftime(utc(time), '%Y-%m') as usage_month
from deduplicated
where not is_conflict
order by landing_day, meter, organization_id, time;

-- name: removed_events
-- `removed`: one row per event that a landing day had accepted and no longer contains now that it lands again.
create or replace temp table removed as
select source, id, time
from previous_events
anti join validated
    on validated.reason is null
    and validated.source = previous_events.source and validated.id = previous_events.id
where not is_duplicate;
