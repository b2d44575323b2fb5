-- name: landing_candidates
-- `candidates`: one row per billable row, of the days that land and of those that are settled again because of them.
create or replace temp table replaced (landing_day date);
create or replace temp table orphaned_days (landing_day date);
create or replace temp table settled_again as
select * exclude (reason), false as was_accepted from judged where false;
create or replace temp view candidates as
select * exclude (reason), false as was_accepted from judged where reason is null
union all by name
select * from settled_again;

-- name: count_files
-- One row per landed file: landed, accepted, duplicate, rejected. Each is counted from its own table.
with counted as (
    select landing_day, path, 1 as landed, 0 as accepted, 0 as duplicate, 0 as rejected from staged
    union all
    select landing_day, path, 0, 1, 0, 0 from settled where not is_conflict and not is_duplicate
    union all
    select landing_day, path, 0, 0, 1, 0 from settled where not is_conflict and is_duplicate
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
from settled
where not is_conflict
group by all
order by all;

-- name: count_orphaned_days
-- One row per file of the orphaned days: accepted and duplicate, as settled anew.
select landing_day, path, count(*) filter (not is_duplicate), count(*) filter (is_duplicate)
from settled
where landing_day in (select landing_day from orphaned_days)
group by landing_day, path;

-- name: landing_keys
-- One row per candidate: the hash of its key, and its landing day in days since 1970-01-01.
select hash(source, id) as hash, (landing_day - date '1970-01-01')::bigint as day from candidates;

-- name: orphaned_days
-- One row per landing day, not landed now, that holds a copy of an event that vanishes: the copy counts from now on.
insert into orphaned_days
select distinct usage_table.landing_day
from usage_table
semi join vanished on vanished.source = usage_table.source and vanished.id = usage_table.id
where usage_table.is_duplicate and usage_table.landing_day not in (select landing_day from replaced);

-- name: settled_again
-- One row per row that orphaned days have in the usage table: they are settled again, beside what lands.
insert into settled_again
select
    landing_day, path, line, source, id, meter, organization_id, time, quantity, dimensions, data,
    not is_duplicate as was_accepted
from usage_table
where landing_day in (select landing_day from orphaned_days);

-- name: settled_events
-- One row per event that goes into the usage_table: accepted ones, and duplicates marked as such.
select * exclude (is_conflict), strftime(utc(time), '%Y-%m') as usage_month
from settled
where not is_conflict
order by landing_day, meter, organization_id, time;

-- name: vanished_events
-- One row per event that a landing day had accepted and brings no more, now that it lands again.
create or replace temp table vanished as
select source, id, time
from brought_before
anti join judged on judged.reason is null and judged.source = brought_before.source and judged.id = brought_before.id
where not is_duplicate;
