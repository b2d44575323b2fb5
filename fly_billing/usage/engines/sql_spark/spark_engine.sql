-- name: events_as_landed
-- One row per event of the month, as it is in the usage table. Only for months without events that several meters read.
create or replace temp view events as
select * from landed;

-- name: events_by_meter
-- One row per event of the month and meter that reads it, as `usage.usage_table.MEASUREMENTS` does in DuckDB.
create or replace temp view events as
with shared as (
    select
        source, id, organization_id, time, data, is_duplicate,
        explode(from_json(
            dimensions, 'array<struct<meter: string, quantity: string, dimensions: string>>'
        )) as measurement
    from landed
    where startswith(dimensions, '[')
)

select source, id, organization_id, time, data, is_duplicate, meter, quantity, dimensions
from landed
where not startswith(dimensions, '[')
union all
select
    source, id, organization_id, time, data, is_duplicate, measurement.meter,
    cast(measurement.quantity as decimal(38, 15)), measurement.dimensions
from shared;

-- name: reduced_usage
-- One row per organization, meter, dimensions and segment of the month with events, or with a quantity without events.
-- `by_day` maps days of the month to their quantities. Corresponds to the first half of `sql_duckdb/roll_up_usage.sql`.
create or replace temp view reduced_usage as
with by_day as (
    select organization_id, meter, dimensions, segment_start, day, sum(quantity) as quantity, sum(events) as events
    from (
        select * from usage_by_day
        union all
        select * from level_time_by_day
    )
    group by organization_id, meter, dimensions, segment_start, day
)

select
    organization_id, meter, dimensions, segment_start, sum(quantity) as quantity, sum(events) as events,
    map_from_entries(collect_list(struct(day, quantity)) filter (where quantity <> 0)) as by_day
from by_day
group by organization_id, meter, dimensions, segment_start
having sum(events) > 0 or sum(quantity) > 0;
