-- DuckDB and Spark. One row per level that holds from a moment of the month on, per organization, meter, dimensions and
-- series: those that the month begins with, and those that its events tell. Of events at one time the last in order
-- holds.
create or replace temp view told_levels as
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
