-- Adds $count totals after number $after to `quantities`: one row per organization, meter, dimensions and segment of
-- the month with events, or with a quantity without events (a level from an earlier month). `daily` has the quantity of
-- each day of the month, written as a Postgres array.
insert into quantities
with segmented as (
    select
        total, segment_start, sum(quantity)::decimal(38, 15) as quantity, sum(events)::bigint as events,
        list(day) filter (quantity <> 0) as days,
        list(quantity::varchar) filter (quantity <> 0) as added
    from (
        select total, segment_start, day, sum(quantity) as quantity, sum(events) as events
        from usage_by_day
        where total > $after and total <= $after + $count
        group by all
    )
    group by all
)

select
    organization_id, meter, dimensions, segment_start, segment_end, quantity, events,
    '{' || array_to_string(list_transform(
        range(1, getvariable('days') + 1), lambda day: coalesce(added[list_position(days, day)], '0')
    ), ',') || '}' as daily
from segmented
join totals using (total)
join segments using (meter, segmentation, segment_start)
where events > 0 or quantity > 0
