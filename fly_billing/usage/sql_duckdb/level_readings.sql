-- One row per level from its time on, per organization, meter, dimensions and series: the opening
-- levels of the month, and the levels in its events. Of several events at one time, the last one applies. A series has
-- one place at a time: an event with other dimensions ends the level under the former ones, which gives a row of level
-- 0 that is not an event. `place` is the order within a series.
create or replace temp view level_readings as
with readings as (
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
        ) as previous_dimensions
    from readings
)

select organization_id, meter, dimensions, series, time_unit, time, is_event, place, level
from in_order
union all
select organization_id, meter, previous_dimensions, series, time_unit, time, false, place, 0
from in_order
where previous_dimensions <> dimensions
