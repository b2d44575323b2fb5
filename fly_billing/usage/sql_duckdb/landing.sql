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

-- name: deduplicated
-- `deduplicated`: all valid rows, with whether each is a duplicate or a conflict (`shared_keys`).
create or replace temp view deduplicated as
select
    candidates.* exclude (was_accepted), coalesce(is_duplicate, false) as is_duplicate,
    coalesce(is_conflict, false) as is_conflict
from candidates
left join (select * exclude (first) from shared_keys) as shared_keys using (landing_day, path, line);

-- name: candidates_by_prefix
-- One row of `validated` per candidate whose key's hash begins with one of `shared_prefixes`: it may share its key with
-- others.
select * exclude (was_accepted), null::varchar as reason
from candidates
where greatest(hash(source, id) >> 16, 1) in (select prefix from shared_prefixes);

-- name: counted
-- `counted`: one row per landed file and month (its first day): its accepted and duplicate rows. Postgres and the usage
-- table are told the same counts.
create or replace temp table counted as
select
    landing_day, path, cast(date_trunc('month', utc(time)) as date) as month,
    count(*) filter (not is_duplicate) as accepted, count(*) filter (is_duplicate) as duplicate
from deduplicated
where not is_conflict
group by all;

-- name: count_files
-- One row per landed file: landed, accepted, duplicate and rejected rows. Landed and rejected rows are counted in their
-- own tables.
with parts as (
    select landing_day, path, count(*) as landed, 0 as accepted, 0 as duplicate, 0 as rejected
    from staged
    group by landing_day, path
    union all
    select landing_day, path, 0, accepted, duplicate, 0 from counted
    union all
    select landing_day, path, 0, 0, 0, count(*) from rejected group by landing_day, path
)

select landing_day, path, sum(landed), sum(accepted), sum(duplicate), sum(rejected)
from parts
group by landing_day, path;

-- name: count_landed_months
-- One row per landing day and month (its first day): accepted events, and all rows for the usage table.
select landing_day, month, sum(accepted)::bigint, sum(accepted + duplicate)::bigint
from counted
group by all
order by all;

-- name: count_orphaned_days
-- One row per file of the orphaned days: accepted and duplicate rows after deduplicating again.
select landing_day, path, sum(accepted)::bigint, sum(duplicate)::bigint
from counted
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

-- name: events_of_file
-- One row per event of landing day $day from $month_start until $month_end: accepted events, and duplicates marked as
-- such. Sorted by meter, organization and time.
select path, line, source, id, meter, organization_id, time, quantity, dimensions, data, is_duplicate
from deduplicated
where not is_conflict and landing_day = $day and time >= $month_start and time < $month_end
order by meter, organization_id, time;

-- name: removed_events
-- `removed`: one row per event that a landing day had accepted and no longer contains now that it lands again.
create or replace temp table removed as
select source, id, time
from previous_events
anti join validated
    on validated.reason is null
    and validated.source = previous_events.source and validated.id = previous_events.id
where not is_duplicate;
