-- DuckDB and Spark. One row per level that holds from a moment of the month on, per organization, meter, dimensions and
-- series: those that the month begins with, and those that its events tell. Of events at one time the last in order
-- holds. A series is in one place at a time: an event under other dimensions than the one before it ends the level
-- there, which is a row of level 0 and no event. `place` is the order within a series.
create or replace temp view told_levels as
with told as (
    select
        c.organization_id, c.meter, c.dimensions, c.series, m.time_unit, getvariable('month_start') as time,
        false as is_event, '' as source, '' as id, c.level
    from carried_levels as c
    join meters as m on m.key = c.meter
    where c.organization_id in (select id from billed_organizations)
    union all
    select organization_id, meter, dimensions, value, time_unit, time, true, source, id, quantity
    from accepted_usage
    where aggregation = 'time_weighted'
),

in_order as (
    select
        *,
        row_number() over (
            partition by organization_id, meter, series order by time, is_event, source, id
        ) as place,
        lag(dimensions) over (
            partition by organization_id, meter, series order by time, is_event, source, id
        ) as dimensions_before
    from told
)

select organization_id, meter, dimensions, series, time_unit, time, is_event, place, level
from in_order
union all
select organization_id, meter, dimensions_before, series, time_unit, time, false, place, 0
from in_order
where dimensions_before <> dimensions
