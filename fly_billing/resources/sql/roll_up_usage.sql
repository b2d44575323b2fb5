-- DuckDB. One row per organization, meter, dimensions and segment of the month with events, or with a quantity without
-- them (a level held from before). `daily` is what each day of the month added, as Postgres writes an array.
create or replace temp table quantities as
with segmented as (
    select
        organization_id, meter, dimensions, segment_start, segment_end,
        sum(quantity)::decimal(38, 15) as quantity, sum(events)::bigint as events,
        map_from_entries(list((day, quantity)) filter (quantity <> 0)) as by_day
    from (
        select organization_id, meter, dimensions, segment_start, segment_end, day,
            sum(quantity) as quantity, sum(events) as events
        from usage_by_day
        group by all
    )
    group by all
)

select
    * exclude (by_day),
    '{' || array_to_string(list_transform(
        range(1, getvariable('days') + 1), lambda day: coalesce(by_day[day]::varchar, '0')
    ), ',') || '}' as daily
from segmented
where events > 0 or quantity > 0
