-- name: texts_of_days
-- No rows. Creates macros that write `daily`: a day's quantity, or null if the month does not have the day, counted from
-- 0; and the days of a block of eight days without usage.
create or replace temp macro day_text(day, added) as case
    when day >= getvariable('days') then null
    when coalesce(added, 0) = 0 then '0'
    else added::varchar
end;
create or replace temp macro unused_days(block) as '0' || repeat(',0', least(8, getvariable('days') - block * 8) - 1);

-- name: added_up_meters
-- The meters whose quantities are plain sums over events: they need no order of events and no numbered totals.
create or replace temp table added_up_meters as
select key, aggregation = 'count' as is_count
from meters
where aggregation in ('sum', 'count') and event_round is null;

-- name: add_up_usage
-- Adds to `quantities` one row per organization, meter of `added_up_meters`, dimensions and segment with events, in one
-- pass over the events. They are the rows that `roll_up_usage.sql` would add. Grouping by blocks of eight days takes less
-- than by days, which makes a group of nearly every event, and less than all days of the month in each row.
insert into quantities
with added as (
    select
        events.organization_id, events.meter, events.dimensions, segments.segment_start, segments.segment_end,
        day(utc(events.time)) - 1 as day,
        cast(if(meters.is_count, 1, events.quantity) as decimal(38, 15)) as quantity
    from events
    join billed_organizations as billed on billed.id = events.organization_id
    join added_up_meters as meters on meters.key = events.meter
    join segments
        on segments.meter = events.meter and segments.segmentation = billed.segmentation
        and events.time >= segments.segment_start and events.time < segments.segment_end
    where not events.is_duplicate
),

by_block as (
    select
        organization_id, meter, dimensions, segment_start, segment_end, day // 8 as block,
        sum(quantity) as quantity, count(*) as events,
        sum(quantity) filter (day % 8 = 0) as day_0,
        sum(quantity) filter (day % 8 = 1) as day_1,
        sum(quantity) filter (day % 8 = 2) as day_2,
        sum(quantity) filter (day % 8 = 3) as day_3,
        sum(quantity) filter (day % 8 = 4) as day_4,
        sum(quantity) filter (day % 8 = 5) as day_5,
        sum(quantity) filter (day % 8 = 6) as day_6,
        sum(quantity) filter (day % 8 = 7) as day_7
    from added
    group by organization_id, meter, dimensions, segment_start, segment_end, day // 8
),

written as (
    select
        * exclude (day_0, day_1, day_2, day_3, day_4, day_5, day_6, day_7),
        concat_ws(
            ',',
            day_text(block * 8 + 0, day_0),
            day_text(block * 8 + 1, day_1),
            day_text(block * 8 + 2, day_2),
            day_text(block * 8 + 3, day_3),
            day_text(block * 8 + 4, day_4),
            day_text(block * 8 + 5, day_5),
            day_text(block * 8 + 6, day_6),
            day_text(block * 8 + 7, day_7)
        ) as days
    from by_block
)

select
    organization_id, meter, dimensions, segment_start, segment_end, sum(quantity) as quantity, sum(events) as events,
    '{' || concat_ws(
        ',',
        coalesce(any_value(days) filter (block = 0), unused_days(0)),
        coalesce(any_value(days) filter (block = 1), unused_days(1)),
        coalesce(any_value(days) filter (block = 2), unused_days(2)),
        coalesce(any_value(days) filter (block = 3), unused_days(3))
    ) || '}' as daily
from written
group by organization_id, meter, dimensions, segment_start, segment_end;
