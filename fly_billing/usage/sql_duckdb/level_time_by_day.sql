-- Adds level time to `usage_by_day`: one row per total, segment and day with a level above 0, up to `counted_until`.
-- Sums the changes of all series: a stretch counts the level at its start for all of its time, and each later change
-- for the remaining time. Rounds the running total at the end of each stretch, so that the rows sum to the month's
-- quantity.
insert into usage_by_day by name
with stretches as (
    select
        meter, segmentation, segment_start, segment_end, day(midnight) as day,
        greatest(segment_start, midnight) as starts,
        least(segment_end, midnight + interval 1 day, getvariable('counted_until')) as ends
    from segments
    cross join (
        select unnest(generate_series(
            getvariable('month_start'), getvariable('month_end') - interval 1 day, interval 1 day
        )) as midnight
    )
    where segment_start < midnight + interval 1 day and segment_end > midnight
        and greatest(segment_start, midnight) < getvariable('counted_until')
),

changes as (
    select total, meter, segmentation, time, level - lag(level, 1, 0) over in_order as change
    from level_readings
    join totals using (organization_id, meter, dimensions)
    window in_order as (partition by total, series order by place)
),

changes_by_stretch as (
    select
        total, starts, sum(change) as change,
        sum(whole_of(change) * (epoch_us(ends) - epoch_us(time))) as whole,
        sum(decimals_of(change) * (epoch_us(ends) - epoch_us(time))) as decimals
    from changes
    join stretches
        on stretches.meter = changes.meter and stretches.segmentation = changes.segmentation
        and changes.time >= starts and changes.time < ends
    where change <> 0
    group by total, starts
),

held as (
    select
        total, time_unit * 1000000 as unit, segment_start, day, starts,
        epoch_us(ends) - epoch_us(starts) as microseconds,
        coalesce(whole, 0) as whole, coalesce(decimals, 0) as decimals,
        coalesce(sum(change) over (
            partition by total order by starts rows between unbounded preceding and 1 preceding
        ), 0) as level
    from totals
    join stretches using (meter, segmentation)
    left join changes_by_stretch using (total, starts)
    where aggregation = 'time_weighted'
),

counted as (
    select
        total, segment_start, day, starts,
        level_time(
            sum(whole + whole_of(level) * microseconds) over so_far,
            sum(decimals + decimals_of(level) * microseconds) over so_far,
            unit
        ) as until_then
    from held
    window so_far as (partition by total order by starts rows between unbounded preceding and current row)
),

added as (
    select *, until_then - lag(until_then, 1, 0) over (partition by total order by starts) as quantity from counted
)

select total, segment_start, day, quantity, 0 as events
from added
where quantity > 0
