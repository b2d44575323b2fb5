-- As `sql_duckdb/level_time_by_day.sql`: one row per total, segment and day with a level above 0, up to
-- `counted_until`. It also sums whole levels and their 15 decimals separately.
create or replace temp view level_time_by_day as
with days as (
    select explode(sequence(month_start, month_end - interval 1 day, interval 1 day)) as midnight
),

stretches as (
    select
        meter, segmentation, segment_start, day(midnight) as day, greatest(segment_start, midnight) as starts,
        least(segment_end, midnight + interval 1 day, counted_until) as ends
    from segments
    cross join days
    where segment_start < midnight + interval 1 day and segment_end > midnight
        and greatest(segment_start, midnight) < counted_until
),

changes as (
    select
        organization_id, meter, dimensions, segmentation, time,
        level - coalesce(lag(level) over (
            partition by organization_id, meter, dimensions, series order by place
        ), 0) as change
    from level_readings
    join billed_organizations on billed_organizations.id = level_readings.organization_id
),

changes_by_stretch as (
    select /*+ broadcast(stretches) */
        organization_id, changes.meter, dimensions, starts, sum(change) as change,
        sum(whole_of(change) * (epoch_us(ends) - epoch_us(time))) as whole,
        sum(decimals_of(change) * (epoch_us(ends) - epoch_us(time))) as decimals
    from changes
    join stretches
        on stretches.meter = changes.meter and stretches.segmentation = changes.segmentation
        and changes.time >= starts and changes.time < ends
    where change <> 0
    group by organization_id, changes.meter, dimensions, starts
),

totals as (
    select distinct organization_id, meter, dimensions, segmentation, time_unit
    from level_readings
    join billed_organizations on billed_organizations.id = level_readings.organization_id
),

held as (
    select /*+ broadcast(stretches) */
        totals.*, segment_start, day, starts, epoch_us(ends) - epoch_us(starts) as microseconds,
        coalesce(whole, 0) as whole, coalesce(decimals, 0) as decimals,
        coalesce(sum(change) over (
            partition by organization_id, meter, dimensions order by starts
            rows between unbounded preceding and 1 preceding
        ), 0) as level
    from totals
    join stretches using (meter, segmentation)
    left join changes_by_stretch using (organization_id, meter, dimensions, starts)
),

so_far as (
    select
        organization_id, meter, dimensions, segment_start, day, starts, time_unit,
        sum(whole + whole_of(level) * microseconds) over in_order as whole,
        sum(decimals + decimals_of(level) * microseconds) over in_order as decimals
    from held
    window in_order as (
        partition by organization_id, meter, dimensions order by starts
        rows between unbounded preceding and current row
    )
),

counted as (
    select *, level_time(whole, decimals, time_unit * 1000000) as until_then from so_far
),

added as (
    select
        *,
        until_then - coalesce(lag(until_then) over (
            partition by organization_id, meter, dimensions order by starts
        ), 0) as quantity
    from counted
)

select organization_id, meter, dimensions, segment_start, day, quantity, 0L as events
from added
where quantity > 0
